import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { z } from 'zod';
import type { FileClient } from '#dmz/files/file-client.ts';
import { calls } from '#dmz/http-api/calls.ts';
import { readDeviceCookie, readSessionCookie } from '#dmz/https/exchange/cookie.ts';
import type { Exchange } from '#dmz/https/exchange/exchange.ts';
import { readJson } from '#dmz/https/exchange/json-body.ts';
import { breaksPrecondition, judgeRead, toPrecondition } from '#dmz/https/files/conditional.ts';
import { listTree } from '#dmz/https/files/archive-tree.ts';
import { formatFilePath, parseFilePath, parseJsonPath } from '#dmz/https/files/file-path.ts';
import { judgeRange } from '#dmz/https/files/range.ts';
import { parseByteCount, parseChecksum, parseUploadMetadata } from '#dmz/https/files/tus.ts';
import { formatCentralRecord, formatEnd, formatLocalHeader } from '#dmz/https/files/zip.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import { showText } from '#main-agent/users/shown-text.ts';
import { buildUserSchemas } from '#main-agent/users/user-schema.ts';
import { identifyFile, parseUserFile } from '#main-agent/users/user-file.ts';
import { isSallyportError } from '#shared/error.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';
import { parseVirtualPath, requireComponents, type VirtualPath } from '#shared/file-service/virtual-path.ts';
import { buildRandom } from '#test/harness/random.ts';
import { sampleOf } from '#test/fuzz/samples.ts';
import type { Outcome, Sample, Target } from '#test/fuzz/target.ts';

/** Texts of strangers, users and admins: paths, headers, JSON bodies, names in archives, user files. */

const refused: Outcome = { taken: [], isRefused: true };

async function judge(
  codes: readonly ErrorCode[],
  kinds: readonly string[],
  read: () => unknown,
): Promise<Outcome> {
  try {
    await read();
    return { taken: kinds, isRefused: false };
  } catch (error) {
    if (!codes.some((code) => isSallyportError(error, code))) throw error;
    return refused;
  }
}

const texts = (kind: string, ...all: readonly string[]): Sample[] =>
  all.map((text) => ({ kinds: [kind], bytes: Buffer.from(text) }));

/** Nothing in it leads anywhere but down. */
function requireHarmless({ components }: VirtualPath): void {
  for (const one of components)
    if (one === '' || one === '.' || one === '..' || /[/\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(one))
      throw new Error(`a path with ${JSON.stringify(one)}`);
}

export function buildPaths(): Target {
  return {
    name: 'paths',
    kinds: ['sftp', 'address', 'json', 'components'],
    corpus: [
      ...texts('sftp', '/in/a.txt', 'in/./b/../c', '/', '.', '/Ünïcode/日本語/ok.pdf', '/a/b/c/d/e/f/g/h'),
      ...texts('address', 'in/a.txt', 'in/%C3%BC/b%20c', 'folder/', '', 'a%2Db/c'),
      ...texts('json', '/in/a.txt', '/in/', '/'),
      ...texts('components', '["in","a.txt"]', '["a"]', '[]'),
    ],
    run: (input, { kinds }) =>
      judge(['bad-path'], kinds, () => {
        const text = input.toString('utf8');
        if (kinds[0] === 'sftp') {
          const path = parseVirtualPath(text);
          requireHarmless(path);
          if (parseVirtualPath(path.toString()).toString() !== path.toString())
            throw new Error('means another path when read again');
        } else if (kinds[0] === 'address') {
          const { path } = parseFilePath(text);
          requireHarmless(path);
          if (parseFilePath(formatFilePath(path)).path.toString() !== path.toString())
            throw new Error('means another path when read again');
        } else if (kinds[0] === 'json') requireHarmless(parseJsonPath(text));
        else requireHarmless(requireComponents(componentsOf(text)));
      }),
  };
}

function componentsOf(text: string): readonly string[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.map(String) : [text];
  } catch {
    return text.split(',');
  }
}

const file: Attributes = {
  type: 'file',
  size: 1000,
  mtimeMs: 1_700_000_000_000,
  atimeMs: 0,
  mode: 0o644,
  links: 1,
  etag: 'abc',
};

/** Headers of requests whose value has a form of its own. */
const headers: Readonly<
  Record<string, { readonly good: readonly string[]; readonly read: (value: string) => unknown }>
