import { beforeEach, describe, expect, it } from 'vitest';
import { StepUps } from '#main-agent/account/step-ups.ts';
import { stepUpLifeMs, stepUpsMax } from '#main-agent/account/limits.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';

describe('step-ups', () => {
  const sessionOf = (key: string) => ({ key, username: 'alice' }) as FullSession;
  const session = sessionOf('first');
  let nowMs: number;
  let stepUps: StepUps;
  beforeEach(() => {
    nowMs = 1_000;
    const clock = { now: () => nowMs, monotonic: () => nowMs };
    stepUps = new StepUps({ clock, codesMax: 5 });
  });
  const take = (purpose: 'password' | 'ssh-key' = 'password', of = session): string => {
    try {
      return stepUps.take(of, purpose).nonce;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it('S-03: are good once, for their purpose and session, for half a minute', () => {
    expect(take()).toBe('conflict');
    const { nonce } = stepUps.open(session, 'password');
    expect(take('password', sessionOf('second'))).toBe('conflict');
    expect(take()).toBe(nonce);
    expect(take()).toBe('conflict');
    stepUps.open(session, 'password');
    expect(take('ssh-key')).toBe('conflict');
    // Whatever came of it, it is over.
    expect(take()).toBe('conflict');
    const last = stepUps.open(session, 'password');
    nowMs += stepUpLifeMs - 1;
    expect(take()).toBe(last.nonce);
    stepUps.open(session, 'password');
    nowMs += stepUpLifeMs;
    expect(take()).toBe('conflict');
  });

  it('S-13: wrong codes count for the session over all its step-ups, until it ends', () => {
    stepUps.attemptOf(session).attemptsLeft -= 1;
    stepUps.open(session, 'password');
    expect(stepUps.attemptOf(session).attemptsLeft).toBe(4);
    stepUps.end(session.key);
    expect(stepUps.attemptOf(session).attemptsLeft).toBe(5);
  });

  it('S-09: of so many sessions are remembered; the oldest is forgotten', () => {
    const first = stepUps.open(session, 'password');
    for (let number = 1; number < stepUpsMax; number += 1) stepUps.open(sessionOf(`${number}`), 'password');
    expect(take()).toBe(first.nonce);
    stepUps.open(session, 'password');
    stepUps.open(sessionOf('one more'), 'password');
    expect(take()).toBe('conflict');
    expect(take('password', sessionOf('2'))).not.toBe('conflict');
  });
});
