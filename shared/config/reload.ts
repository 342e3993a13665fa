import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { NamedFile } from './file-path.ts';

/** What a reload came to, told as it is: nothing is said to be reloaded that did not change. */

/** A configuration as it was read, with all that can tell whether it is another by now. */
export interface ReadConfig<T> {
  readonly config: T;
  /** What stands in the file, without defaults. */
  readonly document: unknown;
  /** SHA-256 of the files it names, by the key that names them. */
  readonly digests: ReadonlyMap<string, string>;
  /** What a document means; undefined: it is none of ours. */
  readonly parse: (document: unknown) => T | undefined;
}

export interface Reread<T> {
  readonly config: T;
  /** Keys as the file has them, such as `https.listen`, whose value or file differs from what this process goes by. */
  readonly changed: readonly string[];
  /** From now on it goes by these. */
  readonly take: (keys: readonly string[]) => void;
}

/** Reads the configuration again and again, and knows which part of what was read is in force. */
export class ConfigSource<T> {
  readonly #read: () => Promise<ReadConfig<T>>;
  #inForce: ReadConfig<T>;

  private constructor(read: () => Promise<ReadConfig<T>>, first: ReadConfig<T>) {
    this.#read = read;
    this.#inForce = first;
  }

  static async open<T>(read: () => Promise<ReadConfig<T>>): Promise<ConfigSource<T>> {
    return new ConfigSource(read, await read());
  }

  /** Rejects `config` when it is wrong; nothing has changed then. */
  async reread(): Promise<Reread<T>> {
    const now = await this.#read();
    return {
      config: now.config,
      changed: findChangedKeys(this.#inForce, now),
      take: (keys) => {
        this.#inForce = merge(this.#inForce, now, keys);
      },
    };
  }
}

/** Undefined where the key is not there. Lists are taken whole. */
type Leaves = ReadonlyMap<string, string>;

function leavesOf(value: unknown, at = ''): [string, string][] {
  if (!isMap(value)) return at === '' ? [] : [[at, JSON.stringify(value) ?? '']];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, at === '' ? key : `${at}.${key}`));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A key that says in other words what was said before, or what is the default, is none of them. */
function findChangedKeys<T>(before: ReadConfig<T>, now: ReadConfig<T>): string[] {
  const meaning = JSON.stringify(before.parse(before.document));
  const written = differing(new Map(leavesOf(before.document)), new Map(leavesOf(now.document))).filter(
    (key) => JSON.stringify(before.parse(withKey(before.document, now.document, key))) !== meaning,
  );
  return [...new Set([...written, ...differing(before.digests, now.digests)])].toSorted();
}

function differing(before: Leaves, now: Leaves): string[] {
  return [...new Set([...before.keys(), ...now.keys()])].filter((key) => before.get(key) !== now.get(key));
}

function merge<T>(before: ReadConfig<T>, now: ReadConfig<T>, keys: readonly string[]): ReadConfig<T> {
  const document = keys.reduce<unknown>((done, key) => withKey(done, now.document, key), before.document);
  const digests = new Map(before.digests);
  for (const key of keys) {
    const digest = now.digests.get(key);
    if (digest === undefined) digests.delete(key);
    else digests.set(key, digest);
  }
  return { ...before, document, digests };
}

/** `document` with one key as `other` has it. */
function withKey(document: unknown, other: unknown, key: string): unknown {
  const [first = '', ...rest] = key.split('.');
  const own = isMap(document) ? document : {};
  const theirs = isMap(other) ? other[first] : undefined;
  const value = rest.length === 0 ? theirs : withKey(own[first], theirs, rest.join('.'));
  if (value !== undefined && !(rest.length > 0 && isMap(value) && Object.keys(value).length === 0))
    return { ...own, [first]: value };
  return Object.fromEntries(Object.entries(own).filter(([one]) => one !== first));
}

/** Of several files that one key names, all together. Files that can't be read count as empty: they are told elsewhere. */
export async function digestFiles(files: readonly NamedFile[]): Promise<Map<string, string>> {
  const hashes = new Map<string, ReturnType<typeof createHash>>();
  for (const { at, path } of files) {
    const list = at.findIndex((part) => typeof part === 'number');
    const key = at.slice(0, list === -1 ? at.length : list).join('.');
    const hash = hashes.get(key) ?? createHash('sha256');
    hashes.set(key, hash);
    const content = await readFile(path).catch(() => Buffer.alloc(0));
    hash.update(`${content.length} `).update(content);
  }
  return new Map([...hashes].map(([key, hash]) => [key, hash.digest('base64url')]));
}

interface Reload {
  /** What took effect. */
  readonly changed: readonly string[];
  /** Keys that were changed and count only after a restart. */
  readonly restart: readonly string[];
  /** What systemd handed over at the start, as it does once: what lies at its source by now is not seen. */
  readonly frozen: readonly string[];
}

/** A key, or a section with all its keys. */
export function isBelow(key: string, sections: readonly string[]): boolean {
  return sections.some((section) => key === section || key.startsWith(`${section}.`));
}

export function describeReload({ changed, restart, frozen }: Reload): string {
  return [
    changed.length === 0 ? 'reloaded: nothing had changed' : `reloaded: ${changed.join(', ')}`,
    ...(restart.length === 0 ? [] : [`changed, but only a restart takes it: ${restart.join(', ')}`]),
    ...(frozen.length === 0
      ? []
      : [
          `not looked at, for systemd handed it over at the start and a restart of the unit takes it: ${frozen.join(', ')}`,
        ]),
  ].join('; ');
}

/** A file that systemd copied when it started the unit, and no reload renewed; what lies at its source is not seen. */
export function isFrozen(file: string | undefined, credentials: string | undefined): boolean {
  return credentials !== undefined && file?.startsWith(`${credentials}/`) === true;
}