> = {
  'upload-metadata': {
    good: [
      'path L2EvYi50eHQ=,mtime MTcwMDAwMDAwMDAwMA==,overwrite dHJ1ZQ==',
      'filename YS50eHQ=',
      'path L2EvYg==,relativePath',
    ],
    read: (value) => requireHarmless(parseUploadMetadata(value).path),
  },
  'upload-offset': {
    good: ['0', '1048576'],
    read: (value) => parseByteCount({ 'upload-offset': value }, 'upload-offset'),
  },
  'upload-checksum': {
    good: ['sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=', 'sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='],
    read: (value) => parseChecksum(value)?.holds(),
  },
  'if-match': { good: ['"abc"', '*', '"x", W/"abc"'], read: (value) => tags({ 'if-match': value }) },
  'if-none-match': { good: ['"abc"', '*', 'W/"a","b"'], read: (value) => tags({ 'if-none-match': value }) },
};

function tags(of: IncomingHttpHeaders): void {
  judgeRead(of, file);
  breaksPrecondition(of, file);
  toPrecondition(of);
}

export function buildHeaders(): Target {
  const kinds = Object.keys(headers);
  return {
    name: 'headers',
    kinds: [...kinds, 'range', 'session cookie', 'device cookie'],
    corpus: [
      ...kinds.flatMap((kind) => texts(kind, ...(headers[kind]?.good ?? []))),
      ...texts('range', 'bytes=0-99', 'bytes=-5', 'bytes=10-', 'bytes=,1-2,'),
      ...texts(
        'session cookie',
        `__Host-sallyport=s.${'A'.repeat(43)}`,
        `a=b; __Host-sallyport=h.${'B'.repeat(43)}`,
      ),
      ...texts('device cookie', `__Host-sallyport-device=${'C'.repeat(64)}`),
    ],
    run(input, { kinds: [kind = ''] }) {
      const value = input.toString('latin1');
      const known = headers[kind];
      if (known !== undefined) return judge(['bad-request', 'bad-path'], [kind], () => known.read(value));
      if (kind === 'range') {
        const range = judgeRange({ range: value }, file);
        if (typeof range !== 'object') return refused;
        const { offset, lengthBytes } = range;
        if (!(offset >= 0 && lengthBytes > 0 && offset + lengthBytes <= file.size))
          throw new Error(`bytes ${offset} and ${lengthBytes}`);
        return { taken: [kind], isRefused: false };
      }
      const cookie = kind === 'session cookie' ? readSessionCookie(value) : readDeviceCookie(value);
      return cookie === undefined ? refused : { taken: [kind], isRefused: false };
    },
  };
}

/** JSON that each call of the public API takes. */
export function buildJsonBodies(): Target {
  const bodies = calls.flatMap(({ method, path, body }) =>
    body === undefined ? [] : [{ kind: `${method} ${path}`, body }],
  );
  const schemas = new Map<string, z.ZodType>(bodies.map(({ kind, body }) => [kind, body]));
  return {
    name: 'json-bodies',
    kinds: [...schemas.keys()],
    corpus: [...schemas].flatMap(([kind, schema]) =>
      Array.from({ length: 6 }, (_, seed): Sample => ({
        kinds: [kind],
        bytes: Buffer.from(JSON.stringify(sampleOf(schema, buildRandom(seed + 1)) ?? {})),
      })),
    ),
    run: (input, { kinds }) =>
      judge(['bad-request'], kinds, () => {
        const schema = schemas.get(kinds[0] ?? '');
        if (schema === undefined) throw new Error('no such call');
        return readJson(exchangeOf(input), schema);
      }),
  };
}

function exchangeOf(body: Buffer): Exchange {
  const request = Object.assign(Readable.from([body], { objectMode: false }), {
    headers: { 'content-type': 'application/json' },
  });
  const pace = { watch: () => ({ moved: () => undefined, done: () => undefined }) };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what reading a body uses of it
  return { request, pace, awaitsContinue: false } as unknown as Exchange;
}

