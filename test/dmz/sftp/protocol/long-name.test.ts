import { describe, expect, it } from 'vitest';
import { encodeAttributes } from '#dmz/sftp/protocol/attributes.ts';
import { longName } from '#dmz/sftp/protocol/long-name.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';

const now = Date.UTC(2026, 5, 15, 12);
const file: Attributes = {
  type: 'file',
  size: 1234,
  mtimeMs: Date.UTC(2026, 5, 1, 9, 5),
  atimeMs: 0,
  mode: 0o644,
  links: 1,
};

describe('long names', () => {
  it('look like ls -l', () => {
    expect(longName('a b.txt', file, 'alice', now)).toBe(
      '-rw-r--r--    1 alice    alice        1234 Jun  1 09:05 a b.txt',
    );
  });

  it('show the year of old and of future files', () => {
    expect(longName('x', { ...file, mtimeMs: Date.UTC(2024, 11, 31) }, 'a', now)).toContain('Dec 31  2024 x');
    expect(longName('x', { ...file, mtimeMs: Date.UTC(2027, 0, 1) }, 'a', now)).toContain('Jan  1  2027 x');
  });

  it.each([
    [{ type: 'folder', mode: 0o755 }, 'drwxr-xr-x'],
    [{ type: 'link', mode: 0o777 }, 'lrwxrwxrwx'],
    [{ mode: 0o4755 }, '-rwsr-xr-x'],
    [{ mode: 0o2640 }, '-rw-r-S---'],
    [{ type: 'folder', mode: 0o1777 }, 'drwxrwxrwt'],
    [{ mode: 0o1600 }, '-rw------T'],
  ] as const)('permissions of %j', (change, expected) => {
    expect(longName('x', { ...file, ...change }, 'a', now).slice(0, 10)).toBe(expected);
  });
});

describe('attributes on the wire', () => {
  it('carry type bits, and times that fit 32 bits', () => {
    const bytes = encodeAttributes({ ...file, size: 2 ** 40, mtimeMs: -1, atimeMs: 1e15 });
    expect(bytes.toString('hex')).toBe('0000000f00000100000000000000000000000000000081a4ffffffff00000000');
  });
});
