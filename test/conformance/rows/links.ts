import {
  close,
  hardLink,
  lsetStat,
  lstat,
  open,
  openFolder,
  read,
  readFolder,
  readLink,
  realPath,
  remove,
  removeFolder,
  rename,
  setStat,
  stat,
  symlink,
} from '../requests.ts';
import { here, row, type Table } from '../row.ts';

export const links: Table = {
  title: 'Links',
  rows: [
    row('READLINK of a file, a folder and nothing', [
      here('links', 'OP_UNSUPPORTED', readLink('five')),
      here('links', 'OP_UNSUPPORTED', readLink('full')),
      readLink('no'),
      readLink('five/x'),
    ]),
    row(
      'SYMLINK',
      [
        here('links', 'PERMISSION_DENIED', symlink('five', 'l')),
        here('links', 'NO_SUCH_FILE', lstat('l')),
        here('links', 'NO_SUCH_FILE', stat('l')),
      ],
      { leaves: { because: 'links', entries: { l: undefined } } },
    ),

    row('SYMLINK over a file', [here('links', 'PERMISSION_DENIED', symlink('five', 'other'))]),
    row(
      'hardlink',
      [here('links', 'OP_UNSUPPORTED', hardLink('five', 'l')), here('links', 'NO_SUCH_FILE', stat('l'))],
      { leaves: { because: 'links', entries: { l: undefined } } },
    ),

    row('hardlink of what is not there', [here('links', 'OP_UNSUPPORTED', hardLink('no', 'l'))]),
    row(
      'a link to a file that others put there',
      [
        here('links', 'NO_SUCH_FILE', lstat('l')),
        here('links', 'NO_SUCH_FILE', stat('l')),
        here('links', 'NO_SUCH_FILE', open('h', 'l', 'r')),
        here('links', 'FAILURE', read('h', 0, 9)),
        here('links', 'NO_SUCH_FILE', close('h')),
        here('links', 'NO_SUCH_FILE', readLink('l')),
        here('links', 'NAME /here/l', realPath('l')),
      ],
      { tree: { l: { link: 'five' } } },
    ),
    row(
      'a link to a folder that others put there',
      [
        here('links', 'NO_SUCH_FILE', lstat('l')),
        here('links', 'NO_SUCH_FILE', stat('l')),
        here('links', 'NO_SUCH_FILE', stat('l/inside')),
        here('links', 'NO_SUCH_FILE', openFolder('d', 'l')),
        here('links', 'FAILURE', readFolder('d')),
        here('links', 'NO_SUCH_FILE', close('d')),
      ],
      { tree: { l: { link: 'full' } } },
    ),
    row(
      'a link to nothing that others put there',
      [
        here('links', 'NO_SUCH_FILE', lstat('l')),
        stat('l'),
        open('h', 'l', 'r'),
        here('links', 'NO_SUCH_FILE', readLink('l')),
      ],
      { tree: { l: { link: 'no' } } },
    ),
    row(
      'a link to outside that others put there',
      [
        here('links', 'NO_SUCH_FILE', lstat('l')),
        here('links', 'NO_SUCH_FILE', stat('l')),
        here('links', 'NO_SUCH_FILE', open('h', 'l', 'r')),
        here('links', 'NO_SUCH_FILE', readLink('l')),
      ],
      { tree: { l: { link: '/dev' } } },
    ),
    row(
      'writing through a link that others put there',
      [here('links', 'FAILURE', open('h', 'l', 'wct')), here('links', 'FAILURE', open('i', 'l', 'w'))],
      {
        tree: { l: { link: 'five' } },
        leaves: { because: 'links', entries: { five: 'file 644 "hello" at 1000000000' } },
      },
    ),
    row(
      'a link among the names of a folder',
      [
        openFolder('d', 'full'),
        here('links', 'NAME inside: file 644 11 bytes at 1000000000 «-rw-r--r-- 11»', readFolder('d')),
        close('d'),
      ],
      {
        tree: { 'full/l': { link: 'inside' } },
      },
    ),
    row(
      'REMOVE of a link that others put there',
      [here('links', 'NO_SUCH_FILE', remove('l')), stat('five')],
      {
        tree: { l: { link: 'five' } },
        leaves: { because: 'links', entries: { l: 'link to five' } },
      },
    ),
    row(
      'RENAME of a link that others put there',
      [here('links', 'NO_SUCH_FILE', rename('l', 'm')), here('links', 'NO_SUCH_FILE', readLink('m'))],
      {
        tree: { l: { link: 'five' } },
        leaves: { because: 'links', entries: { l: 'link to five', m: undefined } },
      },
    ),
    row('RMDIR of a link to a folder', [removeFolder('l')], { tree: { l: { link: 'bare' } } }),
    row(
      'SETSTAT of a link that others put there',
      [
        here('links', 'NO_SUCH_FILE', setStat('l', { mode: 0o600 })),
        here('links', 'NO_SUCH_FILE', lsetStat('l', { times: [5, 5] })),
        here('links', 'ATTRS file 644 5 bytes at 1000000000', stat('five')),
      ],
      {
        tree: { l: { link: 'five' } },
        leaves: { because: 'links', entries: { five: 'file 644 "hello" at 1000000000' } },
      },
    ),
  ],
};
