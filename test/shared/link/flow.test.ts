import { describe, expect, it } from 'vitest';
import { FramePool } from '#shared/link/frame-pool.ts';
import type { Lane } from '#shared/link/lane.ts';
import {
  pooledFramesMax,
  streamsPerLinkMax,
  streamsPerSessionMax,
  windowBytesMax,
  windowBytesStart,
  windowGrowthRttMsMin,
} from '#shared/link/limits.ts';
import { SendRing } from '#shared/link/send-ring.ts';
import { areStreamsFull } from '#shared/link/stream-bounds.ts';
import { WindowGrowth } from '#shared/link/window-growth.ts';

describe('a window', () => {
  function buildGrowth(rttMs: number | undefined) {
    const time = { ms: 1000 };
    const growth = new WindowGrowth({ now: () => time.ms, rttMs: () => rttMs });
    /** `bytes` were dealt with, `afterMs` after the last time. */
    const wanted = (bytes: number, afterMs: number): number => {
      time.ms += afterMs;
      return growth.wanted(bytes);
    };
    return { growth, wanted };
  }

  it('grows on a link as long as the bound and not on a shorter one, nor on one not measured yet', () => {
    expect(buildGrowth(windowGrowthRttMsMin).wanted(windowBytesStart, windowGrowthRttMsMin)).toBe(
      windowBytesStart,
    );
    const short = windowGrowthRttMsMin - 0.1;
    expect(buildGrowth(short).wanted(windowBytesStart, short)).toBe(0);
    expect(buildGrowth(undefined).wanted(windowBytesStart, 1000)).toBe(0);
  });

  it('is judged after a whole round trip, by all that arrived in it', () => {
    const { wanted } = buildGrowth(10);
    expect(wanted(windowBytesStart / 4, 9.9)).toBe(0);
    expect(wanted(windowBytesStart / 4, 0.1)).toBe(windowBytesStart);
  });

  it('grows when half of it or more arrived in a round trip, not for less', () => {
    expect(buildGrowth(10).wanted(windowBytesStart / 2, 10)).toBe(windowBytesStart);
    expect(buildGrowth(10).wanted(windowBytesStart / 2 - 1, 10)).toBe(0);
    expect(buildGrowth(10).wanted(windowBytesStart, 20)).toBe(windowBytesStart);
    expect(buildGrowth(10).wanted(windowBytesStart - 1, 20)).toBe(0);
  });

  it('is judged anew each time: what arrived before counts no more', () => {
    const { wanted } = buildGrowth(10);
    expect(wanted(windowBytesStart / 2 - 1, 10)).toBe(0);
    expect(wanted(windowBytesStart / 2 - 1, 10)).toBe(0);
    expect(wanted(windowBytesStart / 2 - 1, 9)).toBe(0);
  });

  it('doubles up to its bound, and counts what it grew by', () => {
    const { growth, wanted } = buildGrowth(10);
    const wishes: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const wish = wanted(windowBytesMax, 10);
      wishes.push(wish);
      growth.grow(wish);
    }
    expect(wishes).toEqual([windowBytesStart, 2 * windowBytesStart, 4 * windowBytesStart, 0, 0]);
    expect(growth.grownBytes).toBe(windowBytesMax - windowBytesStart);
    const odd = buildGrowth(10);
    odd.growth.grow(windowBytesMax - windowBytesStart - 100);
    expect(odd.wanted(windowBytesMax, 10)).toBe(100);
  });
});

describe('turns', () => {
  const member = (group: string, name: string) => ({ group, name });
  const [a1, a2, a3, b1, c1] = [
    member('a', 'a1'),
    member('a', 'a2'),
    member('a', 'a3'),
    member('b', 'b1'),
    member('c', 'c1'),
  ];
  function takeAll(ring: SendRing<{ group: string; name: string }>): string[] {
    const names: string[] = [];
    for (let one = ring.next(); one !== undefined && names.length < 20; one = ring.next())
      names.push(one.name);
    return names;
  }

  it('go round the groups, and within a group in the order of coming', () => {
    const ring = new SendRing<typeof a1>();
    for (const one of [a1, a2, a3, b1, c1]) ring.add(one);
    expect(takeAll(ring)).toEqual(['a1', 'b1', 'c1', 'a2', 'a3']);
    expect(ring.next()).toBeUndefined();
    ring.add(b1);
    ring.add(a1);
    expect(takeAll(ring)).toEqual(['b1', 'a1']);
  });

  it('are kept by who asks again, and given once', () => {
    const ring = new SendRing<typeof a1>();
    for (const one of [a1, b1, a1, a2, a1]) ring.add(one);
    expect(takeAll(ring)).toEqual(['a1', 'b1', 'a2']);
  });

  it('are not of who was taken out, and leave the others theirs', () => {
    const ring = new SendRing<typeof a1>();
    for (const one of [a1, a2, b1, c1]) ring.add(one);
    ring.remove(a1);
    ring.remove(b1);
    ring.remove(a3);
    expect(takeAll(ring)).toEqual(['a2', 'c1']);
    for (const one of [b1, a1]) ring.add(one);
    ring.remove(b1);
    ring.add(b1);
    expect(takeAll(ring)).toEqual(['a1', 'b1']);
  });
});

describe('streams of a link', () => {
  const lane = (streamCount: number, ofSession: number): Lane =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what is asked of a lane here
    ({ streamCount, countOf: () => ofSession }) as unknown as Lane;

  it('S-09: are full over all its lanes together at the bound, and with one more beyond', () => {
    const half = streamsPerLinkMax / 2;
    expect(areStreamsFull([lane(half, 0), lane(half - 1, 0)], 's', 1)).toBe(false);
    expect(areStreamsFull([lane(half, 0), lane(half, 0)], 's', 1)).toBe(true);
    expect(areStreamsFull([lane(half, 0), lane(half, 0)], 's', 0)).toBe(false);
    expect(areStreamsFull([lane(half, 0), lane(half + 1, 0)], 's', 0)).toBe(true);
  });

  it('S-09: of one session have their own bound', () => {
    const half = streamsPerSessionMax / 2;
    expect(areStreamsFull([lane(half, half), lane(half, half - 1)], 's', 1)).toBe(false);
    expect(areStreamsFull([lane(half, half), lane(half, half)], 's', 1)).toBe(true);
    expect(areStreamsFull([lane(half, half), lane(half, half)], 's', 0)).toBe(false);
    expect(areStreamsFull([lane(half, half), lane(half + 1, half + 1)], 's', 0)).toBe(true);
  });
});

describe('frame buffers', () => {
  it('are used again, idle ones up to the bound', () => {
    const pool = new FramePool();
    const lent = Array.from({ length: pooledFramesMax + 1 }, () => pool.acquire());
    expect(pool.lent).toBe(pooledFramesMax + 1);
    for (const frame of lent) pool.release(frame);
    expect(pool.lent).toBe(0);
    const again = new Set(Array.from({ length: pooledFramesMax + 1 }, () => pool.acquire()));
    expect(again.size).toBe(pooledFramesMax + 1);
    expect(lent.filter((frame) => again.has(frame))).toHaveLength(pooledFramesMax);
    expect(pool.lent).toBe(pooledFramesMax + 1);
  });
});
