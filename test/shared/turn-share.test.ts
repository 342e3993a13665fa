import { describe, expect, it } from 'vitest';
import { busyTurnsMax, TurnShare } from '#shared/turn-share.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

function setUp(shareBytes: number): { share: TurnShare; told: string[] } {
  const told: string[] = [];
  const share = new TurnShare(shareBytes, {
    pause: () => void told.push('pause'),
    resume: () => void told.push('resume'),
    onQuiet: () => void told.push('quiet'),
  });
  return { share, told };
}

describe('a share of a turn', () => {
  it('is used up by its last byte, and there again in the next turn', async () => {
    const { share, told } = setUp(100);
    share.count(99);
    expect([told, share.isUsedUp]).toEqual([[], false]);
    share.count(1);
    expect([told, share.isUsedUp]).toEqual([['pause'], true]);
    await nextTurn();
    expect([told, share.isUsedUp]).toEqual([['pause', 'resume'], false]);
    share.count(99);
    expect(told).toEqual(['pause', 'resume']);
    share.count(1);
    expect(told).toEqual(['pause', 'resume', 'pause']);
  });

  it('is busy until a whole turn passed in which it was not used up, and says so once', async () => {
    const { share, told } = setUp(100);
    share.count(100);
    expect(share.isBusy).toBe(true);
    await nextTurn();
    share.count(100);
    await nextTurn();
    expect([told, share.isBusy]).toEqual([['pause', 'resume', 'pause', 'resume'], true]);
    share.count(99);
    await nextTurn();
    expect([told.slice(4), share.isBusy]).toEqual([['quiet'], false]);
    await nextTurn();
    expect(told).toHaveLength(5);
  });

  it('that is used up in every turn lets nobody wait for its end for ever', async () => {
    const { share, told } = setUp(100);
    for (let turn = 0; turn < 2 * busyTurnsMax; turn += 1) {
      share.count(100);
      await nextTurn();
    }
    expect(told.filter((word) => word === 'quiet')).toHaveLength(2);
    expect(told.filter((word) => word === 'resume')).toHaveLength(2 * busyTurnsMax);
  });

  it('is not asked twice for a pause by what was on its way', async () => {
    const { share, told } = setUp(100);
    for (let piece = 0; piece < 5; piece += 1) share.count(101);
    expect(told).toEqual(['pause']);
    await nextTurn();
    expect([told, share.isUsedUp]).toEqual([['pause', 'resume'], false]);
  });
});
