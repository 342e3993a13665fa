import { SallyportError } from '#shared/error.ts';
import type { EffectiveUser } from './effective-user.ts';
import { fileNotFound, type FileWrites } from './file-writes.ts';
import { findOrigins, type ValueOrigin } from './origins.ts';
import { hashOctets, userRelative, type FileId } from './user-file.ts';
import { readIfThere } from './user-folder.ts';
import type { SourceProblem } from './user-source.ts';
import { foldUsername, isUsername, usernameExpectation } from './username.ts';
import type { YamlChange } from './yaml-edit.ts';
import type { YamlUsers } from './yaml-users.ts';

/** The user store with its writes. */
export interface UserDirectory {
  find(username: string): EffectiveUser | undefined;
  list(): Iterable<EffectiveUser>;
  problems(): readonly SourceProblem[];
  /** Hash of the user's own file; undefined: there is none. */
  etag(username: string): Promise<string | undefined>;
  /** Every effective value with the file and line it came from. */
  origins(username: string): Promise<readonly ValueOrigin[]>;
  /** Keys as people write them in the file. Resolves with the new etag, when the user is in force. */
  create(username: string, fields: Readonly<Record<string, unknown>>): Promise<string>;
  /** Keeps comments and order. Resolves with the new etag, when the change is in force. */
  change(username: string, changes: readonly YamlChange[], ifMatch: string | undefined): Promise<string>;
  remove(username: string, ifMatch: string | undefined): Promise<void>;
}

/** Users as the admin API and the command line see them: found, listed, and their own files changed. */
export class YamlUserDirectory {
  readonly #users: YamlUsers;
  readonly #writes: FileWrites;

  constructor(users: YamlUsers, writes: FileWrites) {
    this.#users = users;
    this.#writes = writes;
  }

  find(username: string): EffectiveUser | undefined {
    return this.#users.find(username);
  }

  list(): Iterable<EffectiveUser> {
    return this.#users.list();
  }

  problems(): readonly SourceProblem[] {
    return this.#users.problems();
  }

  /** Hash of the user's own file; undefined: there is none. */
  async etag(username: string): Promise<string | undefined> {
    return (await this.readOwn(username))?.etag;
  }

  /** The user's own file as it is now. */
  async readOwn(username: string): Promise<{ readonly text: string; readonly etag: string } | undefined> {
    const octets = isUsername(username) ? await this.#writes.read(idOf(username)) : undefined;
    return octets === undefined ? undefined : { text: octets.toString('utf8'), etag: hashOctets(octets) };
  }

  /** Every value that counts, with the file and line it came from. Rejects `not-found`. */
  async origins(username: string): Promise<readonly ValueOrigin[]> {
    const files = this.#users.filesInForce(username);
    if (files === undefined) throw fileNotFound(idOf(username));
    const layers = await Promise.all(
      files.map(async (file) => ({ file, text: (await readIfThere(file))?.toString('utf8') ?? '' })),
    );
    return findOrigins(layers);
  }

  /** Keys as people write them. Resolves with the etag when the user is in force. Rejects `exists`, `config`. */
  async create(username: string, fields: Readonly<Record<string, unknown>>): Promise<string> {
    if (!isUsername(username)) {
      throw new SallyportError('config', 'That is no user name', {
        detail: `${JSON.stringify(username)}; expected ${usernameExpectation}`,
      });
    }
    const form = foldUsername(username);
    for (const { id } of this.#users.files()) {
      if (id.kind !== 'user' || id.name === username || foldUsername(id.name) !== form) continue;
      throw new SallyportError('exists', 'Another user has that name but for case', {
        detail: `${id.name} is there`,
        hint: 'names that differ only in case would be one person at the sign-in; choose another',
      });
    }
    const changes = Object.entries(fields)
      .filter(([key]) => key !== 'username')
      .map(([key, value]) => ({ path: [key], value }));
    return this.#writes.create(idOf(username), `username: ${JSON.stringify(username)}\n`, changes);
  }

  /** Rejects as `FileWrites.change` does. */
  async change(
    username: string,
    changes: readonly YamlChange[],
    ifMatch: string | undefined,
  ): Promise<string> {
    const id = requireId(username);
    if (changes.some(({ path }) => path.length === 0 || path[0] === 'username')) {
      throw new SallyportError('config', 'A user can not be renamed', { hint: 'create a new one' });
    }
    return this.#writes.change(id, changes, ifMatch);
  }

  /** The user is gone when it resolves. Rejects `not-found`, `precondition-failed`, `not-allowed` (the last admin). */
  async remove(username: string, ifMatch: string | undefined): Promise<void> {
    return this.#writes.remove(requireId(username), ifMatch);
  }
}

function idOf(username: string): FileId {
  return { kind: 'user', name: username, relative: userRelative(username) };
}

function requireId(username: string): FileId {
  const id = idOf(username);
  if (!isUsername(username)) throw fileNotFound(id);
  return id;
}
