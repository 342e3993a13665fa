import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChallengeView } from '#shared/link/messages.ts';
import { buildRig, buildUser, refusal, withFactor, type Attempt, type Rig } from './rig.ts';

/** The numbers of delivered codes, each one step before, at and after its limit. */

let rig: Rig;

beforeEach(async () => {
  rig = await buildRig();
  setUser({});
});
afterEach(() => rig.close());

function setUser(change: Parameters<typeof withFactor>[0]): void {
  rig.users.set(
    'bob',
    buildUser('bob', withFactor({ requiredOn: ['https', 'sftp'], ...change }, { email: 'bob@example.com' })),
  );
}
const lastCode = (): string => rig.sent.at(-1)?.code.expose() ?? '';
const resend = (view: ChallengeView) =>
  rig.login.loginHandlers['login.resend']({ challenge: view.challenge }, rig.node.link);
const elsewhere = (number: number): Attempt => ({ client: { ip: `203.0.113.${number}` } });

describe('sends of delivered codes', () => {
  for (const [sinceMs, isSent] of [
    [29_999, false],
    [30_000, true],
    [30_001, true],
  ] as const) {
    it(`${sinceMs} ms after the last: ${isSent ? 'sent' : 'not sent'}, by a resend as by a login elsewhere`, async () => {
      const view = await rig.begin('bob');
      rig.advance(sinceMs);
      const resent = await resend(view).then(
        () => 'sent',
        (error: { code: string }) => error.code,
      );
      expect(resent).toBe(isSent ? 'sent' : 'rate-limited');
      rig.close();
      rig = await buildRig();
      setUser({});
      await rig.begin('bob');
      rig.advance(sinceMs);
      await rig.begin('bob', elsewhere(10));
      expect(rig.sent).toHaveLength(isSent ? 2 : 1);
    });
  }

  it('the fifth in an hour is sent, the sixth is not, until the hour of the first is over', async () => {
    const view = await rig.begin('bob');
    for (let sends = 2; sends <= 5; sends += 1) {
      rig.advance(60_000);
      await resend(view);
      expect(rig.sent).toHaveLength(sends);
    }
    const sinceFirstMs = 4 * 60_000;
    rig.advance(60_000);
    expect((await refusal(resend(view))).data).toEqual({ retryAfterMs: 3_600_000 - sinceFirstMs - 60_000 });

    rig.advance(3_600_000 - sinceFirstMs - 60_000 - 1);
    const late = await rig.begin('bob');
    expect(rig.sent).toHaveLength(5);
    rig.advance(1);
    await resend(late);
    expect(rig.sent).toHaveLength(6);
  });

  it('no limit refuses a login: it joins the living code, and without one it waits to have one sent', async () => {
    const view = await rig.begin('bob');
    for (let sends = 2; sends <= 5; sends += 1) {
      rig.advance(30_000);
      await resend(view);
    }
    const joined = await rig.begin('bob');
    expect(joined.asked).toMatchObject({ method: 'email', sentAgoMs: 0 });
    const waiting = await rig.begin('bob', elsewhere(10));
    expect(waiting).toMatchObject({ next: 'code', asked: { method: 'email' } });
    expect(waiting.asked?.sentAgoMs).toBeUndefined();
    expect(rig.sent).toHaveLength(5);
    expect(await rig.answer(joined, { code: lastCode() })).toMatchObject({ outcome: 'admitted' });
    expect(await rig.answer(waiting, { code: lastCode(), client: { ip: '203.0.113.10' } })).toMatchObject({
      reason: 'wrong-code',
    });
  });

  it('the limits are the user’s own: another user is not held up', async () => {
    rig.users.set(
      'eve',
      buildUser('eve', withFactor({ requiredOn: ['https'] }, { email: 'eve@example.com' })),
    );
    await rig.begin('bob');
    expect((await rig.begin('eve')).asked).toMatchObject({ sentAgoMs: 0 });
  });
});

describe('a delivered code', () => {
  it('S-01: is worth nothing through another node', async () => {
    await rig.begin('bob');
    const code = lastCode();
    rig.advance(30_000);
    const there = { node: rig.otherNode };
    const view = await rig.begin('bob', there);
    expect(rig.sent).toHaveLength(2);
    // The same six digits twice in a row happen once in a million runs.
    expect(await rig.answer(view, { code, ...there })).toMatchObject({ reason: 'wrong-code' });
    expect(await rig.answer(view, { code: lastCode(), ...there })).toMatchObject({ outcome: 'admitted' });
  });

  for (const [name, deliveredTtlMs, lifeMs] of [
    ['the life that main-agent.yaml gives', undefined, 300_000],
    ['a shorter life of its user’s own', 60_000, 60_000],
    ['a longer life of its user’s own', 600_000, 600_000],
  ] as const) {
    it(`has ${name}, to the millisecond`, async () => {
      setUser({ deliveredTtlMs });
      const last = await rig.begin('bob');
      expect([last.expiresInMs, rig.sent[0]?.expiresInMs]).toEqual([lifeMs, lifeMs]);
      rig.advance(lifeMs - 1);
      const joined = await rig.begin('bob');
      expect(joined.expiresInMs).toBe(1);
      expect(await rig.answer(last, { code: lastCode() })).toMatchObject({ outcome: 'admitted' });

      const late = await rig.begin('bob');
      rig.advance(lifeMs);
      expect((await refusal(rig.answer(late, { code: lastCode() }))).code).toBe('challenge-gone');
    });
  }

  it('may have letters, none of them one that is mistaken for another, and is read in any spelling', async () => {
    rig.close();
    rig = await buildRig({ twoFactor: { delivered: { charset: 'alphanumeric', length: 8 } } });
    const seen = new Set<string>();
    for (let number = 0; number < 60; number += 1) {
      const name = `user${number}`;
      rig.users.set(name, buildUser(name, withFactor({ requiredOn: ['https'] }, { email: 'x@example.com' })));
      const view = await rig.begin(name);
      expect(view.asked).toMatchObject({ shapes: ['alphanumeric', 'bypass'], deliveredLength: 8 });
      const code = lastCode();
      expect(code).toMatch(/^[2-9A-HJ-NP-Z]{8}$/);
      for (const character of code) seen.add(character);
      const typed = `${code.slice(0, 4).toLowerCase()} ${code.slice(4)}`;
      expect(await rig.answer(view, { code: typed })).toMatchObject({ outcome: 'admitted' });
    }
    // 480 draws of 32 characters: that one of them never comes happens once in a hundred thousand runs.
    expect(seen.size).toBe(32);
  });

  for (const [length, fits] of [
    [5, false],
    [6, true],
    [12, true],
    [13, false],
  ] as const) {
    it(`of ${length} characters ${fits ? 'can' : 'can not'} be configured`, async () => {
      const open = buildRig({ twoFactor: { delivered: { length } } });
      const opened = await open.then(
        (built) => {
          built.close();
          return true;
        },
        () => false,
      );
      expect(opened).toBe(fits);
    });
  }
});
