import { beforeEach, describe, expect, it } from 'vitest';
import { proveTriesMax } from '#main-agent/two-factor/limits.ts';
import { PendingSetups } from '#main-agent/two-factor/pending-setups.ts';
import { Secret } from '#shared/secret.ts';

describe('a set-up', () => {
  let nowMs: number;
  let begun: string[];
  let ended: string[];
  let setups: PendingSetups;
  beforeEach(() => {
    nowMs = 0;
    [begun, ended] = [[], []];
    setups = new PendingSetups({
      clock: { now: () => nowMs, monotonic: () => nowMs },
      begin: async (username) => {
        begun.push(username);
        return { setup: `${username} ${begun.length}`, secret: new Secret(Buffer.from('secret')) };
      },
      end: (setup) => ended.push(setup),
      qrTtlMs: 1_000,
      proveTtlMs: 1_000,
    });
  });

  it('is begun for its user, and is over for the vault too when another one is begun', async () => {
    await setups.start('alice', 'session');
    await setups.start('bob', 'session');
    await setups.start('alice', 'session');
    expect(begun).toEqual(['alice', 'bob', 'alice']);
    expect(ended).toEqual(['alice 1']);
  });

  it.each([
    ['it is saved, or taken away', () => setups.end('alice')],
    ['its time is over', () => void (nowMs = 1_000)],
    [
      'it was proven wrong too often',
      () => {
        const { setup } = setups.confirm('alice', 'session');
        for (let tries = 0; tries < proveTriesMax; tries += 1) setups.countWrong('alice', setup);
      },
    ],
  ])('is over for the vault too, once, when %s', async (_, act) => {
    await setups.start('alice', 'session');
    act();
    expect(() => setups.confirm('alice', 'session')).toThrow('start again');
    setups.end('alice');
    expect(ended).toEqual(['alice 1']);
  });
});
