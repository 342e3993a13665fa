import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Log } from '#shared/log.ts';
import type { EffectiveUser, Mount } from './effective-user.ts';
import { LastGoodCopies } from './last-good.ts';
import { loggedProblemsMax, usersInOneGo } from './limits.ts';
import { finishApply, removeLeftovers } from './store-apply.ts';
import {
  defaultRelative,
  describeMisnamed,
  groupRelative,
  hashOctets,
  identifyFile,
  parseUserFile,
  unreadableUserFile,
  userRelative,
  type FileFields,
  type FileId,
  type UserFile,
} from './user-file.ts';
import { listFolder, mapBounded, readAtStart, readIfThere, stampFile, watchFolder } from './user-folder.ts';
import { buildUserSchemas, type UserSchemas } from './user-schema.ts';
import type { SourceProblem, UserSource } from './user-source.ts';
import { UsersInForce } from './users-in-force.ts';

/**
 * The users folder, followed: saving a file takes effect within 2 s, and nothing that is written there can stop the
 * service. What counts of broken files is decided in `users-in-force.ts`.
 */

export interface YamlUsersOptions {
  /** The admins' folder. */
  readonly directory: string;
  /** Where copies of the last good versions are kept; the agent's own. */
  readonly lastGoodDirectory: string;
  /** Names of main-agent.yaml's storages. */
  readonly storages: readonly string[];
  readonly defaultUploads: Mount['uploads'];
  /** How long mounts keep what is deleted that do not say so; undefined: not at all. */
  readonly defaultBinMs: number | undefined;
  readonly brokenUserFile: 'keep_last_good' | 'refuse';
  readonly log: Log;
}

/** Reads the folder once and then follows it. Resolves also when everything in it is broken. */
export async function openYamlUsers(options: YamlUsersOptions): Promise<YamlUsers> {
  const users = new YamlUsers(options);
  await users.refresh();
  users.follow();
  return users;
}

interface Seen {
  readonly stamp: string;
  readonly id: FileId;
}

export class YamlUsers implements UserSource {
  readonly #options: YamlUsersOptions;
  readonly #schemas: UserSchemas;
  readonly #lastGood: LastGoodCopies;
  readonly #inForce: UsersInForce;
  readonly #listeners = new Set<(usernames: readonly string[]) => void>();
  /** Every file as it was last read, by relative name. */
  readonly #seen = new Map<string, Seen>();
  #misnamed: readonly SourceProblem[] = [];
  #folderProblem: SourceProblem | undefined;
  #isFirst = true;
  #isLoaded = false;
  #turn: Promise<void> = Promise.resolve();
  #stopWatching: (() => void) | undefined;

  constructor(options: YamlUsersOptions) {
    this.#options = options;
    this.#schemas = buildUserSchemas(options.storages);
    this.#lastGood = new LastGoodCopies({ directory: options.lastGoodDirectory, log: options.log });
    this.#inForce = new UsersInForce({ ...options, recall: (id) => this.#recall(id) });
  }

  find(username: string): EffectiveUser | undefined {
    return this.#inForce.find(username);
  }

  resolve(untrustedName: string): EffectiveUser | undefined {
    return this.#inForce.resolve(untrustedName);
  }

  list(): IterableIterator<EffectiveUser> {
    return this.#inForce.list();
  }

  isGiven(username: string): boolean {
    return this.#inForce.fileOf(userRelative(username)) !== undefined;
  }

  isLoaded(): boolean {
    return this.#isLoaded;
  }

