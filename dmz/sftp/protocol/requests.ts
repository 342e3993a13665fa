import { extensionTextBytesMax, handleBytesMax, pathBytesMax, sftpDataBytesMax } from '#dmz/sftp/limits.ts';
import { readAttributes, type RequestedAttributes } from '#dmz/sftp/protocol/attributes.ts';
import { openFlag, packetType, type StatusCode, statusCode } from '#dmz/sftp/protocol/constants.ts';
import type { SftpPacket } from '#dmz/sftp/protocol/packet-assembler.ts';
import type { OpenMode } from '#shared/file-service/attributes.ts';
import { decodeUtf8, MalformedMessage, WireReader } from '#dmz/sftp/wire.ts';

/**
 * SFTP packet → one typed request (§6, and OpenSSH's PROTOCOL §4 for the extensions).
 *
 * Trust: a stranger's bytes. Every field is bounded, text is strict UTF-8. What is left over is ignored, as
 * OpenSSH's server does: clients of later versions send more fields. A request that
 * can't be read but has an id is a `RequestRefused` and costs the client one STATUS; without an id it is a
 * `MalformedMessage` and ends the session.
 */
export type SftpRequest =
  | { type: 'init'; version: number }
  | { type: 'open'; id: number; path: string; flags: number; attributes: RequestedAttributes }
  | { type: 'close'; id: number; handle: string }
  | { type: 'read'; id: number; handle: string; offset: number; length: number }
  | { type: 'write'; id: number; handle: string; offset: number; data: Buffer[]; length: number }
  | { type: 'stat' | 'lstat'; id: number; path: string }
  | { type: 'fstat'; id: number; handle: string }
  | { type: 'setstat' | 'lsetstat'; id: number; path: string; attributes: RequestedAttributes }
  | { type: 'fsetstat'; id: number; handle: string; attributes: RequestedAttributes }
  | { type: 'opendir' | 'remove' | 'rmdir' | 'realpath' | 'readlink' | 'statvfs'; id: number; path: string }
  | { type: 'readdir' | 'fsync' | 'fstatvfs'; id: number; handle: string }
  | { type: 'mkdir'; id: number; path: string; attributes: RequestedAttributes }
  | { type: 'rename'; id: number; from: string; to: string; overwrite: boolean }
  | { type: 'symlink'; id: number }
  | { type: 'limits'; id: number }
  | { type: 'home-directory'; id: number; username: string }
  | { type: 'expand-path'; id: number; path: string }
  | {
      type: 'copy-data';
      id: number;
      from: string;
      fromOffset: number;
      length: number;
      to: string;
      toOffset: number;
    }
  | { type: 'unsupported'; id: number; what: string };

export class RequestRefused extends Error {
  override readonly name = 'RequestRefused';
  readonly id: number;
  readonly status: StatusCode;

  constructor(id: number, status: StatusCode, message: string) {
    super(message);
    this.id = id;
    this.status = status;
  }
}

/** type, id, handle, offset, data length: what precedes a WRITE's data. */
const writeHeadBytesMax = 1 + 4 + 4 + handleBytesMax + 8 + 4;

export function parseRequest(packet: SftpPacket): SftpRequest {
  const isWrite = packet.head(1)[0] === packetType.write;
  const bytes = isWrite ? packet.head(writeHeadBytesMax) : packet.whole();
  const reader = new WireReader(bytes);
  const type = reader.byte();
  if (type === packetType.init) return { type: 'init', version: reader.uint32() };
  const id = reader.uint32();
  try {
    return isWrite ? parseWrite(id, reader, packet) : parseBody(type, id, reader);
  } catch (error) {
    if (error instanceof MalformedMessage) throw new RequestRefused(id, statusCode.badMessage, error.message);
    throw error;
  }
}

/** Handles are ASCII of our own making; anything else simply won't be found. */
function readHandle(reader: WireReader): string {
  return reader.string(handleBytesMax).toString('latin1');
}

/** NUL, U+FFFD and bytes that are no UTF-8 are refused before a path is anything: no name that is served has them. */
function readPath(id: number, reader: WireReader): string {
  const bytes = reader.string(pathBytesMax);
  try {
    const path = decodeUtf8(bytes);
    if (!path.includes('\0') && !path.includes('\ufffd')) return path;
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error;
  }
  throw new RequestRefused(
    id,
    statusCode.permissionDenied,
    'That name is not served here: it has control characters or is no UTF-8',
  );
}

