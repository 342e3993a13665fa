import { stat } from 'node:fs/promises';
import path from 'node:path';
import { configError } from '#shared/config/problem.ts';
import type { Clock } from '#shared/clock.ts';
import { Serial } from '#main-agent/turns.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { ensureFolder, removeDurably } from '#main-agent/durable-file.ts';
import { isAdmin, requireAdminLeft } from './last-admin.ts';
import type { ShownText } from './shown-text.ts';
import type { FileId } from './user-file.ts';
import { editYaml, type YamlChange } from './yaml-edit.ts';
import type { YamlUsers } from './yaml-users.ts';

/**
 * Writes one file of the admins' folder on their behalf (API, command line, a user's own password). Comments, order and
 * formatting stay; a file that changed underneath is never overwritten; what would be broken is not written. One write
 * at a time.
 */

/** Of a new file: it may hold a password hash. */
const newFileMode = 0o600;
/** Of `groups/`, when the first group comes. */
const groupsFolderMode = 0o750;

/** Looks at a write in its turn, when whatever else was written is in force, and throws to refuse it. */
export interface WriteJudge {
  /** Before anything is said about what is there. */
  before(): void;
  /** `text`: the file as it would be. Changes nothing. */
  after(text: string): void | Promise<void>;
}

export interface NewFile {
  readonly id: FileId;
  /** What it begins with. */
  readonly text: string;
  readonly fields: readonly YamlChange[];
}

export class FileWrites {
  readonly #users: YamlUsers;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #turns = new Serial();

  constructor(users: YamlUsers, clock: Pick<Clock, 'now'>) {
    this.#users = users;
    this.#clock = clock;
  }

  /** Undefined: there is none. */
  read(id: FileId): Promise<ShownText | undefined> {
    return this.#users.read(id);
  }

  /** Resolves with the etag when the file is in force. Rejects `exists`, `config`, `not-allowed` (the last admin). */
  create(id: FileId, text: string, fields: readonly YamlChange[], judge?: WriteJudge): Promise<string> {
    return this.inTurn(async () => {
      await this.#begin(judge);
      const whole = editYaml(text, fields);
      this.#requireGood(whole, id);
      await judge?.after(whole);
      await this.#requireAdminLeft(id, whole);
      const file = this.#users.fileOf(id);
      if (id.kind === 'group') await ensureFolder(path.dirname(file), groupsFolderMode);
      const hash = await this.#users.texts.write(file, whole, { mode: newFileMode, exclusive: true });
      await this.#users.refresh();
      return hash;
    });
  }

  /**
   * New users' files, read together when all are written. Of each why it was not taken, undefined where it was; the
   * others are. `isDryRun` writes none.
   */
  createUsers(files: readonly NewFile[], isDryRun: boolean): Promise<readonly (string | undefined)[]> {
    return this.inTurn(async () => {
      const problems: (string | undefined)[] = [];
      for (const file of files) problems.push(await this.#createUser(file, isDryRun));
      if (!isDryRun) await this.#users.refresh();
      return problems;
    });
  }

  /** Nobody who is new can cost the last admin the role. */
  async #createUser({ id, text, fields }: NewFile, isDryRun: boolean): Promise<string | undefined> {
    try {
      const whole = editYaml(text, fields);
      const problems = this.#users.judge(whole, id);
      if (problems.length > 0) return problems.map(({ message }) => message).join('; ');
      if ((await this.read(id)) !== undefined) return 'there is such a user already';
      if (isDryRun) return undefined;
      await this.#users.texts.write(this.#users.fileOf(id), whole, { mode: newFileMode, exclusive: true });
      return undefined;
    } catch (error) {
      if (isSallyportError(error, 'exists')) return 'there is such a user already';
      if (isSallyportError(error, 'config')) return error.detail ?? error.publicMessage;
      throw error;
    }
  }

  /**
   * Rejects `not-found`, `precondition-failed` (the file is not the one of `ifMatch`), `conflict`, `config`,
   * `not-allowed` (the last admin).
   */
  change(
    id: FileId,
    changes: readonly YamlChange[],
    ifMatch: string | undefined,
    judge?: WriteJudge,
  ): Promise<string> {
    return this.inTurn(async () => {
      await this.#begin(judge);
      const file = this.#users.fileOf(id);
      const old = await this.#readMatching(id, ifMatch);
      const text = editYaml(requireText(old, file), changes);
      this.#requireGood(text, id);
      await judge?.after(text);
      await this.#requireAdminLeft(id, text);
      const { mode } = await stat(file);
      // An editor that saves within the few microseconds before the rename still loses or wins whole.
      const hash = await this.#users.texts.write(file, text, { mode: mode & 0o777, replaces: old.hash });
      await this.#users.refresh();
      return hash;
    });
  }

  /** Gone when it resolves. `requireUnused` throws to refuse. Rejects as `change` does. */
  remove(id: FileId, ifMatch: string | undefined, requireUnused?: () => void): Promise<void> {
    return this.inTurn(async () => {
      await this.#readMatching(id, ifMatch);
      requireUnused?.();
      await this.#requireAdminLeft(id, undefined);
      await removeDurably(this.#users.fileOf(id));
      await this.#users.refresh();
    });
  }

  inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(work);
  }

  /** Nothing is written here meanwhile, and what others had written is in force. */
  inForce<T>(work: () => Promise<T>): Promise<T> {
    return this.inTurn(async () => {
      await this.#users.refresh();
      return work();
    });
  }

  async #begin(judge: WriteJudge | undefined): Promise<void> {
    if (judge === undefined) return;
    await this.#users.refresh();
    judge.before();
  }

  async #readMatching(id: FileId, ifMatch: string | undefined): Promise<ShownText> {
    const shown = await this.read(id);
    if (shown === undefined) throw fileNotFound(id);
    if (ifMatch !== undefined && ifMatch !== shown.hash) {
      throw new SallyportError('precondition-failed', `The ${nounOf(id)} was changed meanwhile`, {
        detail: `${id.name}: etag ${shown.hash}, asked for ${ifMatch}`,
        hint: 'read it again',
      });
    }
    return shown;
  }

  /** Everybody is put together anew only where the one file could cost the last admin the role. */
  async #requireAdminLeft(id: FileId, text: string | undefined): Promise<void> {
    const nowMs = this.#clock.now();
    const admins = [...this.#users.list()].filter((user) => isAdmin(user, nowMs));
    const isOfOthers = id.kind === 'user' && admins.some(({ username }) => username !== id.name);
    if (admins.length === 0 || isOfOthers) return;
    const trial = await this.#users.tryChange(id, text);
    requireAdminLeft(admins, trial.list(), nowMs);
  }

  #requireGood(text: string, id: FileId): void {
    const problems = this.#users.judge(text, id);
    if (problems.length > 0) throw configError(problems);
  }
}

/** Rejects `config` where a file may hold a hash that can't be hidden. */
export function requireText(shown: ShownText, file: string): string {
  if (shown.text !== undefined) return shown.text;
  const { problem: message, hint } = shown;
  throw configError([{ file, line: 1, column: 1, message, hint }]);
}

export function fileNotFound(id: FileId): SallyportError {
  return new SallyportError('not-found', `There is no such ${nounOf(id)}`, {
    detail: JSON.stringify(id.name),
  });
}

function nounOf({ kind }: FileId): string {
  return kind === 'user' ? 'user' : 'group';
}