  problems(): readonly SourceProblem[] {
    const folder = this.#folderProblem === undefined ? [] : [this.#folderProblem];
    return [...folder, ...this.#misnamed, ...this.#inForce.problems()];
  }

  onChange(listener: (usernames: readonly string[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** From here on changes in the folder are noticed. */
  follow(): void {
    this.#stopWatching ??= watchFolder(this.#options.directory, () => void this.refresh());
  }

  /** Looks at the folder now; what changed is in force when it resolves. Never rejects. */
  refresh(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#refresh()).catch((error: unknown) => this.#fail(error));
    return this.#turn;
  }

  async close(): Promise<void> {
    this.#stopWatching?.();
    this.#listeners.clear();
    await this.#turn;
    await this.#lastGood.stop();
  }

  /**
   * `work` writes several files: nothing is read between them, and all are in force when it resolves. If it rejects,
   * what it left is.
   */
  async changeTogether(work: (directory: string) => Promise<void>): Promise<void> {
    const done = this.#turn.then(() => work(this.#options.directory));
    this.#turn = done.catch(() => undefined);
    try {
      await done;
    } finally {
      await this.refresh();
    }
  }

  /** Every file as it was last read. */
  files(): IterableIterator<UserFile> {
    return this.#inForce.files();
  }

  /** What would come of a folder with exactly these files and no past. */
  async tryOut(wanted: ReadonlyMap<string, Buffer>): Promise<Pick<UsersInForce, 'list' | 'problems'>> {
    const files: UserFile[] = [];
    for (const [relative, octets] of wanted) {
      const id = identifyFile(relative);
      if (typeof id !== 'object') continue;
      const present = this.#inForce.fileOf(relative);
      const isSame = present?.hash === hashOctets(octets) && present.problems.length === 0;
      files.push(isSame ? present : parseUserFile(octets, id, relative, this.#schemas));
      if (files.length % usersInOneGo === 0) await setImmediate();
    }
    const { defaultUploads, defaultBinMs } = this.#options;
    const trial = new UsersInForce({
      defaultUploads,
      defaultBinMs,
      brokenUserFile: 'refuse',
      recall: async () => undefined,
    });
    await trial.apply(files, []);
    return trial;
  }

  /** Who would be in force if this file were these octets, or gone, and everything else as it is now. */
  async tryChange(id: FileId, octets: Buffer | undefined): Promise<Pick<UsersInForce, 'list'>> {
    const others = [...this.#inForce.files()].filter((file) => file.id.relative !== id.relative);
    const changed = octets === undefined ? [] : [parseUserFile(octets, id, this.fileOf(id), this.#schemas)];
    const { brokenUserFile, defaultUploads, defaultBinMs } = this.#options;
    const trial = new UsersInForce({
      defaultUploads,
      defaultBinMs,
      brokenUserFile,
      recall: async ({ relative }) => this.#inForce.fieldsInForce(relative),
    });
    await trial.apply([...others, ...changed], []);
    return trial;
  }

  /** Who this user would be if their file were these octets and everything else as it is now; undefined: nobody. */
  tryUser(octets: Buffer, id: FileId): EffectiveUser | undefined {
    const { fields } = parseUserFile(octets, id, this.fileOf(id), this.#schemas);
    return fields === undefined ? undefined : this.#inForce.tryUser(fields, id.name);
  }

  /** Who a user would be under another name: `{username}` is then that one. Undefined for nobody. */
  underName(username: string, name: string): EffectiveUser | undefined {
    const fields = this.#inForce.fieldsInForce(userRelative(username));
    return fields === undefined ? undefined : this.#inForce.tryUser(fields, name);
  }

  /** Who somebody of this name would be of whom no more is said than that they are in this group; undefined: nobody. */
  ofGroup(group: string, name: string): EffectiveUser | undefined {
    return this.#inForce.tryUser({ '+groups': [group] }, name);
  }

  /** When every file in force has its copy. */
  copiesKept(): Promise<void> {
    return this.#lastGood.settled();
  }

  /** What would be wrong if these octets were that file, with everything else as it is now; asked before a write. */
  judge(octets: Buffer, id: FileId): readonly SourceProblem[] {
    const file = parseUserFile(octets, id, this.fileOf(id), this.#schemas);
    const groups = this.#inForce.judgeGroups(file);
    return groups === undefined ? file.problems : [groups];
  }

  /** The files that make a user, first to last, each in the version that counts; undefined for nobody. */
  filesInForce(username: string): readonly string[] | undefined {
    const user = this.find(username);
    if (user === undefined) return undefined;
    return [defaultRelative, ...user.groups.map(groupRelative), userRelative(username)].flatMap(
      (relative) => {
        const version = this.#inForce.versionOf(relative);
        if (version === undefined) return [];
        return version === 'as-written'
          ? path.join(this.#options.directory, relative)
          : this.#lastGood.fileOf(relative);
      },
    );
  }

  fileOf({ relative }: FileId): string {
    return path.join(this.#options.directory, relative);
  }

  async #refresh(): Promise<void> {
    const { directory, log } = this.#options;
    await finishApply(directory, log);
    if (this.#isFirst) await removeLeftovers(directory);
    const names = await listFolder(directory);
    const ids: FileId[] = [];
    const misnamed: SourceProblem[] = [];
    for (const name of names) {
      const id = identifyFile(name);
      if (id === 'misnamed') misnamed.push(describeMisnamed(path.join(this.#options.directory, name)));
      else if (id !== undefined) ids.push(id);
    }
    const gone = new Map(this.#seen);
    const changed: UserFile[] = [];
    await mapBounded(ids, async (id) => {
      const found = await this.#readIfChanged(id);
      if (found === 'gone') return;
      gone.delete(id.relative);
      if (found !== 'same') changed.push(found);
    });
    this.#folderProblem = undefined;
    this.#misnamed = misnamed;
    const removed = [...gone.values()].map(({ id }) => id);
    for (const { relative } of removed) this.#seen.delete(relative);
    if (changed.length > 0 || removed.length > 0) await this.#apply(changed, removed);
    if (this.#isFirst) this.#lastGood.keepOnly(this.#inForce.relatives());
    this.#isFirst = false;
    this.#isLoaded = true;
  }

  async #apply(changed: readonly UserFile[], removed: readonly FileId[]): Promise<void> {
    const different = await this.#inForce.apply(changed, removed);
    this.#isLoaded = true;
    const kept = this.#inForce.relatives();
    this.#lastGood.remove(removed.map(({ relative }) => relative).filter((relative) => !kept.has(relative)));
    this.#lastGood.save(
      changed
        .filter((file) => this.#inForce.isInForce(file))
        .map(({ id, file, hash }) => ({ relative: id.relative, source: file, hash })),
    );
    this.#report(changed.flatMap((file) => this.#inForce.problemsOf(file)));
    if (different.length > 0) this.#tell(different);
  }

  #report(problems: readonly SourceProblem[]): void {
    const { log } = this.#options;
    for (const problem of problems.slice(0, loggedProblemsMax)) log.error(problem, 'a user file is broken');
    const more = problems.length - loggedProblemsMax;
    if (more > 0) log.error({ more }, 'more user files are broken; `sallyport status` lists them');
  }

  #tell(usernames: readonly string[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(usernames);
      } catch (error) {
        this.#options.log.error({ err: error }, 'a listener to user changes failed');
      }
    }
  }

  async #readIfChanged(id: FileId): Promise<'gone' | 'same' | UserFile> {
    const file = this.fileOf(id);
    let stamp: string | undefined;
    try {
      let octets: Buffer | undefined;
      if (this.#isFirst) {
        ({ stamp, octets } = readAtStart(file));
      } else {
        stamp = await stampFile(file);
        if (stamp !== undefined && this.#seen.get(id.relative)?.stamp === stamp) return 'same';
        octets = await readIfThere(file);
      }
      if (stamp === undefined || octets === undefined) return 'gone';
      this.#seen.set(id.relative, { stamp, id });
      return parseUserFile(octets, id, file, this.#schemas);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const unreadable = `${stamp ?? ''} ${why}`;
      if (this.#seen.get(id.relative)?.stamp === unreadable) return 'same';
      this.#seen.set(id.relative, { stamp: unreadable, id });
      return unreadableUserFile(id, file, why);
    }
  }

  async #recall(id: FileId): Promise<FileFields | undefined> {
    const copy = await this.#lastGood.read(id.relative);
    return copy === undefined ? undefined : parseUserFile(copy, id, this.fileOf(id), this.#schemas).fields;
  }

  #fail(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    const { directory, log } = this.#options;
    this.#folderProblem = {
      file: directory,
      line: 1,
      column: 1,
      message: `the users folder can not be read: ${why}`,
      hint: 'everything in it stays in force as it was',
    };
    log.error({ err: error, directory }, 'the users folder can not be read; all users stay as they were');
  }
}
