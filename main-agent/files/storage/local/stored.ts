/** From what the kernel says of an entry to what a storage tells: attributes and ETag, or why it is not served. */
import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import type { BigIntStats, Dirent } from 'node:fs';
import { isSallyportError } from '#shared/error.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';
import type { Found } from '../blob-storage.ts';
import { stagingFolderName } from '../places.ts';
import type { Stored } from '../storage.ts';
import type { UnservedKind } from '../unserved.ts';

/** Rounded as Node rounds its own `mtimeMs`, which a listing may have been sorted by. */
function toMs(ns: bigint): number {
  return Number(ns / 1_000_000n) + Number(ns % 1_000_000n) / 1e6;
}

/**
 * Device, inode and time of birth: an inode's number comes again soon after its file is gone. Where the file system knows
 * no time of birth it is always the same, and the number is all there is.
 */
export function fileId(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`;
}

/**
 * Strong validator: device, inode, size, times of content and of status change in nanoseconds. Any write, replacement
 * or change of times gives another one; 132 bits of SHA-256 tell nothing of the parts.
 */
function etagOf(stats: BigIntStats): string {
  const identity = `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
  return hash('sha256', identity, 'base64url').slice(0, 22);
}

/** Undefined for symbolic links, pipes, sockets and devices: they are neither shown nor opened. */
export function toStored(stats: BigIntStats): Stored | undefined {
  const type = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : undefined;
  if (type === undefined) return undefined;
  return {
    type,
    id: fileId(stats),
    size: Number(stats.size),
    mtimeMs: toMs(stats.mtimeNs),
    atimeMs: toMs(stats.atimeNs),
    mode: Number(stats.mode) & 0o7777,
    links: Number(stats.nlink),
    changedAtMs: toMs(stats.ctimeNs),
    ...(type === 'file' && { etag: etagOf(stats) }),
  };
}

/** What a look at a name found. */
export function toFound(stats: BigIntStats | undefined): Found | undefined {
  return stats === undefined ? undefined : (toStored(stats) ?? 'unserved');
}

/** Why an entry of a folder is not served; undefined: it is, as far as the listing tells its type. */
export function whyUnserved(entry: Dirent, name: string | Buffer = entry.name): UnservedKind | undefined {
  if (entry.isSymbolicLink()) return 'link';
  if (entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice())
    return 'special';
  return isAddressable(name) ? undefined : 'name';
}

/** Whether a path can hold the name: the very rule that judges what clients send. */
function isAddressable(name: string | Buffer): boolean {
  if (typeof name !== 'string' && !isUtf8(name)) return false;
  const text = name.toString();
  if (text === stagingFolderName) return false;
  try {
    requireComponents([text]);
    return true;
  } catch (error) {
    if (isSallyportError(error, 'bad-path')) return false;
    throw error;
  }
}
