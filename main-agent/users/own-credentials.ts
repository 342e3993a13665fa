import { parse } from 'yaml';
import { SallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import { formatPublicKeyLine, parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import { sshKeysMax } from './limits.ts';
import type { YamlUserDirectory } from './user-writes.ts';
import type { YamlChange } from './yaml-edit.ts';

/**
 * Password and SSH keys in a user's own file, changed on the user's behalf. Keys that a group or `_default` gives are
 * the administrator's: they are seen and stay.
 */
export interface OwnCredentials {
  /** Names the file as it is now; for `setPassword`. */
  etag(username: string): Promise<string | undefined>;
  /** Undefined takes the password away. Rejects `precondition-failed` when the file is not the one of `ifMatch`. */
  setPassword(username: string, hash: Secret | undefined, ifMatch?: string): Promise<void>;
  /** The same password under another hash. False: the file holds another one than `old` by now, and keeps it. */
  renewPassword(username: string, old: Secret, next: Secret): Promise<boolean>;
  /** Fingerprints of the keys that stand in the user's own file. */
  ownKeys(username: string): Promise<ReadonlySet<string>>;
  /** Rejects `exists`, `too-many`. */
  addKey(username: string, key: SshPublicKey): Promise<void>;
  /** False: it does not stand in the user's own file. */
  removeKey(username: string, fingerprint: string): Promise<boolean>;
}

const keyLists = ['ssh_keys', '+ssh_keys'] as const;

export function buildOwnCredentials(
  directory: Pick<YamlUserDirectory, 'find' | 'etag' | 'readOwn' | 'change'>,
): OwnCredentials {
  /** Whoever changes the file meanwhile wins: this then rejects `precondition-failed`. */
  async function edit(username: string, decide: (text: string) => readonly YamlChange[]): Promise<void> {
    const { text, etag } = (await directory.readOwn(username)) ?? { text: '', etag: undefined };
    await directory.change(username, decide(text), etag);
  }

  return {
    etag: (username) => directory.etag(username),

    async setPassword(username, hash, ifMatch) {
      await directory.change(username, [{ path: ['password'], value: hash?.expose() ?? null }], ifMatch);
    },

    async renewPassword(username, old, next) {
      const own = await directory.readOwn(username);
      if (own === undefined || rootOf(own.text)['password'] !== old.expose()) return false;
      await directory.change(username, [{ path: ['password'], value: next.expose() }], own.etag);
      return true;
    },

    async ownKeys(username) {
      const text = (await directory.readOwn(username))?.text ?? '';
      return new Set(keyLists.flatMap((list) => linesIn(text, list) ?? []).map(fingerprintOf));
    },

    addKey: (username, key) =>
      edit(username, (text) => {
        requireRoom(directory.find(username)?.sshKeys ?? [], key);
        // Beside inherited ones, unless the file replaces them.
        const list = linesIn(text, 'ssh_keys') === undefined ? '+ssh_keys' : 'ssh_keys';
        return [{ path: [list], value: [...(linesIn(text, list) ?? []), formatPublicKeyLine(key)] }];
      }),

    async removeKey(username, fingerprint) {
      let found = false;
      await edit(username, (text) =>
        keyLists.flatMap((list) => {
          const lines = linesIn(text, list) ?? [];
          const kept = lines.filter((line) => fingerprintOf(line) !== fingerprint);
          if (kept.length === lines.length) return [];
          found = true;
          // An empty `ssh_keys` still says that nothing is inherited; an empty `+ssh_keys` says nothing.
          return [{ path: [list], value: kept.length === 0 && list === '+ssh_keys' ? undefined : kept }];
        }),
      );
      return found;
    },
  };
}

export function requireRoom(present: readonly SshPublicKey[], key: SshPublicKey): void {
  if (present.some(({ blob }) => blob.equals(key.blob)))
    throw new SallyportError('exists', 'This key is there already', { detail: key.fingerprint });
  if (present.length >= sshKeysMax)
    throw new SallyportError('too-many', `There are ${sshKeysMax} keys already; remove one first`);
}

/** Undefined: the file says nothing about it. */
function linesIn(text: string, list: (typeof keyLists)[number]): readonly string[] | undefined {
  const value = rootOf(text)[list];
  return Array.isArray(value) ? value.filter((line) => typeof line === 'string') : undefined;
}

function rootOf(text: string): Readonly<Record<string, unknown>> {
  const root: unknown = parse(text);
  return isRecord(root) ? root : {};
}

/** The file may be one that is broken just now: what is no key is nobody's. */
function fingerprintOf(line: string): string {
  try {
    return parsePublicKeyLine(line).fingerprint;
  } catch {
    return '';
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
