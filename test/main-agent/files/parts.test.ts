import { expect, test } from 'vitest';
import { Bandwidth } from '#main-agent/files/bandwidth.ts';
import { firstInOrder, sortCooperatively } from '#main-agent/files/cooperative-sort.ts';
import { toFileError } from '#main-agent/files/storage/file-error.ts';
import { KeyLock, Slots } from '#main-agent/turns.ts';
import { SallyportError } from '#shared/error.ts';

test('a speed limit lets a quarter of a second go at once and then keeps the rate', () => {
  let now = 0;
  const bandwidth = new Bandwidth({ now: () => now, monotonic: () => now });
  const take = (bytes: number) => bandwidth.take('alice', 'upload', bytes, 1_000_000);
  take(0);
  now = 10_000;
  expect(take(250_000)).toBe(0);
  expect(take(100_000)).toBeCloseTo(100);
  expect(take(100_000)).toBeCloseTo(200);
  now += 200;
  expect(take(0)).toBe(0);
});

test('a speed limit is shared by all streams of a user, per direction, and is nobody else\u2019s', () => {
  const bandwidth = new Bandwidth({ now: () => 0, monotonic: () => 0 });
  expect(bandwidth.take('alice', 'upload', 1_000, 1_000)).toBeCloseTo(1_000);
  expect(bandwidth.take('alice', 'upload', 1_000, 1_000)).toBeCloseTo(2_000);
  expect(bandwidth.take('alice', 'download', 1_000, 1_000)).toBeCloseTo(1_000);
  expect(bandwidth.take('bob', 'upload', 1_000, 1_000)).toBeCloseTo(1_000);
  expect(bandwidth.take('carol', 'upload', 1e12, undefined)).toBe(0);
});

test('the cooperative sort sorts as the plain one does, equal items in their order', async () => {
  for (const length of [0, 1, 4095, 4096, 4097, 20_000]) {
    const items = Array.from({ length }, (_, index) => ({ key: (index * 7919) % 101, index }));
    const compare = (a: { key: number }, b: { key: number }) => a.key - b.key;
    expect(await sortCooperatively(items, compare)).toEqual([...items].sort(compare));
  }
});

test('the first few are those that would be first were all sorted', async () => {
  for (const length of [0, 1, 4096, 10_000]) {
    const items = Array.from({ length }, (_, index) => (index * 7919) % 10_007);
    const compare = (a: number, b: number) => a - b;
    for (const wanted of [1, 2, 200, length]) {
      expect(await firstInOrder(items, wanted, compare)).toEqual(items.toSorted(compare).slice(0, wanted));
      expect(
        await firstInOrder(
          items.toSorted((a, b) => b - a),
          wanted,
          compare,
        ),
      ).toEqual(items.toSorted(compare).slice(0, wanted));
    }
  }
});

test('a key is held by one at a time, and two keys never wait for each other', async () => {
  const lock = new KeyLock();
  let holders = 0;
  let most = 0;
  const hold = (...keys: string[]) =>
    lock.hold(keys, async () => {
      holders += 1;
      most = Math.max(most, holders);
      await new Promise(setImmediate);
      holders -= 1;
    });
  await Promise.all(
    Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? hold('a', 'b') : hold('b', 'a', 'a'))),
  );
  expect(most).toBe(1);
  await expect(lock.hold(['a'], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await hold('a');
});

test('slots let so many run and no more, also after failures', async () => {
  const slots = new Slots(2);
  let running = 0;
  let most = 0;
  await Promise.allSettled(
    Array.from({ length: 10 }, (_, index) =>
      slots.run(async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise(setImmediate);
        running -= 1;
        if (index % 3 === 0) throw new Error('failed');
      }),
    ),
  );
  expect(most).toBe(2);
});

test('errors of the kernel become file codes whose message tells no path, others stay internal', () => {
  const errno = (code: string) => Object.assign(new Error(`${code}: open '/srv/secret/place'`), { code });
  const codes = ['ENOENT', 'EDQUOT', 'ENOSPC', 'EIO', 'EWHATEVER'].map((code) => toFileError(errno(code)));
  expect(codes.map((error) => error.code)).toEqual([
    'not-found',
    'quota-exceeded',
    'no-space',
    'io-error',
    'io-error',
  ]);
  for (const error of codes) expect(error.publicMessage).not.toContain('/srv');
  expect(toFileError(errno('ERR_INVALID_ARG_TYPE')).code).toBe('internal');
  expect(toFileError(new TypeError('x')).code).toBe('internal');
  const own = new SallyportError('exists', 'x');
  expect(toFileError(own)).toBe(own);
});
