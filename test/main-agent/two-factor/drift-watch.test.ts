import { describe, expect, it } from 'vitest';
import { describeSuspicion, DriftWatch } from '#main-agent/two-factor/drift-watch.ts';
import { driftSuspectUsers, driftUsersMax, driftWindowMs } from '#main-agent/two-factor/limits.ts';

function build() {
  let nowMs = 1_000_000;
  const watch = new DriftWatch({ now: () => 0, monotonic: () => nowMs }, { periodSeconds: 30 });
  return { watch, advance: (ms: number) => (nowMs += ms) };
}
const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `user${index}`);

describe('drift of many users', () => {
  it('is one suspicion, told once, when enough of them drift alike', () => {
    const { watch } = build();
    for (const name of names(driftSuspectUsers - 1)) expect(watch.note(name, 3)).toBeUndefined();
    expect(watch.suspicion()).toBeUndefined();
    expect(watch.note('one more', 4)).toEqual({ users: driftSuspectUsers, driftSeconds: 90 });
    expect(watch.note('and another', 3)).toBeUndefined();
    expect(watch.suspicion()).toEqual({ users: driftSuspectUsers + 1, driftSeconds: 90 });
  });

  it('is no suspicion when it is one user again and again, or each has another drift', () => {
    const { watch } = build();
    for (let time = 0; time < 50; time += 1) expect(watch.note('alice', 3)).toBeUndefined();
    for (const steps of [-10, -7, -4, 2, 5, 8]) expect(watch.note(`user${steps}`, steps)).toBeUndefined();
  });

  it('is forgotten after its time, and told again when it comes again', () => {
    const { watch, advance } = build();
    for (const name of names(driftSuspectUsers)) watch.note(name, -2);
    advance(driftWindowMs - 1);
    expect(watch.suspicion()).toEqual({ users: driftSuspectUsers, driftSeconds: -60 });
    advance(1);
    expect(watch.suspicion()).toBeUndefined();
    for (const name of names(driftSuspectUsers).slice(1)) watch.note(name, -2);
    expect(watch.note('user0', -2)).toBeDefined();
  });

  it('remembers a bounded number of users, the newest', () => {
    const { watch } = build();
    for (const name of names(driftSuspectUsers)) watch.note(name, 9);
    for (let index = 0; index < driftUsersMax; index += 1) watch.note(`other${index}`, -9);
    expect(watch.suspicion()).toEqual({ users: driftUsersMax, driftSeconds: -270 });
  });

  it('says whose clock it would be', () => {
    expect(describeSuspicion({ users: 5, driftSeconds: 90 })).toContain('clock is about 90 s slow');
    expect(describeSuspicion({ users: 5, driftSeconds: -60 })).toContain('clock is about 60 s fast');
  });
});
