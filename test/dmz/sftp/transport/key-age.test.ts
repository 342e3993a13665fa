import { describe, expect, it } from 'vitest';
import { idleRekeyRate, rekeyBytes, rekeyMs, rekeyTrafficBytes } from '#dmz/sftp/limits.ts';
import { KeyAge } from '#dmz/sftp/transport/key-age.ts';

describe('the age of keys', () => {
  it('is up after one gigabyte or one hour', () => {
    const age = new KeyAge(0);
    age.count(rekeyBytes - 1);
    expect([age.isDue(0), age.isDue(rekeyMs - 1), age.isDue(rekeyMs)]).toEqual([false, false, true]);
    age.count(1);
    expect(age.isDue(0)).toBe(true);
    age.renew(rekeyMs);
    expect([age.isDue(rekeyMs), age.isDue(2 * rekeyMs)]).toEqual([false, true]);
  });

  it('a client may renew as often as it has traffic', () => {
    const age = new KeyAge(0);
    for (let count = 0; count < 1000; count++) {
      age.renew(0);
      age.count(rekeyTrafficBytes);
      expect(age.mayRenew(0)).toBe(true);
    }
  });

  it('a client that renews idly by the clock stays; only a storm is too much', () => {
    const age = new KeyAge(0);
    for (let now = 0; now < 12 * 3_600_000; now += 2000) expect(age.mayRenew(now)).toBe(true);
    const now = 13 * 3_600_000;
    for (let count = 0; count < idleRekeyRate.burst; count++) expect(age.mayRenew(now)).toBe(true);
    expect(age.mayRenew(now)).toBe(false);
    expect(age.mayRenew(now + 1000 / idleRekeyRate.perSecond)).toBe(true);
  });
});
