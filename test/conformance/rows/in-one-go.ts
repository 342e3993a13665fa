import {
  close,
  copyData,
  fsetStat,
  fstat,
  fsync,
  lstat,
  makeFolder,
  open,
  openFolder,
  posixRename,
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
import { row, type Row, type Table } from '../row.ts';

const rounds = 20;
const times = [1_100_000_000, 1_200_000_000] as const;
const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

const eachRounds: readonly Row[] = [
  row('MKDIR of a chain of folders', [
    [makeFolder('a'), makeFolder('a/b'), makeFolder('a/b/c'), makeFolder('a/b/c/d')],
  ]),
  row('WRITE, CLOSE, SETSTAT of the path', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), close('h'), setStat('new', { mode: 0o640, times })],
    stat('new'),
  ]),
  row('WRITE, FSETSTAT, CLOSE, STAT', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), fsetStat('h', { mode: 0o640, times }), close('h'), stat('new')],
  ]),
  row('WRITE, CLOSE, RENAME', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), close('h'), rename('new', 'newer')],
    stat('newer'),
  ]),
  row('WRITE, CLOSE, posix-rename over a file', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), close('h'), posixRename('new', 'five')],
  ]),
  row('OPEN of a new file, LSTAT', [[open('h', 'new', 'wc'), lstat('new')], close('h')]),
  row('OPEN of a new file with EXCL, LSTAT, SETSTAT of its times', [
    [open('h', 'new', 'wcx', { mode: 0o644 }), lstat('new'), setStat('new', { times })],
    close('h'),
  ]),
  row('MKDIR, OPEN of a new file in it', [
    [makeFolder('d'), open('h', 'd/f', 'wct')],
    write('h', 0, 'x'),
    close('h'),
  ]),
  row('four times MKDIR and OPEN of a file in it', [
    range(4).flatMap((n) => [makeFolder(`d${n}`), open(`h${n}`, `d${n}/f`, 'wct')]),
    range(4).map((n) => close(`h${n}`)),
  ]),
  row('REMOVE, OPEN of the name', [
    [remove('five'), open('h', 'five', 'wcx')],
    write('h', 0, 'x'),
    close('h'),
  ]),
  row('REMOVE, OPEN for reading', [[remove('five'), open('h', 'five', 'r')]]),
  row('REMOVE, MKDIR of the name', [
    [remove('five'), makeFolder('five'), remove('other'), makeFolder('other')],
  ]),
  row('RENAME, STAT of both names', [[rename('five', 'six'), stat('five'), stat('six')]]),
  row('RENAME, OPEN of the new name', [
    [rename('five', 'six'), open('h', 'six', 'r')],
    read('h', 0, 9),
    close('h'),
  ]),
  row('RENAME in a circle', [[rename('five', 'six'), rename('other', 'five'), rename('six', 'other')]]),
  row('RENAME of a folder, STAT of what is in it', [
    [rename('full', 'moved'), stat('full/inside'), stat('moved/inside')],
  ]),
  row('WRITE, CLOSE, STAT', [open('h', 'new', 'wct'), [write('h', 0, 'abc'), close('h'), stat('new')]]),
  row('CLOSE of an upload, OPENDIR', [
    open('h', 'bare/new', 'wct'),
    [close('h'), openFolder('d', 'bare')],
    readFolder('d'),
    close('d'),
  ]),
  row('CLOSE of an upload, OPEN for reading', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), close('h'), open('r', 'new', 'r')],
    read('r', 0, 9),
    close('r'),
  ]),
  row('WRITE, STAT of the path', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), stat('new'), write('h', 3, 'de'), stat('new')],
    close('h'),
  ]),
  row('WRITE in place, STAT of the path', [
    open('h', 'five', 'w'),
    [write('h', 5, ' you'), stat('five')],
    close('h'),
  ]),
  row('WRITE, FSTAT', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), fstat('h'), write('h', 3, 'de'), fstat('h')],
    close('h'),
  ]),
  row('WRITE, READ on one handle', [
    open('h', 'new', 'rwct'),
    [write('h', 0, 'abc'), read('h', 0, 9), write('h', 1, 'X'), read('h', 0, 9)],
    close('h'),
  ]),
  row('REMOVE of all, RMDIR', [[remove('full/inside'), removeFolder('full'), stat('full')]]),
  row('SETSTAT of the mode, STAT', [
    [setStat('five', { mode: 0o640 }), stat('five'), setStat('five', { mode: 0o600 }), stat('five')],
  ]),
  row('SETSTAT of the size, STAT, READ', [
    open('r', 'five', 'r'),
    [setStat('five', { size: 3 }), stat('five'), read('r', 0, 9)],
    close('r'),
  ]),
  row('CLOSE, REMOVE', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), close('h'), remove('new'), stat('new')],
  ]),
  row('CLOSE twice in one go', [open('h', 'new', 'wct'), [write('h', 0, 'abc'), close('h'), close('h')]]),
  row('READ, CLOSE', [
    open('h', 'long', 'r'),
    [read('h', 0, 100), read('h', 99_990, 100), close('h'), read('h', 0, 5)],
  ]),
  row('MKDIR, RMDIR, MKDIR of one name', [[makeFolder('d'), removeFolder('d'), makeFolder('d'), stat('d')]]),
  row('MKDIR, RENAME, RMDIR of the folder', [
    [makeFolder('d'), rename('d', 'e'), removeFolder('e'), stat('d'), stat('e')],
  ]),
  row('MKDIR, OPENDIR, REALPATH', [[makeFolder('d'), openFolder('h', 'd'), realPath('d/x')], close('h')]),
  row('WRITE, fsync, CLOSE, RENAME', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'abc'), fsync('h'), close('h'), rename('new', 'newer'), stat('newer')],
  ]),
  row('copy-data, CLOSE of both, STAT', [
    open('f', 'long', 'r'),
    open('t', 'new', 'wct'),
    [copyData('f', 0, 0, 't', 0), close('f'), close('t'), stat('new')],
  ]),
  row('two uploads of one name, one after the other', [
    open('h', 'new', 'wct'),
    [write('h', 0, 'first'), close('h'), open('i', 'new', 'wct')],
    [write('i', 0, '2nd'), close('i'), stat('new')],
  ]),
];

