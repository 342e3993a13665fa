import { isDeepStrictEqual } from 'node:util';
import type { AdminReason } from '#main-agent/administrator.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { StoredMove, StoredRename } from '#main-agent/state/kept-records.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import { configError } from '#shared/config/problem.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { Departures } from './departures.ts';
import type { EffectiveUser, Mount } from './effective-user.ts';
import { fileNotFound, requireText, type FileWrites } from './file-writes.ts';
import { userRelative, type FileId } from './user-file.ts';
import type { EnrolmentSource } from './user-source.ts';
import { foldUsername, isUsername, usernameExpectation } from './username.ts';
import { editYaml } from './yaml-edit.ts';
import type { YamlUsers } from './yaml-users.ts';

/**
 * Another name for a user (D-148): what the person has hangs at the new one, and the old one is given back, so that
 * whoever gets it next inherits nothing (S-16). It touches folders, the bin, state.db, the authenticator's file and the
 * users folder, which no transaction spans. So it is written down first and always goes on: each step finds out whether
 * it was done, and a start of main finishes what a kill left before anybody signs in. Until it is over nobody signs in
 * under the old name.
 */

interface RenameParts {
  readonly users: Pick<
    YamlUsers,
    'find' | 'list' | 'files' | 'read' | 'isGiven' | 'judge' | 'underName' | 'changeTogether'
  >;
  readonly writes: Pick<FileWrites, 'inForce'>;
  readonly departures: Pick<Departures, 'end' | 'findProblem' | 'formerUntilMs' | 'isNoted'>;
  readonly enrolments: Pick<EnrolmentSource, 'list' | 'promote' | 'remove'>;
  readonly state: Pick<StateStore, 'commit' | 'read'>;
  readonly files: {
    isOccupied(folder: Folder): Promise<boolean>;
    moveFolder(move: StoredMove, operation: string): Promise<void>;
    giveBin(username: string, to: string, moves: readonly StoredMove[]): Promise<number>;
  };
  readonly clock: Clock;
  readonly log: Log;
}

/** What is there only while main serves. */
export interface RenameSurroundings {
  /** Lays the second factor ready under the new name; its id. */
  prepareFactor(username: string, to: string): Promise<string | undefined>;
  endLogins(username: string, reason: string): Promise<void>;
  forgetTokens(username: string): void;
  /** Names that an admin's ban shuts out. */
  bannedNames(): readonly string[];
}

interface UserRenamed {
  readonly moves: readonly StoredMove[];
  /** Of the admin API. */
  readonly tokensEnded: number;
}

export interface UserRenameAdmin {
  /**
   * Also finishes one of the same names that failed in the middle. Rejects `not-found`, `exists` for a new name that is
   * not free whyever, `conflict`, `config`; then nothing but
   * sessions may have ended. What fails later says how it goes on.
   */
  rename(username: string, to: string, why: AdminReason): Promise<UserRenamed>;
}

type Folder = Pick<Mount, 'storage' | 'root'>;

export class UserRenames {
  readonly #parts: RenameParts;
  /** Those that are not over, by the old name. */
  readonly #underWay = new Map<string, StoredRename>();

  constructor(parts: RenameParts) {
    this.#parts = parts;
  }

