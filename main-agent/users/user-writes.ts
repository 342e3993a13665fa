import { stat } from 'node:fs/promises';
import { configError } from '#shared/config/problem.ts';
import { SallyportError } from '#shared/error.ts';
import { removeDurably, writeDurably } from './durable-file.ts';
import type { EffectiveUser } from './effective-user.ts';
import { findOrigins, type ValueOrigin } from './origins.ts';
import { hashOctets, userRelative, type FileId } from './user-file.ts';
import { readIfThere } from './user-folder.ts';
import type { SourceProblem } from './user-source.ts';
import { isUsername, usernameExpectation } from './username.ts';
import { editYaml, type YamlChange } from './yaml-edit.ts';
import type { YamlUsers } from './yaml-users.ts';

/**
 * Writes into the admins' folder on their behalf (API, command line, a user's own password). Comments, order and
 * formatting stay; a file that changed underneath is never overwritten; what would be broken is not written.
 */

/** Of a new file: it holds a password hash. */
const newFileMode = 0o600;

export class YamlUserDirectory {
  readonly #users: YamlUsers;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(users: YamlUsers) {
    this.#users = users;
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
    const octets = isUsername(username) ? await readIfThere(this.#users.fileOf(idOf(username))) : undefined;
    return octets === undefined ? undefined : hashOctets(octets);
  }

  /** Every value that counts, with the file and line it came from. Rejects `not-found`. */
  async origins(username: string): Promise<readonly ValueOrigin[]> {
    const files = this.#users.filesInForce(username);
    if (files === undefined) throw notFound(username);
    const layers = await Promise.all(
      files.map(async (file) => ({ file, text: (await readIfThere(file))?.toString('utf8') ?? '' })),
    );
    return findOrigins(layers);
  }

  /** Keys as people write them. Resolves with the etag when the user is in force. Rejects `exists`, `config`. */
  create(username: string, fields: Readonly<Record<string, unknown>>): Promise<string> {
    return this.#inTurn(async () => {
      if (!isUsername(username)) {
        throw new SallyportError('config', 'That is no user name', {
          detail: `${JSON.stringify(username)}; expected ${usernameExpectation}`,
        });
      }
      const changes = Object.entries(fields)
        .filter(([key]) => key !== 'username')
        .map(([key, value]) => ({ path: [key], value }));
      const id = idOf(username);
      const octets = Buffer.from(editYaml(`username: ${JSON.stringify(username)}\n`, changes), 'utf8');
      this.#requireGood(octets, id);
      await writeDurably(this.#users.fileOf(id), octets.toString('utf8'), {
        mode: newFileMode,
        exclusive: true,
      });
      await this.#users.refresh();
      return hashOctets(octets);
    });
  }

  /** Rejects `not-found`, `precondition-failed` (the file is not the one of `ifMatch`), `conflict`, `config`. */
  change(username: string, changes: readonly YamlChange[], ifMatch: string | undefined): Promise<string> {
    return this.#inTurn(async () => {
      const id = idOf(username);
      const file = this.#users.fileOf(id);
      const old = await this.#readMatching(username, ifMatch);
      if (changes.some(({ path }) => path.length === 0 || path[0] === 'username')) {
        throw new SallyportError('config', 'A user can not be renamed', { hint: 'create a new one' });
      }
      const octets = Buffer.from(editYaml(old.toString('utf8'), changes), 'utf8');
      this.#requireGood(octets, id);
      const { mode } = await stat(file);
      await writeDurably(file, octets.toString('utf8'), {
        mode: mode & 0o777,
        beforeRename: () => this.#requireSame(file, old),
      });
      await this.#users.refresh();
      return hashOctets(octets);
    });
  }

  /** The user is gone when it resolves. Rejects `not-found`, `precondition-failed`. */
  remove(username: string, ifMatch: string | undefined): Promise<void> {
    return this.#inTurn(async () => {
      await this.#readMatching(username, ifMatch);
      await removeDurably(this.#users.fileOf(idOf(username)));
      await this.#users.refresh();
    });
  }

  async #readMatching(username: string, ifMatch: string | undefined): Promise<Buffer> {
    const octets = isUsername(username) ? await readIfThere(this.#users.fileOf(idOf(username))) : undefined;
    if (octets === undefined) throw notFound(username);
    if (ifMatch !== undefined && ifMatch !== hashOctets(octets)) {
      throw new SallyportError('precondition-failed', 'The user was changed meanwhile', {
        detail: `${username}: etag ${hashOctets(octets)}, asked for ${ifMatch}`,
        hint: 'read it again',
      });
    }
    return octets;
  }

  /** Just before the rename; an editor that saves within the same few microseconds still loses or wins whole. */
  async #requireSame(file: string, old: Buffer): Promise<void> {
    const now = await readIfThere(file);
    if (now?.equals(old) === true) return;
    throw new SallyportError('conflict', 'The file was changed at the same moment', {
      detail: file,
      hint: 'try again',
    });
  }

  #requireGood(octets: Buffer, id: FileId): void {
    const problems = this.#users.judge(octets, id);
    if (problems.length > 0) throw configError(problems);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

function idOf(username: string): FileId {
  return { kind: 'user', name: username, relative: userRelative(username) };
}

function notFound(username: string): SallyportError {
  return new SallyportError('not-found', 'There is no such user', { detail: JSON.stringify(username) });
}
