import { attributeFlag, typeBits } from '#dmz/sftp/protocol/constants.ts';
import { extendedAttributesMax, extensionTextBytesMax } from '#dmz/sftp/limits.ts';
import { MalformedMessage, type WireReader } from '#dmz/sftp/wire.ts';
import type { AttributeChange, Attributes } from '#shared/file-service/attributes.ts';

/**
 * ATTRS of SFTP v3 (§5), both ways.
 *
 * Trust: `readAttributes` reads a stranger's bytes. Flags that version 3 does not know are ignored, as OpenSSH's server
 * does, and so are the fields they announce, which come last.
 */
export interface RequestedAttributes {
  readonly change: AttributeChange;
  /** The client asked for an owner other than the one it is shown, which nobody may set. */
  readonly changesOwner: boolean;
}

/** User and group of every file: they belong to no account a client could name. */
const shownOwner = 0;

export function readAttributes(reader: WireReader): RequestedAttributes {
  const flags = reader.uint32();
  const size = flags & attributeFlag.size ? reader.uint64() : undefined;
  let changesOwner = false;
  if (flags & attributeFlag.owner) {
    const [user, group] = [reader.uint32(), reader.uint32()];
    changesOwner = user !== shownOwner || group !== shownOwner;
  }
  const mode = flags & attributeFlag.permissions ? reader.uint32() & 0o7777 : undefined;
  let atimeMs: number | undefined;
  let mtimeMs: number | undefined;
  if (flags & attributeFlag.times) {
    atimeMs = reader.uint32() * 1000;
    mtimeMs = reader.uint32() * 1000;
  }
  if (flags & attributeFlag.extended) skipExtended(reader);
  return {
    changesOwner,
    change: {
      ...(size !== undefined && { size }),
      ...(mode !== undefined && { mode }),
      ...(atimeMs !== undefined && { atimeMs }),
      ...(mtimeMs !== undefined && { mtimeMs }),
    },
  };
}

function skipExtended(reader: WireReader): void {
  const pairs = reader.uint32();
  if (pairs > extendedAttributesMax) throw new MalformedMessage(`${pairs} extended attributes`);
  for (let index = 0; index < pairs; index++) {
    reader.string(extensionTextBytesMax);
    reader.string(extensionTextBytesMax);
  }
}

/** Permissions with the type bits, as clients read the type from them. */
export function posixMode(attributes: Attributes): number {
  return typeBits[attributes.type] | (attributes.mode & 0o7777);
}

/** v3 has unsigned 32-bit seconds: earlier or later times stop at the ends. */
function seconds(milliseconds: number): number {
  return Math.min(0xffff_ffff, Math.max(0, Math.floor(milliseconds / 1000)));
}

/** Always size, owner, permissions and times: 32 bytes. */
export function encodeAttributes(attributes: Attributes): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32BE(
    attributeFlag.size | attributeFlag.owner | attributeFlag.permissions | attributeFlag.times,
    0,
  );
  bytes.writeBigUInt64BE(BigInt(attributes.size), 4);
  bytes.writeUInt32BE(shownOwner, 12);
  bytes.writeUInt32BE(shownOwner, 16);
  bytes.writeUInt32BE(posixMode(attributes), 20);
  bytes.writeUInt32BE(seconds(attributes.atimeMs), 24);
  bytes.writeUInt32BE(seconds(attributes.mtimeMs), 28);
  return bytes;
}