  /** Before anybody may sign in, and before it is looked who left. Never rejects: what can't be finished is told. */
  async start(): Promise<void> {
    const { log, state, writes } = this.#parts;
    for (const rename of await state.read('kept-user-rename')) {
      const { id: user, to } = rename;
      this.#underWay.set(user, rename);
      try {
        await writes.inForce(() => this.#goOn(rename));
      } catch (error) {
        const hint = `nobody signs in as ${user} meanwhile; put right what it says, then: sallyport users rename ${user} ${to} --reason …`;
        log.error({ alarm: 'rename-unfinished', err: error, user, to, hint }, 'a user is renamed by half');
      }
    }
  }

  /** Why nobody may sign in under this name now. */
  findHold(username: string): string | undefined {
    const rename = this.#underWay.get(username);
    return rename === undefined ? undefined : `${username} is being renamed to ${rename.to}`;
  }

  with(around: RenameSurroundings): UserRenameAdmin {
    return {
      rename: (username, to, why) =>
        this.#parts.writes.inForce(() => this.#rename(username, to, why, around)),
    };
  }

  async #rename(
    username: string,
    to: string,
    { actor, reason }: AdminReason,
    around: RenameSurroundings,
  ): Promise<UserRenamed> {
    const { state } = this.#parts;
    const tokens = await state.read('kept-token');
    const own = tokens.filter(({ owner }) => 'user' in owner && owner.user === username);
    const noted = (await state.read('kept-user-rename')).find(({ id }) => id === username);
    if (noted !== undefined && noted.to !== to) throw isUnderWay(noted);
    let rename = noted ?? (await this.#plan(username, to, { actor, reason }, around));
    let isNoted = noted !== undefined;
    // From here on nobody signs in under that name, and so nobody is there when the factor and the folders move.
    this.#underWay.set(username, rename);
    try {
      await around.endLogins(username, 'the user was renamed');
      if (rename.stage === 'begun') {
        // Anew where it goes on: somebody may have reset it meanwhile.
        const { enrolment: _enrolment, ...kept } = rename;
        const enrolment = await around.prepareFactor(username, to);
        rename = enrolment === undefined ? kept : { ...kept, enrolment };
        await state.commit([{ kind: 'keep-record', list: 'user-rename', record: rename }]);
        isNoted = true;
      }
      await this.#goOn(rename);
    } catch (cause) {
      if (isNoted) throw unfinished(rename, cause);
      this.#underWay.delete(username);
      throw cause;
    }
    around.forgetTokens(username);
    return { moves: rename.moves, tokensEnded: own.length };
  }

  /** Looks at all that could be in its way; changes nothing. */
  async #plan(
    username: string,
    to: string,
    { actor, reason }: AdminReason,
    around: RenameSurroundings,
  ): Promise<StoredRename> {
    const user = this.#requireUser(username);
    this.#requireFree(to, username);
    await this.#requireUnknown(to);
    const banned = around.bannedNames().find((name) => name === username || name === to);
    if (banned !== undefined) {
      throw new SallyportError('conflict', 'A ban names this user, and would not follow', {
        detail: banned,
        hint: 'lift it first: sallyport bans list',
      });
    }
    const moves = await this.#planMoves(user, to);
    await this.#draft(username, to);
    const startedAtMs = this.#parts.clock.now();
    return { id: username, to, stage: 'begun', moves, actor, reason, startedAtMs };
  }

