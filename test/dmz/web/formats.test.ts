import { describe, expect, it } from 'vitest';
import { buildFormats } from '#dmz/web/format/formats.ts';

const english = buildFormats('en-GB', 'UTC');
const german = buildFormats('de-DE', 'Europe/Berlin');

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [1_234_567, '1.2 MB'],
    [99_949, '99.9 kB'],
    [99_950, '100 kB'],
    [999_499, '999 kB'],
    [999_500, '1.0 MB'],
    [12_800_000_000, '12.8 GB'],
    [Number.MAX_SAFE_INTEGER, '9.0 PB'],
  ])('%i bytes read as %s', (bytes, text) => {
    expect(english.size(bytes)).toBe(text);
  });

  it('use the comma in German', () => {
    expect(german.size(1_234_567)).toBe('1,2 MB');
  });
});

describe('dates', () => {
  const now = Date.parse('2026-11-24T09:31:00Z');
  it.each([
    ['2026-11-24T00:00:00Z', 'today 00:00'],
    ['2026-11-23T23:59:00Z', 'yesterday 23:59'],
    ['2026-11-22T14:02:00Z', 'Sun 14:02'],
    ['2026-11-18T14:02:00Z', 'Wed 14:02'],
    ['2026-11-17T14:02:00Z', '17 Nov 2026'],
    ['2026-11-25T08:00:00Z', 'tomorrow 08:00'],
    ['2026-11-26T08:00:00Z', '26 Nov 2026'],
  ])('%s reads as %s', (time, text) => {
    expect(english.modified(Date.parse(time), now)).toBe(text);
  });

  it('begin a day at the reader’s midnight', () => {
    const lateInBerlin = Date.parse('2026-11-23T23:30:00Z');
    expect(german.modified(lateInBerlin, now)).toBe('heute 00:30');
    expect(english.modified(lateInBerlin, now)).toBe('yesterday 23:30');
  });

  it('stay empty when the server sent none', () => {
    expect(english.modified(Number.NaN, now)).toBe('');
    expect(english.fullDate(Number.NaN)).toBe('');
  });
});

describe('durations', () => {
  it.each([
    [0, '1 s'],
    [45.2, '45 s'],
    [89, '89 s'],
    [90, '2 min'],
    [3540, '59 min'],
    [3600, '1 h'],
    [3900, '1 h 5 min'],
    [Number.POSITIVE_INFINITY, ''],
  ])('%f seconds read as %s', (seconds, text) => {
    expect(english.duration(seconds)).toBe(text);
  });
});
