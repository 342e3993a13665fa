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
  type Request,
  setStat,
  shorten,
  stat,
  write,
  close,
  expandPath,
} from '../requests.ts';
import { here, row, type Row, type Step, type Table } from '../row.ts';

const exactly = (name: string): Path => ({ exactly: name });

/** With what our door tells otherwise. */
const realPaths: readonly (readonly [what: string, path: Path, told?: string])[] = [
  ['a file', 'five'],
  ['a folder', 'full'],
  ['what is in a folder', 'full/inside'],
  ['what is not there in a folder that is', 'no'],
  ['what is not there in a folder that is not there', 'no/no', '/here/no/no'],
  ['a slash behind a file', 'five/'],
  ['a slash behind a folder', 'full/'],
  ['a slash behind what is not there', 'no/', '/here/no'],
  ['dots', 'full/../five'],
  ['one dot', '.'],
  ['a dot behind a folder', 'full/.'],
  ['a dot behind a file', 'five/.'],
  ['two dots behind a file', 'five/..'],
  ['two dots behind what is not there', 'no/..', '/here'],
  ['doubled slashes', 'full//inside'],
  ['below a file', 'five/x', '/here/five/x'],
  ['an absolute path', { absolute: 'full/inside' }],
  ['an absolute path with dots', { absolute: 'full/../five' }],
  ['nothing', exactly('')],
  ['the start', exactly('.')],
  ['the start with a slash', exactly('./')],
];

/** Names that a request may bring, and what is asked with each. */
const badNames: readonly (readonly [what: string, name: string | Buffer, isStored: boolean])[] = [
  ['with a NUL in it', 'a\0b', false],
  ['of 256 bytes', 'n'.repeat(256), false],
  ['that is not UTF-8', Buffer.from([0x66, 0xff, 0x66]), true],
  ['with a carriage return', 'Icon\r', true],
  ['with a new line', 'two\nlines', true],
  ['with an escape', 'red\u001b[31m', true],
  ['that ends in a dot', 'report.', true],
  ['that ends in a blank', 'x ', true],
  ['that is a device on Windows', 'aux.txt', true],
  ['with an override of direction', 'exe\u202egpj', true],
  ['with a line separator', 'a\u2028b', true],
  ['with a replacement character', 'a\ufffdb', true],
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

/** The reference stores them, but for those that no POSIX file system takes. */
const bad: readonly Row[] = badNames.map(([what, name, isStored]) => {
  const refused = (request: Request): Step => here('names', 'PERMISSION_DENIED', request);
  return row(
    `a name ${what}`,
    [
      refused(open('h', name, 'wct')),
      refused(open('i', name, 'r')),
      refused(makeFolder(name)),
      refused(stat(name)),
      refused(rename('five', name)),
      refused(openFolder('d', name)),
    ],
    isStored ? { leaves: { because: 'names', entries: { [shorten(name.toString())]: undefined } } } : {},
  );
});

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
    ...realPaths.map(([what, path, told]) =>
      row(`REALPATH of ${what}`, [
        told === undefined ? realPath(path) : here('lexical', `NAME ${told}`, realPath(path)),
      ]),
    ),
    row('REALPATH of the root', [
      here('jail', 'NAME /', realPath(exactly('/'))),
      here('jail', 'NAME /', realPath(exactly('//'))),
      here('jail', 'NAME /', realPath(exactly('/.'))),
    ]),
    row('REALPATH above the root', [
      here('jail', 'NAME /', realPath(exactly('/..'))),
      here('jail', 'NAME /', realPath(exactly('/../..'))),
    ]),
    row('REALPATH above the start', [here('jail', 'NAME /', realPath(exactly('..')))]),
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
    row(
      'the folder itself as a dot',
      [
        stat('.'),
        openFolder('d', '.'),
        here('sooner', 'NO_SUCH_FILE', open('h', '.', 'r')),
        makeFolder('.'),
        remove('.'),
        here('lexical', 'OK', removeFolder('bare/.')),
        here('names', 'PERMISSION_DENIED', rename('.', 'x')),
        here('lexical', 'NO_SUCH_FILE', rename('bare/.', 'x')),
        here('lexical', 'NO_SUCH_FILE', rename('five', '.')),
      ],
      { leaves: { because: 'lexical', entries: { bare: undefined } } },
    ),
    row('the folder above as two dots', [
      stat('full/..'),
      openFolder('d', 'full/..'),
      makeFolder('full/..'),
      remove('full/..'),
      removeFolder('full/..'),
      here('names', 'PERMISSION_DENIED', rename('full/..', 'x')),
      rename('five', 'full/..'),
    ]),
    row('two dots behind what is not there', [
      here('lexical', 'ATTRS folder 755', stat('no/..')),
      here('lexical', 'ATTRS file 644 5 bytes at 1000000000', stat('no/../five')),
      here('lexical', 'HANDLE', open('h', 'no/../five', 'r')),
    ]),
    row('two dots behind a file', [
      here('lexical', 'ATTRS folder 755', stat('five/..')),
      here('lexical', 'ATTRS file 644 14 bytes at 1000000000', stat('five/../other')),
      here('lexical', 'HANDLE', open('h', 'five/../other', 'r')),
    ]),
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
      here('names', 'PERMISSION_DENIED', stat('d/'.repeat(2500))),
      here('names', 'PERMISSION_DENIED', makeFolder('d/'.repeat(2500))),
      here('names', 'PERMISSION_DENIED', realPath('d/'.repeat(2500))),
    ]),
    row('a path of 20,000 bytes', [stat('d/'.repeat(10_000)), realPath('./'.repeat(10_000)), stat('five')]),
    row('upper and lower case are two names', [makeFolder('Bare'), open('h', 'FIVE', 'r'), stat('Full')]),
    row('expand-path of plain paths', [expandPath(''), expandPath('.'), expandPath('./')]),
    row('expand-path of the user’s own folder', [
      expandPath('~'),
      expandPath('~/'),
      here('lexical', 'NAME /', expandPath('~/x/..')),
    ]),
    row('expand-path of somebody else’s folder', [
      expandPath('~nobody-of-that-name'),
      expandPath('~nobody-of-that-name/x'),
    ]),
  ],
};
