import { SallyportError } from '#shared/error.ts';
import { brokenBackup, ByteSource } from './byte-source.ts';
import { memberBytesMax, membersMax, nameBytesMax } from './limits.ts';

/**
 * tar archives (POSIX.1-2017 `pax`, ustar interchange format), as much of them as a backup needs: regular files, one after the
 * other. `tar -x` reads what is written here; what `readTar` does not know it refuses.
 *
 * Trust: `readTar` reads what may be anybody's. A name is what it says, no path to be followed.
 */

export interface Member {
  /** `users/alice.yaml`. */
  readonly name: string;
  readonly bytes: number;
  readonly modifiedAtMs: number;
}

const blockBytes = 512;
/** Two empty blocks. */
const endOfArchive = Buffer.alloc(2 * blockBytes);
const regularFile = '0';
const extendedHeader = 'x';
/** Where the fields of a header begin, and how long they are. */
const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 8],
} as const;
const magic = 'ustar\x0000';

/** Each file's content must have exactly the bytes its member says. */
export async function* writeTar(
  files: AsyncIterable<Member & { readonly content: AsyncIterable<Buffer> | Iterable<Buffer> }>,
): AsyncGenerator<Buffer> {
  let members = 0;
  for await (const { content, ...member } of files) {
    members += 1;
    if (members > membersMax)
      throw new SallyportError('unsupported', 'There are too many files for a backup', {
        detail: `more than ${membersMax}`,
      });
    yield renderHeader(member);
    let written = 0;
    for await (const piece of content) {
      written += piece.length;
      yield piece;
    }
    if (written !== member.bytes)
      throw new SallyportError('changed', 'A file changed while it was read', { detail: member.name });
    yield padding(written);
  }
  yield endOfArchive;
}

/** `take` must read all of the content. */
export async function readTar(
  archive: AsyncIterable<Buffer>,
  take: (member: Member, content: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  const source = new ByteSource(archive);
  let longName: string | undefined;
  let members = 0;
  for (;;) {
    const header = await source.take(blockBytes);
    if (header.every((octet) => octet === 0)) break;
    const { type, ...member } = parseHeader(header);
    const padded = padding(member.bytes).length;
    if (type === extendedHeader && longName === undefined) {
      if (member.bytes > nameBytesMax + 16) throw brokenBackup('a name in it is too long');
      longName = parseExtendedHeader(await source.take(member.bytes));
    } else if (type === regularFile) {
      members += 1;
      if (members > membersMax) throw brokenBackup('too many files');
      await take({ ...member, name: longName ?? member.name }, source.pass(member.bytes));
      longName = undefined;
    } else {
      throw brokenBackup(`${member.name} in it is no file`);
    }
    await source.take(padded);
  }
  if ((await source.take(blockBytes)).some((octet) => octet !== 0)) throw brokenBackup('it has no end');
  if (!(await source.isAtEnd())) throw brokenBackup('something follows its end');
}

function renderHeader(member: Member): Buffer {
  const { name, bytes } = member;
  if (Buffer.byteLength(name) > nameBytesMax || bytes > memberBytesMax)
    throw new SallyportError('unsupported', 'A file can not be part of a backup', {
      detail: `${name} of ${bytes} bytes`,
      hint: `names of at most ${nameBytesMax} bytes, files of at most ${memberBytesMax}`,
    });
  // A name of a ustar header is of the portable character set.
  if (/^[\w./-]{1,100}$/.test(name)) return renderBlock(member, regularFile);
  const record = renderRecord('path', name);
  const extended = { name: 'PaxHeaders/name', bytes: record.length, modifiedAtMs: member.modifiedAtMs };
  return Buffer.concat([
    renderBlock(extended, extendedHeader),
    record,
    padding(record.length),
    renderBlock({ ...member, name: 'name-in-its-header' }, regularFile),
  ]);
}

function renderBlock({ name, bytes, modifiedAtMs }: Member, type: string): Buffer {
  const block = Buffer.alloc(blockBytes);
  const put = (field: keyof typeof fields, text: string): void =>
    void block.write(text, fields[field][0], 'latin1');
  const octal = (number: number, digits: number): string => number.toString(8).padStart(digits, '0');
  put('name', name);
  put('mode', octal(0o600, 7));
  put('uid', octal(0, 7));
  put('gid', octal(0, 7));
  put('size', octal(bytes, 11));
  put('mtime', octal(Math.floor(modifiedAtMs / 1000), 11));
  put('type', type);
  put('magic', magic);
  put('checksum', `${octal(checksumOf(block), 6)}\0 `);
  return block;
}

function parseHeader(block: Buffer): Member & { readonly type: string } {
  const text = (field: keyof typeof fields): string => {
    const [start, length] = fields[field];
    return block.toString('latin1', start, start + length);
  };
  const octal = (field: keyof typeof fields): number => {
    const digits = text(field).replace(/[\0 ]+$/, '');
    if (!/^[0-7]{1,11}$/.test(digits)) throw brokenBackup('a header in it is none');
    return Number.parseInt(digits, 8);
  };
  if (text('magic') !== magic || octal('checksum') !== checksumOf(block))
    throw brokenBackup('a header in it is none');
  return {
    name: text('name').replace(/\0+$/, ''),
    bytes: octal('size'),
    modifiedAtMs: octal('mtime') * 1000,
    type: text('type'),
  };
}

/** As if the checksum itself were blanks. */
function checksumOf(block: Buffer): number {
  const [start, length] = fields.checksum;
  let sum = length * 0x20;
  for (let at = 0; at < blockBytes; at += 1) if (at < start || at >= start + length) sum += block[at] ?? 0;
  return sum;
}

/** `25 path=users/jürgen.yaml`, where the number is the length of all of it. */
function renderRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function parseExtendedHeader(bytes: Buffer): string {
  const [, name] = /^\d{1,4} path=([^\n]+)\n$/.exec(bytes.toString('utf8')) ?? [];
  if (name === undefined || !renderRecord('path', name).equals(bytes))
    throw brokenBackup('a header in it is none');
  return name;
}

function padding(bytes: number): Buffer {
  return Buffer.alloc((blockBytes - (bytes % blockBytes)) % blockBytes);
}
