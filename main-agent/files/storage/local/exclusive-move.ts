import type { PathLike } from 'node:fs';
import * as fs from 'node:fs/promises';
import { hasErrno } from '../file-error.ts';

/** A rename that never replaces: the kernel refuses a second name where one is (EEXIST). */
export async function moveExclusive(from: PathLike, to: PathLike): Promise<void> {
  try {
    await fs.link(from, to);
  } catch (error) {
    // A file system without hard links: the name was free a moment ago, under our lock.
    if (!hasErrno(error, 'EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'EMLINK')) throw error;
    await fs.rename(from, to);
    return;
  }
  await fs.unlink(from);
}