export const inOneGo: Table = {
  title: 'Requests in one go',
  rows: [
    ...eachRounds.map((one) => ({ ...one, title: `in one go: ${one.title}`, rounds })),
    row('in one go: 500 READs here and there', [
      open('h', 'long', 'r'),
      range(500).map((n) => read('h', (n * 7919) % 100_000, 200)),
      close('h'),
    ]),
    row('in one go: 500 READs in order', [
      open('h', 'long', 'r'),
      range(500).map((n) => read('h', n * 200, 200)),
      close('h'),
    ]),
    row('in one go: 500 READs backwards', [
      open('h', 'long', 'r'),
      range(500).map((n) => read('h', 99_800 - n * 200, 200)),
      close('h'),
    ]),
    row('in one go: 200 READs on two handles by turns', [
      open('h', 'long', 'r'),
      open('i', 'long', 'r'),
      range(200).map((n) => read(n % 2 === 0 ? 'h' : 'i', n * 500, 500)),
      [close('h'), close('i')],
    ]),
    row('in one go: 400 WRITEs in order, CLOSE', [
      open('h', 'new', 'wct'),
      [...range(400).map((n) => write('h', n * 4, String(n).padStart(4, '0'))), close('h')],
    ]),
    row('in one go: 400 WRITEs in any order, CLOSE', [
      open('h', 'new', 'wct'),
      [
        ...range(400).map((n) => write('h', ((n * 149) % 400) * 4, String((n * 149) % 400).padStart(4, '0'))),
        close('h'),
      ],
    ]),
    row('in one go: 100 APPENDs', [
      open('h', 'five', 'wa'),
      [...range(100).map((n) => write('h', 0, ` ${n}`)), close('h')],
    ]),
    row('in one go: WRITEs that overlap, the last one counts', [
      open('h', 'new', 'wct'),
      [write('h', 0, 'aaaaaaaa'), write('h', 2, 'bbbb'), write('h', 3, 'cc'), write('h', 0, 'd'), close('h')],
    ]),
    row('in one go: 100 files, MKDIR to STAT', [
      [
        makeFolder('d'),
        ...range(100).map((n) => makeFolder(`d/${n}`)),
        ...range(100).map((n) => stat(`d/${n}`)),
      ],
    ]),
    row('in one go: 60 uploads of 1 KiB', [
      range(60).map((n) => open(`h${n}`, `new${n}`, 'wct')),
      range(60).flatMap((n) => [
        write(`h${n}`, 0, `${n} `.repeat(300).slice(0, 1024)),
        close(`h${n}`),
        setStat(`new${n}`, { times }),
      ]),
      range(60).map((n) => stat(`new${n}`)),
    ]),
  ],
};
