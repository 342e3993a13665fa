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
import { row, type Table } from '../row.ts';

export const links: Table = {
  title: 'Links',
  rows: [
    row('READLINK of a file, a folder and nothing', [
      readLink('five'),
      readLink('full'),
      readLink('no'),
      readLink('five/x'),
    ]),
    row('SYMLINK', [symlink('five', 'l'), lstat('l'), stat('l')]),
    row('SYMLINK over a file', [symlink('five', 'other')]),
    row('hardlink', [hardLink('five', 'l'), stat('l')]),
    row('hardlink of what is not there', [hardLink('no', 'l')]),
    row(
      'a link to a file that others put there',
      [lstat('l'), stat('l'), open('h', 'l', 'r'), read('h', 0, 9), close('h'), readLink('l'), realPath('l')],
      { tree: { l: { link: 'five' } } },
    ),
    row(
      'a link to a folder that others put there',
      [lstat('l'), stat('l'), stat('l/inside'), openFolder('d', 'l'), readFolder('d'), close('d')],
      { tree: { l: { link: 'full' } } },
    ),
    row(
      'a link to nothing that others put there',
      [lstat('l'), stat('l'), open('h', 'l', 'r'), readLink('l')],
      { tree: { l: { link: 'no' } } },
    ),
    row(
      'a link to outside that others put there',
      [lstat('l'), stat('l'), open('h', 'l', 'r'), readLink('l')],
      { tree: { l: { link: '/etc/hostname' } } },
    ),
    row('writing through a link that others put there', [open('h', 'l', 'wct'), open('i', 'l', 'w')], {
      tree: { l: { link: 'five' } },
    }),
    row('a link among the names of a folder', [openFolder('d', 'full'), readFolder('d'), close('d')], {
      tree: { 'full/l': { link: 'inside' } },
    }),
    row('REMOVE of a link that others put there', [remove('l'), stat('five')], {
      tree: { l: { link: 'five' } },
    }),
    row('RENAME of a link that others put there', [rename('l', 'm'), readLink('m')], {
      tree: { l: { link: 'five' } },
    }),
    row('RMDIR of a link to a folder', [removeFolder('l')], { tree: { l: { link: 'bare' } } }),
    row(
      'SETSTAT of a link that others put there',
      [setStat('l', { mode: 0o600 }), lsetStat('l', { times: [5, 5] }), stat('five')],
      { tree: { l: { link: 'five' } } },
    ),
  ],
};
