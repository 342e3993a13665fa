import {
  close,
  copyData,
  fsetStat,
  fstat,
  fstatvfs,
  fsync,
  open,
  openFolder,
  rawPacket,
  read,
  readFolder,
  type Request,
  text,
  write,
} from '../requests.ts';
import { here, row, type Row, type Table } from '../row.ts';

/** What names a handle. */
const onHandles: readonly (readonly [string, (handle: string) => Request])[] = [
  ['CLOSE', close],
  ['READ', (handle) => read(handle, 0, 5)],
  ['READ of nothing', (handle) => read(handle, 0, 0)],
  ['WRITE', (handle) => write(handle, 0, 'x')],
  ['WRITE of nothing', (handle) => write(handle, 0, '')],
  ['FSTAT', fstat],
  ['FSETSTAT', (handle) => fsetStat(handle, { mode: 0o600 })],
  ['FSETSTAT of nothing', (handle) => fsetStat(handle, {})],
  ['READDIR', readFolder],
  ['fsync', fsync],
  ['fstatvfs', fstatvfs],
  ['copy-data', (handle) => copyData(handle, 0, 0, handle, 0)],
];

const bad: readonly Row[] = onHandles.flatMap(([name, ask]) => [
  row(`${name} with a handle that nobody gave`, [ask('none')]),
  row(`${name} with a handle of no bytes`, [ask('')]),
  row(`${name} with a handle that was closed`, [open('h', 'five', 'r'), close('h'), ask('h')]),
  row(`${name} with the handle of a closed folder`, [openFolder('d', 'full'), close('d'), ask('d')]),
  row(`${name} with the longest handle there may be`, [ask('h'.repeat(256))]),
]);

/** On a handle of the other kind. */
const crossed: readonly Row[] = onHandles
  .filter(([name]) => name !== 'CLOSE' && name !== 'READDIR')
  .map(([name, ask]) => {
    const answer = { FSTAT: 'ATTRS folder 755 at 1000000000', fstatvfs: 'usage of 11 numbers' }[name];
    const asked = answer === undefined ? ask('d') : here('answered', answer, ask('d'));
    return row(`${name} on a folder’s handle`, [openFolder('d', 'full'), asked, close('d')]);
  });

const thirty = Array.from({ length: 30 }, (_, index) => `h${index}`);

export const handles: Table = {
  title: 'Handles',
  rows: [
    ...bad,
    ...crossed,
    row('READDIR on a file’s handle', [open('h', 'five', 'r'), readFolder('h'), close('h')]),
    row('CLOSE twice', [open('h', 'five', 'r'), close('h'), close('h')]),
    row('CLOSE of an upload twice', [open('h', 'new', 'wct'), write('h', 0, 'x'), close('h'), close('h')]),
    row('thirty handles of one file, each with its place', [
      ...thirty.map((name) => open(name, 'long', 'r')),
      ...thirty.map((name, index) => read(name, index * 10, 10)),
      ...thirty.map((name) => close(name)),
    ]),
    row('a hundred files open for reading at once', [
      Array.from({ length: 100 }, (_, index) => open(`r${index}`, 'five', 'r')),
      Array.from({ length: 100 }, (_, index) => read(`r${index}`, 1, 2)),
      Array.from({ length: 100 }, (_, index) => close(`r${index}`)),
    ]),
    row('ninety-six uploads open at once', [
      Array.from({ length: 96 }, (_, index) => open(`w${index}`, `new${index}`, 'wct')),
      Array.from({ length: 96 }, (_, index) => write(`w${index}`, 0, `content ${index}`)),
      Array.from({ length: 96 }, (_, index) => close(`w${index}`)),
    ]),
    row('fifty folders open at once', [
      Array.from({ length: 50 }, (_, index) => openFolder(`d${index}`, 'full')),
      Array.from({ length: 50 }, (_, index) => readFolder(`d${index}`)),
      Array.from({ length: 50 }, (_, index) => close(`d${index}`)),
    ]),
    row('a handle of bytes that are no text', [
      rawPacket(4, 'CLOSE \\xff\\xfe', text(Buffer.of(0xff, 0xfe))),
    ]),
  ],
};
