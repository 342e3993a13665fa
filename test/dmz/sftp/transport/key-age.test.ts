import { describe, expect, it } from 'vitest';
import { idleRekeysMax, rekeyBytes, rekeyMs, rekeyTrafficBytes } from '#dmz/sftp/limits.ts';
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

  it('a client may renew as often as it has traffic, and idly a few times', () => {
    const age = new KeyAge(0);
    for (let count = 0; count < 1000; count++) {
      age.renew(0);
      age.count(rekeyTrafficBytes);
      expect(age.mayRenew()).toBe(true);
    }
    age.renew(0);
    for (let count = 0; count < idleRekeysMax; count++) expect(age.mayRenew()).toBe(true);
    expect(age.mayRenew()).toBe(false);
  });
});