  /** Every step may have been done before. */
  async #goOn(rename: StoredRename): Promise<void> {
    const { enrolments, files, state } = this.#parts;
    const { id: user, to, enrolment, moves, stage, startedAtMs } = rename;
    if (stage === 'begun') {
      for (const [index, move] of moves.entries())
        await files.moveFolder(move, `rename ${user} ${startedAtMs} ${index}`);
      await files.giveBin(user, to, moves);
      await this.#commit(rename);
    }
    if (enrolment !== undefined) await enrolments.promote(to, enrolment);
    await enrolments.remove(user);
    await this.#changeFiles(user, to);
    await state.commit([{ kind: 'drop-record', list: 'user-rename', id: user }]);
    this.#underWay.delete(user);
  }

  async #commit(rename: StoredRename): Promise<void> {
    const { departures, state } = this.#parts;
    const { id: user, to, enrolment, actor, reason } = rename;
    const detail = `${user} is ${to} from now on: ${reason}`;
    await departures.end(user, async (changes) => {
      const result = await state.commit([
        { kind: 'rename-user', user, to, enrolment },
        ...changes,
        { kind: 'keep-record', list: 'user-rename', record: { ...rename, stage: 'committed' } },
        { kind: 'audit', record: buildRecord(this.#parts, 'user.renamed', 'ok', { user, actor, detail }) },
      ]);
      if (result.ok) return;
      throw new SallyportError('conflict', 'The second factor is another one than when this began', {
        detail: `${user}: ${result.failed}`,
        hint: `sallyport two-factor reset ${user}`,
      });
    });
  }

  /** Both files at once, also over a crash. */
  async #changeFiles(user: string, to: string): Promise<void> {
    const { users } = this.#parts;
    const old = await users.read(idOf(user));
    // Done before, or the user was removed since.
    if (old === undefined) return;
    await users.changeTogether([
      { relative: userRelative(to), text: renamed(requireText(old, userRelative(user)), to) },
      { relative: userRelative(user), oldHash: old.hash },
    ]);
  }

  /** Rejects `config` where the file would be none under that name. */
  async #draft(username: string, to: string): Promise<void> {
    const { users } = this.#parts;
    const old = await users.read(idOf(username));
    if (old === undefined) throw fileNotFound(idOf(username));
    const problems = users.judge(renamed(requireText(old, userRelative(username)), to), idOf(to));
    if (problems.length > 0) throw configError(problems);
  }

  #requireUser(username: string): EffectiveUser {
    const { departures, users } = this.#parts;
    const user = users.find(username);
    if (user === undefined || !isUsername(username)) throw fileNotFound(idOf(username));
    const problem = departures.findProblem(username);
    if (problem === undefined) return user;
    throw new SallyportError('conflict', 'It is not decided who has this name', { detail: problem });
  }

  /** Nobody has the name, nor one that differs only in case. */
  #requireFree(to: string, username: string): void {
    const { users } = this.#parts;
    if (!isUsername(to)) {
      throw new SallyportError('config', 'That is no user name', {
        detail: `${JSON.stringify(to)}; expected ${usernameExpectation}`,
      });
    }
    const form = foldUsername(to);
    const twin = Iterator.from(users.files()).find(
      ({ id }) => id.kind === 'user' && foldUsername(id.name) === form,
    );
    if (twin?.id.name === username && to !== username) {
      throw notFree(
        `${to} and ${username} differ only in case, and a folder of both may be one: take another name first`,
      );
    }
    if (twin !== undefined || users.isGiven(to)) throw notFree(`${twin?.id.name ?? to} is there`);
    for (const rename of this.#underWay.values())
      if ([rename.to, rename.id].some((name) => foldUsername(name) === form)) throw isUnderWay(rename);
  }

  /** Nothing is stored of somebody who had it. */
  async #requireUnknown(to: string): Promise<void> {
    const { clock, departures, enrolments, state } = this.#parts;
    if (departures.isNoted(to)) throw notFree(`something is stored of an earlier ${to}`);
    const formerUntilMs = departures.formerUntilMs(to);
    if (formerUntilMs !== undefined)
      throw notFree(`${to} was another person until ${new Date(formerUntilMs).toISOString()}`);
    if ((await enrolments.list()).includes(to))
      throw notFree(`there is an enrolment file of an earlier ${to}`);
    const names = await state.read('remembered-names', { nowMs: clock.now() });
    if (names.some(({ username }) => username === to))
      throw notFree(`something is stored of an earlier ${to}`);
  }

  /** Folders that are called after the user, the outer ones first. Rejects where others would lose or get one. */
  async #planMoves(user: EffectiveUser, to: string): Promise<readonly StoredMove[]> {
    const { files, users } = this.#parts;
    const renamedMounts = users.underName(user.username, to)?.mounts ?? [];
    const moves: StoredMove[] = [];
    for (const [index, { storage, root }] of user.mounts.entries()) {
      const target = renamedMounts[index]?.root ?? root;
      for (const [at, part] of target.entries()) {
        if (root[at] === part) continue;
        const above = target.slice(0, at);
        const move = { storage, from: [...above, root[at] ?? ''], to: [...above, part] };
        if (!moves.some((one) => isDeepStrictEqual(one, move))) moves.push(move);
      }
    }
    const others: Folder[] = [
      ...Iterator.from(users.list())
        .filter(({ username }) => username !== user.username)
        .flatMap(({ mounts }) => mounts),
      // Their own that name the folder outright do not follow.
      ...user.mounts.filter(({ root }, index) => isDeepStrictEqual(root, renamedMounts[index]?.root)),
    ];
    for (const move of moves) {
      const shared = others.find((one) => isInside(one, move.from, move.storage));
      if (shared !== undefined) {
        throw new SallyportError('conflict', 'A folder of this user is a mount of others too', {
          detail: `${shared.root.join('/')} on ${move.storage}`,
          hint: 'give it another root in the files that name it, then rename',
        });
      }
      const taken = others.find((one) => isInside(one, move.to, move.storage));
      if (taken !== undefined) throw notFree(`${taken.root.join('/')} is a folder of others`);
      if (await files.isOccupied({ storage: move.storage, root: move.to }))
        throw notFree(`the folder ${move.to.join('/')} is there already on ${move.storage}`);
    }
    return moves;
  }
}

function renamed(text: string, to: string): string {
  return editYaml(text, [{ path: ['username'], value: to }]);
}

/** `inner` is that folder or below it; on some media names that differ only in case are one. */
function isInside(inner: Folder, outer: readonly string[], storage: string): boolean {
  return (
    inner.storage === storage &&
    outer.every((part, index) => inner.root[index]?.toLowerCase() === part.toLowerCase())
  );
}

function notFree(why: string): SallyportError {
  return new SallyportError('exists', 'This name is not free', {
    detail: why,
    hint: 'choose another, or take away what is left of it: sallyport two-factor orphans',
  });
}

function isUnderWay({ id, to }: StoredRename): SallyportError {
  return new SallyportError('conflict', 'A rename of this name is not over', {
    detail: `${id} to ${to}`,
    hint: `finish it: sallyport users rename ${id} ${to} --reason …`,
  });
}

function unfinished({ id, to }: StoredRename, cause: unknown): SallyportError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new SallyportError('conflict', 'The user is renamed by half', {
    detail: cause instanceof SallyportError ? `${why}: ${cause.detail ?? ''}` : why,
    hint: `nobody signs in as ${id} meanwhile; put right what it says and go on: sallyport users rename ${id} ${to} --reason …`,
    cause,
  });
}

function idOf(username: string): FileId {
  return { kind: 'user', name: username, relative: userRelative(username) };
}
