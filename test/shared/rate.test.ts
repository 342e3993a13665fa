import { describe, expect, it } from 'vitest';
import { Rate } from '#shared/rate.ts';

const limit = { burst: 2, perSecond: 4 };

describe('a rate', () => {
  it('lets its burst through at once and then one each so often; what was too many takes nothing', () => {
    const rate = new Rate(limit, 0);
    expect([rate.take(0), rate.take(0), rate.take(0), rate.take(249), rate.take(250)]).toEqual([
      true,
      true,
      false,
      false,
      true,
    ]);
  });

  it('saves up no more than its burst', () => {
    const rate = new Rate(limit, 0);
    rate.take(0);
    expect([rate.left(60_000), rate.waitMs(60_000)]).toEqual([2, 0]);
  });

  it('says how long it is to the next one', () => {
    const rate = new Rate(limit, 0, 0);
    expect([rate.waitMs(0), rate.waitMs(100), rate.waitMs(250)]).toEqual([250, 150, 0]);
  });

  it('may be owed more than is there, and says how long until it would have been', () => {
    const rate = new Rate(limit, 0);
    expect([rate.owe(2, 0), rate.owe(1, 0), rate.owe(3, 0)]).toEqual([0, 250, 1000]);
    expect([rate.left(500), rate.left(1_000)]).toEqual([-2, 0]);
  });

  it('whose limit changes keeps what is left, and fills by the new one', () => {
    const rate = new Rate(limit, 0, 0);
    rate.limit = { burst: 1, perSecond: 1 };
    expect([rate.left(500), rate.left(60_000)]).toEqual([0.5, 1]);
  });
});
