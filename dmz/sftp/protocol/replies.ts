import { sftpDataBytesMax, sftpPacketBytesMax, handlesMax } from '#dmz/sftp/limits.ts';
import { encodeAttributes } from '#dmz/sftp/protocol/attributes.ts';
import { packetType, sftpVersion, type StatusCode } from '#dmz/sftp/protocol/constants.ts';
import { WireWriter } from '#dmz/sftp/wire.ts';
import type { Attributes, FileSystemUsage } from '#shared/file-service/attributes.ts';

/** What the server says: each function makes one whole SFTP packet, length included. */

/** Name and revision of what we can do beyond version 3 (OpenSSH PROTOCOL §4). hardlink@ is not among them. */
const extensions: readonly (readonly [string, string])[] = [
  ['posix-rename@openssh.com', '1'],
  ['statvfs@openssh.com', '2'],
  ['fstatvfs@openssh.com', '2'],
  ['fsync@openssh.com', '1'],
  ['lsetstat@openssh.com', '1'],
  ['limits@openssh.com', '1'],
  ['expand-path@openssh.com', '1'],
  ['copy-data', '1'],
  ['home-directory', '1'],
];

function packet(writer: WireWriter): Buffer {
  const body = writer.finish();
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

function answer(type: number, id: number): WireWriter {
  return new WireWriter().byte(type).uint32(id);
}

export function versionReply(): Buffer {
  const writer = new WireWriter().byte(packetType.version).uint32(sftpVersion);
  for (const [name, revision] of extensions) writer.string(name).string(revision);
  return packet(writer);
}

export function statusReply(id: number, code: StatusCode, message: string): Buffer {
  return packet(answer(packetType.status, id).uint32(code).string(message).string('en'));
}

export function handleReply(id: number, handle: string): Buffer {
  return packet(answer(packetType.handle, id).string(handle));
}

export function attributesReply(id: number, attributes: Attributes): Buffer {
  return packet(answer(packetType.attrs, id).raw(encodeAttributes(attributes)));
}

interface NamedEntry {
  readonly name: string;
  readonly longName: string;
  /** Absent: the answer to REALPATH and its kin, which say nothing about the file. */
  readonly attributes?: Attributes;
}

const noAttributes = Buffer.alloc(4);

export function encodeNamedEntry(entry: NamedEntry): Buffer {
  return new WireWriter()
    .string(entry.name)
    .string(entry.longName)
    .raw(entry.attributes === undefined ? noAttributes : encodeAttributes(entry.attributes))
    .finish();
}

export function nameReply(id: number, encodedEntries: readonly Buffer[]): Buffer {
  const writer = answer(packetType.name, id).uint32(encodedEntries.length);
  for (const entry of encodedEntries) writer.raw(entry);
  return packet(writer);
}

/** Everything of a DATA answer that precedes its bytes. */
export function dataReplyHead(id: number, dataBytes: number): Buffer {
  const head = Buffer.allocUnsafe(13);
  head.writeUInt32BE(9 + dataBytes, 0);
  head[4] = packetType.data;
  head.writeUInt32BE(id, 5);
  head.writeUInt32BE(dataBytes, 9);
  return head;
}

export function limitsReply(id: number): Buffer {
  return packet(
    answer(packetType.extendedReply, id)
      .uint64(sftpPacketBytesMax)
      .uint64(sftpDataBytesMax)
      .uint64(sftpDataBytesMax)
      .uint64(handlesMax),
  );
}

/** statvfs(3) numbers in blocks of 4 KiB. */
export function usageReply(id: number, usage: FileSystemUsage): Buffer {
  const blockBytes = 4096;
  const blocks = (bytes: number) => Math.floor(Math.max(0, bytes) / blockBytes);
  const noSetuid = 2;
  return packet(
    answer(packetType.extendedReply, id)
      .uint64(blockBytes)
      .uint64(blockBytes)
      .uint64(blocks(usage.totalBytes))
      .uint64(blocks(usage.freeBytes))
      .uint64(blocks(usage.freeBytes))
      .uint64(Math.max(0, usage.totalFiles))
      .uint64(Math.max(0, usage.freeFiles))
      .uint64(Math.max(0, usage.freeFiles))
      .uint64(0)
      .uint64(noSetuid)
      .uint64(255),
  );
}