/** Names of files as users choose them, and what an archive makes of them. */
export function buildArchives(): Target {
  const mtimes = [0, 1_700_000_000_000, -1, 8.64e15];
  return {
    name: 'archive-names',
    kinds: ['files', 'folders', 'marks'],
    corpus: [
      { kinds: ['files'], bytes: Buffer.from('a.txt\nb.txt\nÜ ber.pdf') },
      { kinds: ['folders'], bytes: Buffer.from('in/\nout/\na.txt') },
      { kinds: ['marks'], bytes: Buffer.from('a:b\na\\b\na_b\na_b (2)\n_not-included.txt') },
    ],
    run: (input, { kinds }) =>
      judge(['bad-path', 'too-many'], kinds, async () => {
        const names = [...new Set(input.toString('utf8').split('\n'))].slice(0, 64);
        const isFolder = (name: string): boolean => name.endsWith('/');
        const plain = [...new Set(names.map((name) => (isFolder(name) ? name.slice(0, -1) : name)))];
        const attributes = (index: number, type: 'file' | 'folder'): Attributes => ({
          ...file,
          type,
          mtimeMs: mtimes[index % mtimes.length] ?? 0,
        });
        const entries = plain.map((name, index) => ({
          name,
          attributes: attributes(index, names.includes(`${name}/`) ? 'folder' : 'file'),
        }));
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what listing a tree uses of it
        const files = {
          list: async (path: VirtualPath) => ({
            entries: path.isRoot ? entries : [],
            unserved: { count: 2, names: ['x\n'] },
          }),
        } as unknown as FileClient;
        const listed = await listTree(files, requireComponents([]), [], {
          requireWanted: () => undefined,
          take: () => undefined,
        });
        const inArchive = listed.map(({ name }) => name);
        if (new Set(inArchive).size !== inArchive.length) throw new Error('two of one name');
        for (const name of inArchive)
          if (name.startsWith('/') || /[\\:]/.test(name) || name.split('/').includes('..'))
            throw new Error(`a name ${JSON.stringify(name)}`);
        requireReadable(
          listed.map(({ name, isFolder: folder, mtimeMs, mode }) => ({
            name,
            isFolder: folder,
            size: 7,
            mtimeMs,
            mode,
            offset: 0,
          })),
        );
      }),
  };
}

/** The records say where the next begins, and have the names. */
function requireReadable(entries: readonly Parameters<typeof formatLocalHeader>[0][]): void {
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const local = formatLocalHeader(entry);
    const central = formatCentralRecord(entry, 0);
    if (local.readUInt16LE(26) !== name.length || !local.subarray(30, 30 + name.length).equals(name))
      throw new Error('a local header of another name');
    if (central.readUInt16LE(28) !== name.length || !central.subarray(46, 46 + name.length).equals(name))
      throw new Error('a central record of another name');
  }
  if (formatEnd(entries.length, { offset: 0, lengthBytes: 0 }).readUInt32LE(0) !== 0x06054b50)
    throw new Error('no end');
}

export function buildUserFiles(): Target {
  const schemas = buildUserSchemas(['local']);
  const read = (name: string): Buffer => readFileSync(join('configs', 'users', name));
  const plain = Buffer.from(
    'username: alice\nemail: alice@example.com\nstatus: active\nfiles:\n  - { path: /, storage: local, root: alice, allow: [read, list] }\n',
  );
  const anchored = Buffer.from(
    'username: alice\n+files: &f\n  - { path: /, storage: local, root: alice, allow: [read] }\ngroups: ["a", b]\n',
  );
  const of = (kind: string, bytes: Buffer): Sample => ({ kinds: [kind], bytes });
  const places: Readonly<Record<string, string>> = {
    user: 'alice.yaml',
    default: '_default.yaml',
    group: join('groups', 'partners.yaml'),
  };
  return {
    name: 'user-files',
    kinds: ['user', 'default', 'group'],
    corpus: [
      of('user', read('alice.yaml')),
      of('user', plain),
      of('user', anchored),
      of('default', read('_default.yaml')),
      of('group', read(join('groups', 'partners.yaml'))),
    ],
    run(input, { kinds: [kind = ''] }) {
      const relative = places[kind] ?? '';
      const id = identifyFile(relative);
      if (id === undefined || id === 'misnamed') throw new Error(`no file ${relative}`);
      const shown = showText(input, new HashBook());
      if (/\$argon2id?\$v=19\$/.test(shown.text ?? '')) throw new Error('a hash that is shown');
      const parsed = parseUserFile(shown, id, relative, schemas);
      if ((parsed.fields === undefined) !== parsed.problems.length > 0)
        throw new Error('fields and problems');
      for (const { line, column, message } of parsed.problems)
        if (!(line >= 1 && column >= 1) || message === '') throw new Error('a problem nowhere');
      return parsed.fields === undefined ? refused : { taken: [kind], isRefused: false };
    },
  };
}
