import { describe, expect, it } from 'vitest';
import { TurnShare } from '#shared/turn-share.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

function setUp(shareBytes: number): { share: TurnShare; told: string[] } {
  const told: string[] = [];
  const share = new TurnShare(shareBytes, {
    pause: () => void told.push('pause'),
    resume: () => void told.push('resume'),
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

  it('is not asked twice for a pause by what was on its way', async () => {
    const { share, told } = setUp(100);
    for (let piece = 0; piece < 5; piece += 1) share.count(101);
    expect(told).toEqual(['pause']);
    await nextTurn();
    expect([told, share.isUsedUp]).toEqual([['pause', 'resume'], false]);
  });
});
