import {
  lstat,
  makeFolder,
  open,
  openFolder,
  type Path,
  readLink,
  realPath,
  remove,
  removeFolder,
  rename,
  setStat,
  stat,
  write,
  close,
  expandPath,
} from '../requests.ts';
import { row, type Row, type Table } from '../row.ts';

const exactly = (name: string | Buffer): Path => ({ exactly: name });

const realPaths: readonly (readonly [string, Path])[] = [
  ['a file', 'five'],
  ['a folder', 'full'],
  ['what is in a folder', 'full/inside'],
  ['what is not there in a folder that is', 'no'],
  ['what is not there in a folder that is not there', 'no/no'],
  ['a slash behind a file', 'five/'],
  ['a slash behind a folder', 'full/'],
  ['a slash behind what is not there', 'no/'],
  ['dots', 'full/../five'],
  ['one dot', '.'],
  ['a dot behind a folder', 'full/.'],
  ['a dot behind a file', 'five/.'],
  ['two dots behind a file', 'five/..'],
  ['two dots behind what is not there', 'no/..'],
  ['doubled slashes', 'full//inside'],
  ['below a file', 'five/x'],
  ['an absolute path', { absolute: 'full/inside' }],
  ['an absolute path with dots', { absolute: 'full/../five' }],
  ['nothing', exactly('')],
  ['the start', exactly('.')],
  ['the start with a slash', exactly('./')],
];

/** Names that a request may bring, and what is asked with each. */
const badNames: readonly (readonly [string, string | Buffer])[] = [
  ['with a NUL in it', 'a\0b'],
  ['of 256 bytes', 'n'.repeat(256)],
  ['that is not UTF-8', Buffer.from([0x66, 0xff, 0x66])],
  ['with a carriage return', 'Icon\r'],
  ['with a new line', 'two\nlines'],
  ['with an escape', 'red\u001b[31m'],
  ['that ends in a dot', 'report.'],
  ['that ends in a blank', 'x '],
  ['that is a device on Windows', 'aux.txt'],
  ['with an override of direction', 'exe\u202egpj'],
  ['with a line separator', 'a\u2028b'],
  ['with a replacement character', 'a\ufffdb'],
];

const goodNames: readonly (readonly [string, string])[] = [
  ['of 255 bytes', 'n'.repeat(255)],
  ['with blanks', 'two words  and more'],
  ['that begins with a blank', ' x'],
  ['that begins with a dot', '.hidden'],
  ['that begins with two dots', '..x'],
  ['of three dots and more', '...x'],
  ['that begins with a dash', '-rf'],
  ['with a backslash', 'a\\b'],
  ['with quotes', `a"b'c`],
  ['with a star and a question mark', 'a*b?'],
  ['with a colon', 'a:b'],
  ['with less, more and a bar', 'a<b>c|d'],
  ['that is a tilde', '~'],
  ['with a dollar', '$HOME'],
  ['with a percent sign', '100%25'],
  ['with a composed letter', 'caf\u00e9'],
  ['with a decomposed letter', 'cafe\u0301'],
  ['in Arabic and Hebrew, with their marks', '\u05e6\u05d9\u05dc\u05d5\u05dd \u200f2024\u200e.png'],
  ['of an emoji with a joiner', '👩‍💻'],
  ['with a no-break blank', 'a\u00a0b'],
  ['with a zero-width blank', 'a\u200bb'],
];

function withName(folder: string, name: string | Buffer): Path {
  return typeof name === 'string' ? name : { exactly: Buffer.concat([Buffer.from(folder), name]) };
}

const bad: readonly Row[] = badNames.map(([what, name]) =>
  row(`a name ${what}`, [
    open('h', withName('', name), 'wct'),
    open('i', withName('', name), 'r'),
    makeFolder(withName('', name)),
    stat(withName('', name)),
    rename('five', withName('', name)),
    openFolder('d', withName('', name)),
  ]),
);

const good: readonly Row[] = goodNames.map(([what, name]) =>
  row(`a file with a name ${what}`, [
    open('h', name, 'wct'),
    write('h', 0, 'x'),
    close('h'),
    stat(name),
    openFolder('d', '.'),
    realPath(name),
    rename(name, 'full/moved'),
    rename('full/moved', name),
  ]),
);

const deep = 'd/'.repeat(40);

export const names: Table = {
  title: 'Names and paths',
  rows: [
    ...realPaths.map(([what, path]) => row(`REALPATH of ${what}`, [realPath(path)])),
    row('REALPATH of the root', [realPath(exactly('/')), realPath(exactly('//')), realPath(exactly('/.'))]),
    row('REALPATH above the root', [realPath(exactly('/..')), realPath(exactly('/../..'))]),
    row('REALPATH above the start', [realPath(exactly('..'))]),
    ...good,
    ...bad,
    row('an empty path', [
      stat(exactly('')),
      lstat(exactly('')),
      openFolder('d', exactly('')),
      open('h', exactly(''), 'r'),
      makeFolder(exactly('')),
      remove(exactly('')),
      removeFolder(exactly('')),
      rename(exactly(''), 'x'),
      rename('five', exactly('')),
      setStat(exactly(''), { mode: 0o755 }),
      readLink(exactly('')),
    ]),
    row('the folder itself as a dot', [
      stat('.'),
      openFolder('d', '.'),
      open('h', '.', 'r'),
      makeFolder('.'),
      remove('.'),
      removeFolder('bare/.'),
      rename('.', 'x'),
      rename('bare/.', 'x'),
      rename('five', '.'),
    ]),
    row('the folder above as two dots', [
      stat('full/..'),
      openFolder('d', 'full/..'),
      makeFolder('full/..'),
      remove('full/..'),
      removeFolder('full/..'),
      rename('full/..', 'x'),
      rename('five', 'full/..'),
    ]),
    row('two dots behind what is not there', [
      stat('no/..'),
      stat('no/../five'),
      open('h', 'no/../five', 'r'),
    ]),
    row('two dots behind a file', [stat('five/..'), stat('five/../other'), open('h', 'five/../other', 'r')]),
    row('a dot behind a file', [stat('five/.'), open('h', 'five/.', 'r')]),
    row('forty folders deep', [
      ...Array.from({ length: 40 }, (_, index) => makeFolder('d/'.repeat(index + 1).slice(0, -1))),
      open('h', `${deep}f`, 'wct'),
      write('h', 0, 'deep'),
      close('h'),
      stat(`${deep}f`),
      realPath(`${deep}f`),
    ]),
    row('a path of 5,000 bytes', [
      stat('d/'.repeat(2500)),
      makeFolder('d/'.repeat(2500)),
      realPath('d/'.repeat(2500)),
    ]),
    row('a path of 20,000 bytes', [stat('d/'.repeat(10_000)), realPath('./'.repeat(10_000)), stat('five')]),
    row('upper and lower case are two names', [makeFolder('Bare'), open('h', 'FIVE', 'r'), stat('Full')]),
    row('expand-path of plain paths', [expandPath(''), expandPath('.'), expandPath('./')]),
    row('expand-path of the user’s own folder', [expandPath('~'), expandPath('~/'), expandPath('~/x/..')]),
    row('expand-path of somebody else’s folder', [
      expandPath('~nobody-of-that-name'),
      expandPath('~nobody-of-that-name/x'),
    ]),
  ],
};
