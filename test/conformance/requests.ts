/**
 * Requests of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions as data: what to send, byte
 * for byte, and the words a table shows for it. Nothing here is checked or mended: a table also sends what is wrong.
 */

/**
 * A path inside the row's own folder. `{ exactly }` is sent as it stands, from where the session starts;
 * `{ absolute }` becomes the row's folder as the server names it, with the path in it.
 */
export type Path = string | Buffer | { readonly exactly: string } | { readonly absolute: string };
/** The name that `open` or `openFolder` gave it. One that names nothing is sent as it stands. */
export type Handle = string | { readonly exactly: Buffer };

/** What is known only while a row runs. */
export interface Place {
  path(path: Path): Buffer;
  handle(handle: Handle): Buffer;
  /** User and group of the last ATTRS that came. */
  readonly toldOwner: readonly [number, number];
}

export interface Request {
  readonly type: number;
  /** As tables and failures show it. */
  readonly words: string;
  /** Everything after the request's id. */
  readonly body: (place: Place) => Buffer;
  /** The handle it opens is known under this name. */
  readonly opens?: string;
  readonly closes?: Handle;
  /** What an EXTENDED_REPLY to it says. */
  readonly readReply?: (body: Buffer) => string;
  /** Which of a row's sessions sends it; `a` unless `by` says otherwise. */
  readonly session?: string;
  /** Sent as they are instead of a packet: for what is no request. Nothing answers them. */
  readonly bytes?: Buffer;
}

export const packetType = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

export interface SetAttributes {
  readonly size?: number | bigint;
  /** `told` gives back what the last ATTRS said. */
  readonly owner?: readonly [number, number] | 'told';
  readonly mode?: number;
  readonly times?: readonly [atime: number, mtime: number];
  readonly extended?: readonly (readonly [string, string])[];
}

// — fields —

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function uint64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function attributes(set: SetAttributes, at: Place): Buffer {
  const parts: Buffer[] = [];
  let flags = 0;
  const add = (flag: number, ...fields: Buffer[]): void => {
    flags += flag;
    parts.push(...fields);
  };
  if (set.size !== undefined) add(1, uint64(set.size));
  if (set.owner !== undefined) {
    const [user, group] = set.owner === 'told' ? at.toldOwner : set.owner;
    add(2, uint32(user), uint32(group));
  }
  if (set.mode !== undefined) add(4, uint32(set.mode));
  if (set.times !== undefined) add(8, uint32(set.times[0]), uint32(set.times[1]));
  if (set.extended !== undefined)
    add(
      0x8000_0000,
      uint32(set.extended.length),
      ...set.extended.flatMap(([name, value]) => [text(name), text(value)]),
    );
  return Buffer.concat([uint32(flags), ...parts]);
}

// — words —

function showBytes(bytes: Buffer): string {
  const shown = JSON.stringify(bytes.subarray(0, 40).toString('latin1'));
  return bytes.length > 40 ? `${shown}… (${bytes.length} bytes)` : shown;
}

function showPath(path: Path): string {
  if (typeof path === 'string') return path === '' ? '(this folder)/' : shorten(path);
  if (Buffer.isBuffer(path)) return showBytes(path);
  if ('absolute' in path) return `/here/${shorten(path.absolute)}`;
  return JSON.stringify(path.exactly.length > 60 ? `${path.exactly.slice(0, 20)}…` : path.exactly);
}

/** What would hide in a table, or turn it around. */
const invisible = /[\u007f-\u00a0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufffd]/g;

