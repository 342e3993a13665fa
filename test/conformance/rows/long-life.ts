import {
  close,
  lstat,
  makeFolder,
  open,
  openFolder,
  read,
  readFolder,
  realPath,
  remove,
  removeFolder,
  rename,
  setStat,
  stat,
  write,
} from '../requests.ts';
import { row, type Table } from '../row.ts';

const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

/** What clients do for hours on one session: nothing may add up. */
export const longLife: Table = {
  title: 'A long life',
  rows: [
    row(
      '600 uploads, fifty at a time',
      range(12).flatMap((turn) => [
        range(50).map((n) => open(`h${n}`, `up${n}`, 'wct')),
        range(50).map((n) => write(`h${n}`, 0, `turn ${turn}`)),
        range(50).map((n) => close(`h${n}`)),
      ]),
    ),
    row(
      '500 times OPEN, READ and CLOSE',
      range(10).flatMap(() => [
        range(50).map((n) => open(`h${n}`, 'five', 'r')),
        range(50).map((n) => read(`h${n}`, 0, 9)),
        range(50).map((n) => close(`h${n}`)),
      ]),
    ),
    row('160 files open for writing at once', [
      range(160).map((n) => open(`h${n}`, `up${n}`, 'wct')),
      range(160).map((n) => write(`h${n}`, 0, `first of ${n}`)),
      range(160).map((n) => write(`h${n}`, 20, 'second')),
      range(160).map((n) => close(`h${n}`)),
    ]),
    row('160 files open for reading at once', [
      range(160).map((n) => open(`h${n}`, 'long', 'r')),
      range(160).map((n) => read(`h${n}`, n * 10, 10)),
      range(160).map((n) => read(`h${n}`, n * 20, 20)),
      range(160).map((n) => close(`h${n}`)),
    ]),
    row('160 files open for writing in place at once', [
      range(160).map((n) => open(`h${n}`, 'long', 'w')),
      range(160).map((n) => write(`h${n}`, n * 10, 'X')),
      range(160).map((n) => close(`h${n}`)),
    ]),
    row('5,000 STATs in one go', [range(5000).map((n) => (n % 2 === 0 ? stat('five') : lstat('full')))]),
    row('2,000 STATs of what is not there in one go', [range(2000).map((n) => stat(`no${n}`))]),
    row('2,000 REALPATHs in one go', [range(2000).map((n) => realPath(`x${n}`))]),
    row(
      '100 folders made and removed',
      range(1).flatMap(() => [
        range(100).map((n) => makeFolder(`d${n}`)),
        range(100).map((n) => removeFolder(`d${n}`)),
      ]),
    ),
    row(
      '500 folders opened and closed',
      range(10).flatMap(() => [
        range(50).map((n) => openFolder(`d${n}`, 'full')),
        range(50).map((n) => readFolder(`d${n}`)),
        range(50).map((n) => close(`d${n}`)),
      ]),
    ),
    row('200 RENAMEs back and forth in one go', [
      range(100).flatMap(() => [rename('five', 'six'), rename('six', 'five')]),
    ]),
    row('200 SETSTATs in one go', [
      range(200).map((n) => setStat('five', { mode: n % 2 === 0 ? 0o600 : 0o644 })),
    ]),
    row(
      '60 uploads made and removed in one session',
      range(2).flatMap(() => [
        range(30).map((n) => open(`h${n}`, `up${n}`, 'wcx')),
        range(30).flatMap((n) => [write(`h${n}`, 0, 'x'), close(`h${n}`), remove(`up${n}`)]),
      ]),
    ),
    row('2,000 small WRITEs in one go', [
      open('h', 'new', 'wct'),
      range(2000).map((n) => write('h', n * 5, String(n).padStart(5, '.'))),
      close('h'),
    ]),
    row('500 requests that are refused', [
      range(500).map((n) => (n % 2 === 0 ? removeFolder('full') : open('x', 'no/no', 'r'))),
    ]),
  ],
};
