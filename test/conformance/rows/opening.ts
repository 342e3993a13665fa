import { setStat, close, fstat, lstat, makeFolder, open, read, stat, write } from '../requests.ts';
import { here, row, type Row, type Table } from '../row.ts';

/** Every combination of OPEN's six flags, on a file that is there and on one that is not. */
const everyCombination: readonly Row[] = Array.from({ length: 64 }, (_, bits) => {
  const letters = Array.from('rwactx', (letter, index) => (bits & (2 ** index) ? letter : '')).join('');
  const flags = letters === '' ? 0 : letters;
  return row(`OPEN with the flags ${letters === '' ? '(none)' : letters}, then WRITE and READ`, [
    open('h', 'five', flags),
    write('h', 1, 'XY'),
    read('h', 0, 100),
    close('h'),
    open('n', 'new', flags),
    write('n', 2, 'XY'),
    read('n', 0, 100),
    close('n'),
  ]);
});

export const opening: Table = {
  title: 'Opening files',
  rows: [
    ...everyCombination,
    row('a flag that version 3 does not know', [open('h', 'five', 0x41), read('h', 0, 5), close('h')]),
    row('OPEN of a folder for reading', [
      here('sooner', 'FAILURE', open('h', 'full', 'r')),
      here('sooner', 'FAILURE', fstat('h')),
      read('h', 0, 5),
      here('sooner', 'NO_SUCH_FILE', close('h')),
    ]),
    row('OPEN of a folder for writing', [
      open('h', 'full', 'w'),
      open('i', 'full', 'wct'),
      open('j', 'full', 'wc'),
    ]),
    row('OPEN in a folder that is not there', [
      open('h', 'no/new', 'wct'),
      open('i', 'no/new', 'r'),
      stat('no'),
    ]),
    row('OPEN below a file', [open('h', 'five/new', 'wct'), open('i', 'five/new', 'r')]),
    row('OPEN of a file with a slash behind it', [
      open('h', 'five/', 'r'),
      open('i', 'five/', 'w'),
      read('h', 0, 9),
    ]),
    row('OPEN of a new file with a slash behind it', [open('h', 'new/', 'wct'), stat('new')]),
    row('a new file takes the mode of its OPEN', [
      open('h', 'new', 'wct', { mode: 0o640 }),
      fstat('h'),
      close('h'),
      stat('new'),
    ]),
    row('a new file takes a mode without a bit for anybody', [
      open('h', 'new', 'wct', { mode: 0 }),
      write('h', 0, 'x'),
      close('h'),
      here('modes', 'ATTRS file 600 1 bytes', stat('new')),
      setStat('new', { mode: 0o644 }),
    ]),
    row(
      'a new file may be read-only from the start and still be written',
      [
        open('h', 'new', 'wct', { mode: 0o444 }),
        write('h', 0, 'x'),
        close('h'),
        here('modes', 'ATTRS file 644 1 bytes', stat('new')),
      ],
      { leaves: { because: 'modes', entries: { new: 'file 644 "x"' } } },
    ),
    row('a new file without a mode gets the usual one', [open('h', 'new', 'wct'), close('h'), stat('new')]),
    row(
      'a new file with all mode bits',
      [
        open('h', 'new', 'wct', { mode: 0o7777 }),
        close('h'),
        here('modes', 'ATTRS file 775 0 bytes', stat('new')),
      ],
      { leaves: { because: 'modes', entries: { new: 'file 775 (empty)' } } },
    ),
    row('a file that is there keeps its mode whatever OPEN says', [
      open('h', 'five', 'wct', { mode: 0o600 }),
      write('h', 0, 'x'),
      close('h'),
      stat('five'),
    ]),
    row('OPEN for writing in place leaves mode and content', [
      open('h', 'five', 'w', { mode: 0o600 }),
      close('h'),
      stat('five'),
    ]),
    row('size, owner and times in OPEN are ignored', [
      open('h', 'new', 'wct', { size: 77, owner: [1, 2], times: [5, 5] }),
      fstat('h'),
      close('h'),
      stat('new'),
    ]),
    row('extended attributes in OPEN are ignored', [
      open('h', 'new', 'wct', { extended: [['a@example.com', 'b']] }),
      close('h'),
      stat('new'),
    ]),
    row('an empty new file is made by OPEN and CLOSE', [open('h', 'new', 'wc'), close('h'), stat('new')]),
    row('TRUNC empties a file at CLOSE even without a WRITE', [
      open('h', 'five', 'wt'),
      close('h'),
      stat('five'),
    ]),
    row('a file is open twice at once for reading', [
      open('h', 'five', 'r'),
      open('i', 'five', 'r'),
      read('h', 0, 3),
      read('i', 2, 3),
      close('h'),
      read('i', 0, 5),
      close('i'),
    ]),
    row('OPEN with EXCL of a folder', [open('h', 'bare', 'wcx'), open('i', 'full/inside', 'wcx')]),
    row('OPEN with EXCL twice', [
      open('h', 'new', 'wcx'),
      open('i', 'new', 'wcx'),
      close('h'),
      open('j', 'new', 'wcx'),
    ]),
    row('OPEN with EXCL of a name whose upload was closed', [
      open('h', 'new', 'wcx'),
      write('h', 0, 'abc'),
      close('h'),
      open('i', 'new', 'wcx'),
      stat('new'),
    ]),
    row('a file below a new folder', [
      makeFolder('d'),
      open('h', 'd/f', 'wct'),
      write('h', 0, 'x'),
      close('h'),
      lstat('d/f'),
    ]),
    row('a file whose name is not ASCII', [
      open('h', 'äöü 日本 🎈', 'wct'),
      write('h', 0, 'x'),
      close('h'),
      stat('äöü 日本 🎈'),
    ]),
  ],
};