export function shorten(name: string): string {
  const plain = JSON.stringify(name)
    .slice(1, -1)
    .replaceAll(invisible, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return plain.length > 60 ? `${plain.slice(0, 20)}… (${Buffer.byteLength(name)} bytes)` : plain;
}

function showHandle(handle: Handle): string {
  if (typeof handle === 'string') return handle === '' ? '""' : shorten(handle);
  return showBytes(handle.exactly);
}

function showAttributes(set: SetAttributes): string {
  return [
    set.size === undefined ? '' : ` size=${set.size}`,
    set.owner === undefined ? '' : ` owner=${set.owner === 'told' ? 'as told' : set.owner.join(':')}`,
    set.mode === undefined ? '' : ` mode=${set.mode.toString(8)}`,
    set.times === undefined ? '' : ` times=${set.times.join(',')}`,
    set.extended === undefined ? '' : ` extended=${set.extended.length}`,
  ].join('');
}

// — requests —

/** `rwctax`: READ, WRITE, CREAT, TRUNC, APPEND, EXCL; a number for anything else. */
export function open(as: string, path: Path, flags: string | number, set: SetAttributes = {}): Request {
  const bits =
    typeof flags === 'number'
      ? flags
      : Array.from(flags).reduce((all, letter) => all + 2 ** 'rwactx'.indexOf(letter), 0);
  return {
    type: packetType.open,
    words: `OPEN ${showPath(path)} ${flags}${showAttributes(set)}`,
    body: (at) => Buffer.concat([text(at.path(path)), uint32(bits), attributes(set, at)]),
    opens: as,
  };
}

export function openFolder(as: string, path: Path): Request {
  return { ...onPath(packetType.opendir, 'OPENDIR', path), opens: as };
}

export function close(handle: Handle): Request {
  return { ...onHandle(packetType.close, 'CLOSE', handle), closes: handle };
}

export function read(handle: Handle, offset: number | bigint, length: number): Request {
  return onHandle(packetType.read, 'READ', handle, ` ${length} at ${offset}`, () => [
    uint64(offset),
    uint32(length),
  ]);
}

export function write(handle: Handle, offset: number | bigint, data: string | Buffer): Request {
  const bytes = Buffer.from(data as string);
  return onHandle(packetType.write, 'WRITE', handle, ` ${showBytes(bytes)} at ${offset}`, () => [
    uint64(offset),
    text(bytes),
  ]);
}

export const stat = (path: Path): Request => onPath(packetType.stat, 'STAT', path);
export const lstat = (path: Path): Request => onPath(packetType.lstat, 'LSTAT', path);
export const fstat = (handle: Handle): Request => onHandle(packetType.fstat, 'FSTAT', handle);
export const readFolder = (handle: Handle): Request => onHandle(packetType.readdir, 'READDIR', handle);
export const remove = (path: Path): Request => onPath(packetType.remove, 'REMOVE', path);
export const removeFolder = (path: Path): Request => onPath(packetType.rmdir, 'RMDIR', path);
export const realPath = (path: Path): Request => onPath(packetType.realpath, 'REALPATH', path);
export const readLink = (path: Path): Request => onPath(packetType.readlink, 'READLINK', path);

export function setStat(path: Path, set: SetAttributes): Request {
  return onPath(packetType.setstat, 'SETSTAT', path, showAttributes(set), (at) => [attributes(set, at)]);
}

export function fsetStat(handle: Handle, set: SetAttributes): Request {
  return onHandle(packetType.fsetstat, 'FSETSTAT', handle, showAttributes(set), (at) => [
    attributes(set, at),
  ]);
}

export function makeFolder(path: Path, set: SetAttributes = {}): Request {
  return onPath(packetType.mkdir, 'MKDIR', path, showAttributes(set), (at) => [attributes(set, at)]);
}

export function rename(from: Path, to: Path): Request {
  return {
    type: packetType.rename,
    words: `RENAME ${showPath(from)} → ${showPath(to)}`,
    body: (at) => Buffer.concat([text(at.path(from)), text(at.path(to))]),
  };
}

/** Of the sixth version's drafts OpenSSH took the wrong order of its arguments: target first. */
export function symlink(target: string, link: Path): Request {
  return {
    type: packetType.symlink,
    words: `SYMLINK ${showPath(link)} → ${target}`,
    body: (at) => Buffer.concat([text(target), text(at.path(link))]),
  };
}

// — extensions (OpenSSH's PROTOCOL, section 4) —

export function extended(
  name: string,
  words = '',
  fields: (place: Place) => readonly Buffer[] = () => [],
  readReply?: (body: Buffer) => string,
): Request {
  return {
    type: packetType.extended,
    words: `${name}${words}`,
    body: (at) => Buffer.concat([text(name), ...fields(at)]),
    ...(readReply !== undefined && { readReply }),
  };
}

export function posixRename(from: Path, to: Path): Request {
  return extended('posix-rename@openssh.com', ` ${showPath(from)} → ${showPath(to)}`, (at) => [
    text(at.path(from)),
    text(at.path(to)),
  ]);
}

export function hardLink(from: Path, to: Path): Request {
  return extended('hardlink@openssh.com', ` ${showPath(from)} → ${showPath(to)}`, (at) => [
    text(at.path(from)),
    text(at.path(to)),
  ]);
}

export function lsetStat(path: Path, set: SetAttributes): Request {
  return extended('lsetstat@openssh.com', ` ${showPath(path)}${showAttributes(set)}`, (at) => [
    text(at.path(path)),
    attributes(set, at),
  ]);
}

export const fsync = (handle: Handle): Request =>
  extended('fsync@openssh.com', ` ${showHandle(handle)}`, (at) => [text(at.handle(handle))]);

/** Numbers of a disk differ from moment to moment; what counts is that all eleven came. */
const readUsage = (body: Buffer): string => `usage of ${body.length / 8} numbers`;

export const statvfs = (path: Path): Request =>
  extended('statvfs@openssh.com', ` ${showPath(path)}`, (at) => [text(at.path(path))], readUsage);

export const fstatvfs = (handle: Handle): Request =>
  extended('fstatvfs@openssh.com', ` ${showHandle(handle)}`, (at) => [text(at.handle(handle))], readUsage);

export const limits = (): Request =>
  extended('limits@openssh.com', '', undefined, (body) => {
    const [packet, readMax, writeMax, handles = 0n] = [0, 8, 16, 24].map((at) => body.readBigUInt64BE(at));
    return `packet ${packet}, read ${readMax}, write ${writeMax}, ${handles > 0n ? 'a number of' : 'no'} handles`;
  });

export const expandPath = (path: string): Request =>
  extended('expand-path@openssh.com', ` ${shorten(path)}`, () => [text(path)]);

export const homeFolder = (user: string): Request =>
  extended('home-directory', ` ${JSON.stringify(user)}`, () => [text(user)]);

export function copyData(
  from: Handle,
  fromOffset: number,
  length: number,
  to: Handle,
  toOffset: number,
): Request {
  return extended(
    'copy-data',
    ` ${length === 0 ? 'all' : length} of ${showHandle(from)} from ${fromOffset} to ${showHandle(to)} at ${toOffset}`,
    (at) => [
      text(at.handle(from)),
      uint64(fromOffset),
      uint64(length),
      text(at.handle(to)),
      uint64(toOffset),
    ],
  );
}

// — anything else —

/** Begins a session. A version stands where requests have their id. */
export function init(version: number): Request {
  return { type: packetType.init, words: `INIT ${version}`, body: () => uint32(version) };
}

/** A packet of any type with any body. */
export function rawPacket(type: number, words: string, ...fields: readonly Buffer[]): Request {
  return { type, words, body: () => Buffer.concat(fields) };
}

/** Bytes that are no packet, or more than one. Nothing answers them; what came of it shows in the next request. */
export function rawBytes(words: string, ...pieces: readonly Buffer[]): Request {
  return { type: 0, words, body: () => Buffer.alloc(0), bytes: Buffer.concat(pieces) };
}

/** Another session of the row sends it, on a connection of its own. */
export function by(session: string, request: Request): Request {
  return { ...request, session, words: `${session.toUpperCase()}: ${request.words}` };
}

function onPath(
  type: number,
  name: string,
  path: Path,
  words = '',
  fields: (at: Place) => readonly Buffer[] = () => [],
): Request {
  return {
    type,
    words: `${name} ${showPath(path)}${words}`,
    body: (at) => Buffer.concat([text(at.path(path)), ...fields(at)]),
  };
}

function onHandle(
  type: number,
  name: string,
  handle: Handle,
  words = '',
  fields: (at: Place) => readonly Buffer[] = () => [],
): Request {
  return {
    type,
    words: `${name} ${showHandle(handle)}${words}`,
    body: (at) => Buffer.concat([text(at.handle(handle)), ...fields(at)]),
  };
}
