/**
 * The records of a ZIP file (PKWARE APPNOTE 6.3), for files that are stored and come as a stream: the checksum follows
 * each file in a data descriptor. ZIP64 where a size, an offset or the count needs it, and only there.
 *
 * Our own because the writers to be had put entries into queues of their own, where what goes wrong is thrown outside of
 * any request: in a process that strangers talk to, that is everybody's session.
 */

export interface ZipEntry {
  /** With slashes; a folder's ends in one. At most 65,535 bytes of UTF-8. */
  readonly name: string;
  readonly isFolder: boolean;
  readonly size: number;
  readonly mtimeMs: number;
  /** POSIX permission bits. */
  readonly mode: number;
  /** Where its local header begins. */
  readonly offset: number;
}

const fits32 = (value: number): boolean => value < 0xffff_ffff;
const fits16 = (value: number): boolean => value < 0xffff;

const plainVersion = 20;
const zip64Version = 45;
/** Unix, so that permissions mean something; APPNOTE 6.3. */
const madeBy = (3 << 8) | 63;
const utf8Name = 1 << 11;
const descriptorFollows = 1 << 3;

/** A folder has nothing that could follow. */
const flagsOf = ({ isFolder }: ZipEntry): number => (isFolder ? utf8Name : utf8Name | descriptorFollows);

export function formatLocalHeader(entry: ZipEntry): Buffer {
  const name = Buffer.from(entry.name);
  const isLarge = !fits32(entry.size);
  const extra = isLarge ? formatZip64Extra([entry.size, entry.size]) : Buffer.alloc(0);
  const head = Buffer.alloc(30);
  const { date, time } = toDosTime(entry.mtimeMs);
  head.writeUInt32LE(0x04034b50, 0);
  head.writeUInt16LE(isLarge ? zip64Version : plainVersion, 4);
  head.writeUInt16LE(flagsOf(entry), 6);
  head.writeUInt16LE(time, 10);
  head.writeUInt16LE(date, 12);
  // Checksum and sizes stand in the descriptor; of a large file the sizes are known to be large.
  head.writeUInt32LE(isLarge ? 0xffff_ffff : 0, 18);
  head.writeUInt32LE(isLarge ? 0xffff_ffff : 0, 22);
  head.writeUInt16LE(name.length, 26);
  head.writeUInt16LE(extra.length, 28);
  return Buffer.concat([head, name, extra]);
}

/** Behind a file's bytes. */
export function formatDescriptor({ size }: ZipEntry, crc: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x08074b50, 0);
  head.writeUInt32LE(crc, 4);
  const sizes = Buffer.alloc(fits32(size) ? 8 : 16);
  for (const half of [0, sizes.length / 2])
    if (fits32(size)) sizes.writeUInt32LE(size, half);
    else sizes.writeBigUInt64LE(BigInt(size), half);
  return Buffer.concat([head, sizes]);
}

export function formatCentralRecord(entry: ZipEntry, crc: number): Buffer {
  const { size, offset, isFolder, mode } = entry;
  const name = Buffer.from(entry.name);
  // All three or none: Info-ZIP misreads a record that has only some of them.
  const isLarge = !fits32(size) || !fits32(offset);
  const large = isLarge ? [size, size, offset] : [];
  const extra = Buffer.concat([formatTimeExtra(entry.mtimeMs), formatZip64Extra(large)]);
  const head = Buffer.alloc(46);
  const { date, time } = toDosTime(entry.mtimeMs);
  head.writeUInt32LE(0x02014b50, 0);
  head.writeUInt16LE(madeBy, 4);
  head.writeUInt16LE(isLarge ? zip64Version : plainVersion, 6);
  head.writeUInt16LE(flagsOf(entry), 8);
  head.writeUInt16LE(time, 12);
  head.writeUInt16LE(date, 14);
  head.writeUInt32LE(crc, 16);
  head.writeUInt32LE(isLarge ? 0xffff_ffff : size, 20);
  head.writeUInt32LE(isLarge ? 0xffff_ffff : size, 24);
  head.writeUInt16LE(name.length, 28);
  head.writeUInt16LE(extra.length, 30);
  // POSIX type and mode above, the folder bit of DOS below.
  const posix = (isFolder ? 0o040_000 : 0o100_000) | (mode & 0o777);
  head.writeUInt32LE(posix * 0x1_0000 + (isFolder ? 0x10 : 0), 38);
  head.writeUInt32LE(isLarge ? 0xffff_ffff : offset, 42);
  return Buffer.concat([head, name, extra]);
}

/** The very end. `directory`: where the central records lie. */
export function formatEnd(
  count: number,
  directory: { readonly offset: number; readonly lengthBytes: number },
): Buffer {
  const { offset, lengthBytes } = directory;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(count, 0xffff), 8);
  end.writeUInt16LE(Math.min(count, 0xffff), 10);
  end.writeUInt32LE(Math.min(lengthBytes, 0xffff_ffff), 12);
  end.writeUInt32LE(Math.min(offset, 0xffff_ffff), 16);
  if (fits16(count) && fits32(lengthBytes) && fits32(offset)) return end;

  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeUInt16LE(madeBy, 12);
  end64.writeUInt16LE(zip64Version, 14);
  end64.writeBigUInt64LE(BigInt(count), 24);
  end64.writeBigUInt64LE(BigInt(count), 32);
  end64.writeBigUInt64LE(BigInt(lengthBytes), 40);
  end64.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + lengthBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([end64, locator, end]);
}

function formatZip64Extra(values: readonly number[]): Buffer {
  if (values.length === 0) return Buffer.alloc(0);
  const extra = Buffer.alloc(4 + values.length * 8);
  extra.writeUInt16LE(0x0001, 0);
  extra.writeUInt16LE(values.length * 8, 2);
  for (const [index, value] of values.entries()) extra.writeBigUInt64LE(BigInt(value), 4 + index * 8);
  return extra;
}

/** Info-ZIP's universal time: seconds since 1970, signed. A time it can not hold becomes the nearest it can. */
function formatTimeExtra(mtimeMs: number): Buffer {
  const extra = Buffer.alloc(9);
  extra.writeUInt16LE(0x5455, 0);
  extra.writeUInt16LE(5, 2);
  extra.writeUInt8(1, 4);
  extra.writeInt32LE(clamp(Math.floor(mtimeMs / 1000), -0x8000_0000, 0x7fff_ffff), 5);
  return extra;
}

const firstDosMs = Date.UTC(1980, 0, 1);
const lastDosMs = Date.UTC(2107, 11, 31, 23, 59, 58);

function toDosTime(mtimeMs: number): { readonly date: number; readonly time: number } {
  const at = new Date(clamp(mtimeMs, firstDosMs, lastDosMs));
  return {
    date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
  };
}

/** Also of what is no number. */
function clamp(value: number, min: number, max: number): number {
  return value >= min ? Math.min(value, max) : min;
}
