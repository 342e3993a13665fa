import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Entry } from './contents.ts';

/** Trees to archives that are the same bytes whoever makes them, wherever and whenever. */

export interface Making {
  /** Seconds; the time of every file. */
  readonly epoch: number;
  /** Others than `xz` where nobody keeps the archive, such as in tests: the smallest takes a minute. */
  readonly compression: 'xz' | 'gzip' | 'none';
}

const levels = { xz: '6', gzip: '1', none: '0' } as const;
const packing = {
  xz: ['-I', `xz -${levels.xz} -T1`],
  gzip: ['-I', `gzip -n${levels.gzip}`],
  none: [],
} as const;

/** Packs with one thread, because xz cuts its blocks by the number of them. */
const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC', DPKG_DEB_THREADS_MAX: '1' };

export function makeDebian(
  target: string,
  tree: { readonly files: readonly Entry[]; readonly control: readonly Entry[] },
  making: Making,
): void {
  inFolder((folder) => {
    writeTree(folder, tree.files);
    writeTree(join(folder, 'DEBIAN'), tree.control);
    packDebian(target, folder, making);
  });
}

/** `folder`: as dpkg-deb wants it. */
export function packDebian(target: string, folder: string, { epoch, compression }: Making): void {
  setTimes(folder, epoch);
  execFileSync(
    'dpkg-deb',
    ['--root-owner-group', `-Z${compression}`, `-z${levels[compression]}`, '--build', folder, target],
    { env: { ...env, SOURCE_DATE_EPOCH: String(epoch) }, stdio: ['ignore', 'ignore', 'inherit'] },
  );
}

/** `top`: the one folder in it. */
export function makeTar(
  target: string,
  top: string,
  files: readonly Entry[],
  { epoch, compression }: Making,
): void {
  inFolder((folder) => {
    writeTree(join(folder, top), files);
    const order = ['--sort=name', `--mtime=@${epoch}`, '--owner=0', '--group=0', '--numeric-owner'];
    execFileSync(
      'tar',
      ['-C', folder, '--format=gnu', ...order, ...packing[compression], '-cf', target, top],
      {
        env,
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
  });
}

/** What apt asks a folder of packages for. Unsigned: whoever offers it to others signs it with a key of theirs. */
export function writeIndex(folder: string): void {
  const index = execFileSync('dpkg-scanpackages', ['--multiversion', '.'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  writeFileSync(join(folder, 'Packages'), index);
}

function inFolder(make: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-package-'));
  try {
    chmodSync(folder, folderMode);
    make(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const folderMode = 0o755;

export function writeTree(folder: string, entries: readonly Entry[]): void {
  mkdirSync(folder, { recursive: true });
  for (const entry of entries) {
    const path = join(folder, entry.path);
    mkdirSync(dirname(path), { recursive: true });
    if ('linkTo' in entry) symlinkSync(entry.linkTo, path);
    else {
      if ('file' in entry) copyFileSync(entry.file, path);
      else writeFileSync(path, entry.bytes);
      chmodSync(path, entry.mode);
    }
  }
  // Whatever the umask of who builds says.
  for (const one of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (one.isDirectory()) chmodSync(join(one.parentPath, one.name), folderMode);
  chmodSync(folder, folderMode);
}

/** dpkg-deb itself only brings later times down to it. */
function setTimes(folder: string, epoch: number): void {
  for (const one of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(one.parentPath, one.name);
    if (one.isSymbolicLink()) lutimesSync(path, epoch, epoch);
    else utimesSync(path, epoch, epoch);
  }
  utimesSync(folder, epoch, epoch);
}