function parseWrite(id: number, reader: WireReader, packet: SftpPacket): SftpRequest {
  const handle = readHandle(reader);
  const offset = reader.uint64();
  const length = reader.uint32();
  const end = reader.position + length;
  // Go's pkg/sftp (rclone) sends its whole buffer behind a short last piece: what is beyond the length is ignored.
  if (length > sftpDataBytesMax || end > packet.length)
    throw new MalformedMessage(`WRITE of ${length} bytes in a packet of ${packet.length}`);
  return { type: 'write', id, handle, offset, length, data: packet.slice(reader.position, end) };
}

function parseBody(type: number, id: number, reader: WireReader): SftpRequest {
  switch (type) {
    case packetType.open: {
      const path = readPath(id, reader);
      const flags = reader.uint32();
      return { type: 'open', id, path, flags, attributes: readAttributes(reader) };
    }
    case packetType.close:
      return { type: 'close', id, handle: readHandle(reader) };
    case packetType.read: {
      const handle = readHandle(reader);
      const offset = reader.uint64();
      // A request for 4 GiB is allowed and answered with what fits one packet (§6.4 lets us answer less).
      return { type: 'read', id, handle, offset, length: Math.min(reader.uint32(), sftpDataBytesMax) };
    }
    case packetType.stat:
      return { type: 'stat', id, path: readPath(id, reader) };
    case packetType.lstat:
      return { type: 'lstat', id, path: readPath(id, reader) };
    case packetType.fstat:
      return { type: 'fstat', id, handle: readHandle(reader) };
    case packetType.setstat:
      return { type: 'setstat', id, path: readPath(id, reader), attributes: readAttributes(reader) };
    case packetType.fsetstat:
      return { type: 'fsetstat', id, handle: readHandle(reader), attributes: readAttributes(reader) };
    case packetType.opendir:
      return { type: 'opendir', id, path: readPath(id, reader) };
    case packetType.readdir:
      return { type: 'readdir', id, handle: readHandle(reader) };
    case packetType.remove:
      return { type: 'remove', id, path: readPath(id, reader) };
    case packetType.mkdir:
      return { type: 'mkdir', id, path: readPath(id, reader), attributes: readAttributes(reader) };
    case packetType.rmdir:
      return { type: 'rmdir', id, path: readPath(id, reader) };
    case packetType.realpath:
      return { type: 'realpath', id, path: readPath(id, reader) };
    case packetType.readlink:
      return { type: 'readlink', id, path: readPath(id, reader) };
    case packetType.rename:
      return {
        type: 'rename',
        id,
        from: readPath(id, reader),
        to: readPath(id, reader),
        overwrite: false,
      };
    case packetType.symlink:
      readPath(id, reader);
      readPath(id, reader);
      return { type: 'symlink', id };
    case packetType.extended:
      return parseExtended(id, reader);
    default:
      return { type: 'unsupported', id, what: `packet type ${type}` };
  }
}

function parseExtended(id: number, reader: WireReader): SftpRequest {
  const name = reader.text(extensionTextBytesMax);
  switch (name) {
    case 'posix-rename@openssh.com':
      return { type: 'rename', id, from: readPath(id, reader), to: readPath(id, reader), overwrite: true };
    case 'statvfs@openssh.com':
      return { type: 'statvfs', id, path: readPath(id, reader) };
    case 'fstatvfs@openssh.com':
      return { type: 'fstatvfs', id, handle: readHandle(reader) };
    case 'fsync@openssh.com':
      return { type: 'fsync', id, handle: readHandle(reader) };
    case 'lsetstat@openssh.com':
      return { type: 'lsetstat', id, path: readPath(id, reader), attributes: readAttributes(reader) };
    case 'limits@openssh.com':
      return { type: 'limits', id };
    case 'expand-path@openssh.com':
      return { type: 'expand-path', id, path: readPath(id, reader) };
    case 'home-directory':
      return { type: 'home-directory', id, username: readPath(id, reader) };
    case 'copy-data':
      return {
        type: 'copy-data',
        id,
        from: readHandle(reader),
        fromOffset: reader.uint64(),
        length: reader.uint64(),
        to: readHandle(reader),
        toOffset: reader.uint64(),
      };
    default:
      return { type: 'unsupported', id, what: `extension ${JSON.stringify(name.slice(0, 64))}` };
  }
}

/** What a handle may do, and what OPEN does to the file before: CREAT and TRUNC go with reading, too. */
export function readOpenFlags(flags: number): OpenMode {
  const has = (flag: number) => (flags & flag) !== 0;
  const write = has(openFlag.write);
  return {
    // As OpenSSH: who does not ask to write reads, and APPEND alone does not write.
    read: has(openFlag.read) || !write,
    write,
    create: !has(openFlag.create) ? 'never' : has(openFlag.exclusive) ? 'exclusive' : 'if-missing',
    truncate: has(openFlag.truncate),
    append: write && has(openFlag.append),
  };
}
