import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
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
  /**
   * What it would go by with those of `sections` that changed, and which keys those are. A section that stands only with
   * something that stays as it was (a transport without its gateway) is left out.
   */
  readonly choose: (sections: readonly string[]) => Chosen<T>;
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
    const changed = findChangedKeys(this.#inForce, now);
    return {
      config: now.config,
      changed,
      choose: (sections) => this.#choose(now, changed, sections),
      take: (keys) => {
        this.#inForce = merge(this.#inForce, now, keys);
      },
    };
  }

  #choose(now: ReadConfig<T>, changed: readonly string[], sections: readonly string[]): Chosen<T> {
    const tryKeys = (keys: readonly string[]): Chosen<T> | undefined => {
      const config = now.parse(withKeys(this.#inForce.document, now.document, keys));
      return config === undefined ? undefined : { config, keys };
    };
    const all = changed.filter((key) => isBelow(key, sections));
    const whole = tryKeys(all);
    if (whole !== undefined) return whole;
    let chosen: Chosen<T> = { config: this.#inForce.config, keys: [] };
    // One section may need another that comes later in the list: again, until none is added any more.
    for (let rest = sections, before = -1; rest.length !== before;) {
      before = rest.length;
      rest = rest.filter((section) => {
        const more = tryKeys(all.filter((key) => chosen.keys.includes(key) || isBelow(key, [section])));
        chosen = more ?? chosen;
        return more === undefined;
      });
    }
    return chosen;
  }
}

interface Chosen<T> {
  readonly config: T;
  readonly keys: readonly string[];
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
  const document = withKeys(before.document, now.document, keys);
  const digests = new Map(before.digests);
  for (const key of keys) {
    const digest = now.digests.get(key);
    if (digest === undefined) digests.delete(key);
    else digests.set(key, digest);
  }
  return { ...before, config: before.parse(document) ?? before.config, document, digests };
}

/** `document` with these keys as `other` has them. */
function withKeys(document: unknown, other: unknown, keys: readonly string[]): unknown {
  return keys.reduce((done, key) => withKey(done, other, key), document);
}

function withKey(document: unknown, other: unknown, key: string): unknown {
  const [first = '', ...rest] = key.split('.');
  const own = isMap(document) ? document : {};
  const theirs = isMap(other) ? other[first] : undefined;
  const value = rest.length === 0 ? theirs : withKey(own[first], theirs, rest.join('.'));
  if (value !== undefined && !(rest.length > 0 && isMap(value) && Object.keys(value).length === 0))
    return { ...own, [first]: value };
  return Object.fromEntries(Object.entries(own).filter(([one]) => one !== first));
}

/** Lists are one key. */
function keyOf(at: readonly PropertyKey[]): string {
  const list = at.findIndex((part) => typeof part === 'number');
  return at.slice(0, list === -1 ? at.length : list).join('.');
}

/** Of several files that one key names, all together. Files that can't be read count as empty: they are told elsewhere. */
export async function digestFiles(files: readonly NamedFile[]): Promise<Map<string, string>> {
  const hashes = new Map<string, ReturnType<typeof createHash>>();
  for (const { at, path, isForeign } of files) {
    const key = keyOf(at);
    const hash = hashes.get(key) ?? createHash('sha256');
    hashes.set(key, hash);
    const content = await (isForeign === true ? describeFile(path) : readFile(path)).catch(() =>
      Buffer.alloc(0),
    );
    hash.update(`${content.length} `).update(content);
  }
  return new Map([...hashes].map(([key, hash]) => [key, hash.digest('base64url')]));
}

async function describeFile(path: string): Promise<Buffer> {
  const { ino, size, ctimeNs } = await stat(path, { bigint: true });
  return Buffer.from(`${ino} ${size} ${ctimeNs}`);
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

/** Those of `sections` whose files systemd copied when it started the unit, and no reload renewed. */
export function frozenKeys(
  files: readonly NamedFile[],
  sections: readonly string[],
  credentials: string | undefined,
): readonly string[] {
  const keys = files.flatMap(({ at, path }) => (isFrozen(path, credentials) ? [keyOf(at)] : []));
  return [...new Set(keys)].filter((key) => isBelow(key, sections));
}

/** A file that systemd copied when it started the unit, and no reload renewed; what lies at its source is not seen. */
export function isFrozen(file: string | undefined, credentials: string | undefined): boolean {
  return credentials !== undefined && file?.startsWith(`${credentials}/`) === true;
}
