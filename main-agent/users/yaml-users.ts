import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Log } from '#shared/log.ts';
import type { EffectiveUser, Mount } from './effective-user.ts';
import { LastGoodCopies } from './last-good.ts';
import { filesReadTogetherMax, loggedProblemsMax, usersInOneGo } from './limits.ts';
import type { ShownText } from './shown-text.ts';
import { journalName, removeLeftovers } from './store-apply.ts';
import {
  defaultRelative,
  describeMisnamed,
  groupRelative,
  identifyFile,
  parseUserFile,
  unreadableUserFile,
  userRelative,
  type FileFields,
  type FileId,
  type UserFile,
} from './user-file.ts';
import { readOne, type ReadFile, type TextChange, type UserFiles } from './user-files.ts';
import { listFolder, mapBounded, stampFile, watchFolder } from './user-folder.ts';
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
  /** Who reads and writes in both. */
  readonly files: UserFiles;
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

/** The stamp of no file: what lies there is not in force yet, or no more. */
const unsettled = '';

export class YamlUsers implements UserSource {
  /** Who reads and writes the texts of user files. */
  readonly texts: UserFiles;
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
    this.texts = options.files;
    this.#schemas = buildUserSchemas(options.storages);
    this.#lastGood = new LastGoodCopies({
      directory: options.lastGoodDirectory,
      files: options.files,
      log: options.log,
    });
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
   * Several files at once or none, also over a crash: nothing is read between them, and all are in force when it
   * resolves. If it rejects, what it left is. Rejects `precondition-failed`.
   */
  async changeTogether(changes: readonly TextChange[]): Promise<void> {
    const done = this.#turn.then(async () => this.#reportOvertaken(await this.texts.apply(changes)));
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
  async tryOut(wanted: ReadonlyMap<string, ShownText>): Promise<Pick<UsersInForce, 'list' | 'problems'>> {
    const files: UserFile[] = [];
    for (const [relative, shown] of wanted) {
      const id = identifyFile(relative);
      if (typeof id !== 'object') continue;
      const present = this.#inForce.fileOf(relative);
      const isSame = present?.hash === shown.hash && present.problems.length === 0;
      files.push(isSame ? present : parseUserFile(shown, id, relative, this.#schemas));
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

  /** Who would be in force if this file were this text, or gone, and everything else as it is now. */
  async tryChange(id: FileId, text: string | undefined): Promise<Pick<UsersInForce, 'list'>> {
    const others = [...this.#inForce.files()].filter((file) => file.id.relative !== id.relative);
    const changed = text === undefined ? [] : [this.#parseDraft(text, id)];
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

  /** Who this user would be if their file were this text and everything else as it is now; undefined: nobody. */
  tryUser(text: string, id: FileId): EffectiveUser | undefined {
    const { fields } = this.#parseDraft(text, id);
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

  /** What would be wrong if this text were that file, with everything else as it is now; asked before a write. */
  judge(text: string, id: FileId): readonly SourceProblem[] {
    const file = this.#parseDraft(text, id);
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

  /** Undefined: it is not there. Rejects where it can't be read. */
  read(id: FileId): Promise<ShownText | undefined> {
    return readOne(this.texts, this.fileOf(id));
  }

  /** A text that is no file, and has no hash. */
  #parseDraft(text: string, id: FileId): UserFile {
    return parseUserFile({ hash: '', text }, id, this.fileOf(id), this.#schemas);
  }

  async #refresh(): Promise<void> {
    const { directory } = this.#options;
    let names = await listFolder(directory);
    if (names.includes(journalName)) {
      this.#reportOvertaken(await this.texts.finishApply());
      names = await listFolder(directory);
    }
    if (this.#isFirst) await removeLeftovers(directory);
    const ids: FileId[] = [];
    const misnamed: SourceProblem[] = [];
    for (const name of names) {
      const id = identifyFile(name);
      if (id === 'misnamed') misnamed.push(describeMisnamed(path.join(this.#options.directory, name)));
      else if (id !== undefined) ids.push(id);
    }
    const gone = new Map(this.#seen);
    const changed: UserFile[] = [];
    /** What is known of them is new when it is in force, as a refresh that breaks off must find it again. */
    const fresh: Seen[] = [];
    const touched = this.#isFirst ? ids : await this.#findTouched(ids, gone);
    for (let start = 0; start < touched.length; start += filesReadTogetherMax) {
      const some = touched.slice(start, start + filesReadTogetherMax);
      const found = await this.texts.read(some.map((id) => this.fileOf(id)));
      for (const [index, id] of some.entries()) {
        const present = found[index];
        if (present === undefined || ('gone' in present && present.gone)) continue;
        gone.delete(id.relative);
        const stamp = 'hash' in present ? present.stamp : `${present.stamp} ${present.why}`;
        if (this.#seen.get(id.relative)?.stamp === stamp && !('hash' in present)) continue;
        fresh.push({ id, stamp });
        changed.push(this.#parse(id, present));
      }
    }
    this.#folderProblem = undefined;
    this.#misnamed = misnamed;
    const removed = [...gone.values()].map(({ id }) => id);
    for (const id of [...fresh.map((one) => one.id), ...removed])
      this.#seen.set(id.relative, { id, stamp: unsettled });
    if (changed.length > 0 || removed.length > 0) await this.#apply(changed, removed);
    for (const one of fresh) this.#seen.set(one.id.relative, one);
    for (const { relative } of removed) this.#seen.delete(relative);
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

  #reportOvertaken(files: readonly string[]): void {
    for (const file of files)
      this.#options.log.warn(
        { file },
        'changed by somebody while a whole store was applied; their version stays',
      );
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

  /** Those that may have another content than when they were read; the others are no more among the `gone`. */
  async #findTouched(ids: readonly FileId[], gone: Map<string, Seen>): Promise<readonly FileId[]> {
    const touched: FileId[] = [];
    await mapBounded(ids, async (id) => {
      // What can't be looked at can't be read either, which says why.
      const stamp = await stampFile(this.fileOf(id)).catch(() => undefined);
      if (stamp !== undefined && this.#seen.get(id.relative)?.stamp === stamp) gone.delete(id.relative);
      else touched.push(id);
    });
    return touched;
  }

  #parse(id: FileId, found: Exclude<ReadFile, { readonly gone: true }>): UserFile {
    const file = this.fileOf(id);
    return 'hash' in found
      ? parseUserFile(found, id, file, this.#schemas)
      : unreadableUserFile(id, file, found.why);
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
