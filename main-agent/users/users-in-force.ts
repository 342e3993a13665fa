import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { nearestWord } from '#shared/config/nearest-word.ts';
import type { EffectiveUser, Mount } from './effective-user.ts';
import { orderGroups, type GroupOrder } from './group-order.ts';
import { buildEffectiveUser, type Layer } from './inheritance.ts';
import { usersInOneGo } from './limits.ts';
import {
  defaultRelative,
  groupRelative,
  groupsFolder,
  listedGroups,
  userRelative,
  type FileFields,
  type FileId,
  type UserFile,
} from './user-file.ts';
import type { SourceProblem } from './user-source.ts';
import { foldUsername } from './username.ts';

/**
 * Which version of each file counts, and the users that come of it. A file counts as it stands if it is good for itself
 * and its groups exist and do not contain each other; otherwise its last good version counts (S-14).
 */

interface InForceOptions {
  readonly defaultUploads: Mount['uploads'];
  readonly defaultBinMs: number | undefined;
  readonly brokenUserFile: 'keep_last_good' | 'refuse';
  /** The last good version of a file from an earlier run, parsed; undefined if there is none. */
  readonly recall: (id: FileId) => Promise<FileFields | undefined>;
}

export class UsersInForce {
  readonly #options: InForceOptions;
  /** Every file as it stands now, by relative name. */
  readonly #files = new Map<string, UserFile>();
  /** What counts of each; also of groups that are gone while others still name them. */
  #inForce = new Map<string, FileFields>();
  /** What counted before the present change. */
  #before: ReadonlyMap<string, FileFields> = new Map();
  readonly #problems = new Map<string, SourceProblem>();
  readonly #vanished = new Set<string>();
  readonly #users = new Map<string, EffectiveUser>();
  /** Names of users by the form they are looked for under. */
  readonly #spellings = new Map<string, Set<string>>();
  /**
   * All users are to be settled: at the first time, as groups may be named whose file vanished before the start, and after
   * a change that broke off.
   */
  #isUnsettled = true;
  /** Of a change that broke off: who is different by now, and nobody was told. */
  #untold = new Set<string>();

  constructor(options: InForceOptions) {
    this.#options = options;
  }

  find(username: string): EffectiveUser | undefined {
    return this.#users.get(username);
  }

  /** Where names from before the rule differ only in case, each is only itself. */
  resolve(untrustedName: string): EffectiveUser | undefined {
    const [spelling, ...more] = this.#spellings.get(foldUsername(untrustedName)) ?? [];
    const isOne = spelling !== undefined && more.length === 0;
    return this.#users.get(isOne ? spelling : untrustedName);
  }

  list(): IterableIterator<EffectiveUser> {
    return this.#users.values();
  }

  problems(): readonly SourceProblem[] {
    const own = [...this.#files.values()].flatMap((file) => file.problems);
    return [...own, ...this.#problems.values(), ...this.#twins(), ...this.#withoutGroup()];
  }

  /** Another user whose name differs from this one only in case. */
  twinOf(username: string): string | undefined {
    return [...(this.#spellings.get(foldUsername(username)) ?? [])].find((one) => one !== username);
  }

  #twins(): SourceProblem[] {
    return [...this.#spellings.values()].flatMap((spellings) =>
      spellings.size < 2
        ? []
        : [...spellings].map((name) => ({
            file: this.#files.get(userRelative(name))?.file ?? userRelative(name),
            line: 1,
            column: 1,
            message: `users whose names differ only in case: ${[...spellings].join(', ')}`,
            hint: 'rename all but one; until then each signs in with exactly its own spelling',
          })),
    );
  }

  /** Nothing comes of administering a group that is not there, so everything stays in force. */
  #withoutGroup(): SourceProblem[] {
    return [...this.#files.values()].flatMap((file) => this.#judgeAdministered(file) ?? []);
  }

  #judgeAdministered({ file, fields }: UserFile): SourceProblem | undefined {
    const unknown = [...(fields?.administers ?? []), ...(fields?.['+administers'] ?? [])].find(
      (group) => !this.#inForce.has(groupRelative(group)),
    );
    if (unknown === undefined) return undefined;
    const message = `administers: unknown group \`${unknown}\``;
    return { file, line: 1, column: 1, message, hint: this.#hintAt(unknown) };
  }

  problemsOf({ id, problems }: UserFile): readonly SourceProblem[] {
    const relation = this.#problems.get(id.relative);
    return relation === undefined ? problems : [...problems, relation];
  }

  /** Counts exactly as it stands. */
  isInForce(file: UserFile): boolean {
    return file.fields !== undefined && this.#inForce.get(file.id.relative) === file.fields;
  }

  /** Which version of a file counts; undefined: none. */
  versionOf(relative: string): 'as-written' | 'last-good' | undefined {
    if (!this.#inForce.has(relative)) return undefined;
    const file = this.#files.get(relative);
    return file !== undefined && this.isInForce(file) ? 'as-written' : 'last-good';
  }

  /** What counts of a file. */
  fieldsInForce(relative: string): FileFields | undefined {
    return this.#inForce.get(relative);
  }

  /** Relative names of all that counts or stands in the folder. */
  relatives(): ReadonlySet<string> {
    return new Set([...this.#files.keys(), ...this.#inForce.keys()]);
  }

  /** Every file as it stands now. */
  files(): IterableIterator<UserFile> {
    return this.#files.values();
  }

  fileOf(relative: string): UserFile | undefined {
    return this.#files.get(relative);
  }

  /** What is wrong with the groups this file lists, as everything else is now. */
  judgeGroups(file: UserFile): SourceProblem | undefined {
    const { fields, id } = file;
    if (fields === undefined) return undefined;
    const order = id.kind === 'group' ? this.#order([id.name], file) : this.#orderOf(fields);
    return order.ok ? this.#judgeAdministered(file) : this.#relationProblem(file, order.why);
  }

  /** Who somebody with these fields would be under this name, as every other file counts now; undefined: nobody. */
  tryUser(fields: FileFields, username: string): EffectiveUser | undefined {
    const groups = this.#orderOf(fields);
    return groups.ok ? this.#build(username, fields, groups.order, false) : undefined;
  }

  /**
   * Names that were given or taken away, and whose effective user changed. Rejects as `recall` does; with the next
   * change what is left of this one is in force too, and told.
   */
  async apply(changed: readonly UserFile[], removed: readonly FileId[]): Promise<readonly string[]> {
    this.#before = new Map(this.#inForce);
    const different = this.#untold;
    for (const { kind, name, relative } of changed.map(({ id }) => id))
      if (kind === 'user' && !this.#files.has(relative)) different.add(name);
    for (const { kind, name } of removed) if (kind === 'user') different.add(name);
    for (const file of changed) this.#files.set(file.id.relative, file);
    for (const { relative } of removed) {
      this.#files.delete(relative);
      this.#problems.delete(relative);
    }
    const touched = [...changed.map(({ id }) => id), ...removed];
    const everybody =
      this.#isUnsettled || this.#vanished.size > 0 || touched.some(({ kind }) => kind !== 'user');
    this.#isUnsettled = true;
    try {
      await this.#settle(touched, everybody, different);
    } catch (error) {
      // What was not looked at any more counts as it did.
      this.#inForce = new Map([...this.#before, ...this.#inForce]);
      throw error;
    }
    this.#isUnsettled = false;
    this.#untold = new Set();
    return [...different];
  }

  async #settle(touched: readonly FileId[], everybody: boolean, different: Set<string>): Promise<void> {
    if (everybody) await this.#settleTemplates();
    const usernames = everybody
      ? new Set([...this.#users.keys(), ...this.#ownFiles().map(({ id }) => id.name)])
      : new Set(touched.map(({ name }) => name));
    let settled = 0;
    for (const username of usernames) {
      if (await this.#settleUser(username)) different.add(username);
      settled += 1;
      if (settled % usersInOneGo === 0) await setImmediate();
    }
  }

  /** Decides which version of `_default` and of each group counts. */
  async #settleTemplates(): Promise<void> {
    const templates = [...this.#files.values()].filter(({ id }) => id.kind !== 'user');
    // Users are settled after this; until then only templates may be looked up.
    this.#inForce = new Map();
    for (const relative of this.#vanished) this.#problems.delete(relative);
    this.#vanished.clear();
    for (const { id, fields } of templates) {
      this.#problems.delete(id.relative);
      this.#count(id, fields ?? (await this.#lastGoodOf(id)));
    }
    await this.#keepVanishedGroups();
    // A group that went wrong may be what another one needs: look again until nothing changes.
    for (let reverted = true; reverted;) {
      reverted = false;
      for (const file of templates) {
        if (!this.isInForce(file)) continue;
        const order =
          file.id.kind === 'group' ? this.#order([file.id.name]) : this.#order(listedGroups(file.fields));
        if (order.ok) continue;
        this.#problems.set(file.id.relative, this.#relationProblem(file, order.why));
        const older = await this.#lastGoodOf(file.id);
        this.#count(file.id, older === file.fields ? undefined : older);
        reverted = true;
      }
    }
  }

  /** A group that files still name keeps its last version, so that nobody loses a rule by its deletion. */
  async #keepVanishedGroups(): Promise<void> {
    const wanted = [...this.#files.values()].flatMap((file) =>
      listedGroups(file.fields ?? this.#before.get(file.id.relative)),
    );
    for (let group = wanted.pop(); group !== undefined; group = wanted.pop()) {
      const relative = groupRelative(group);
      if (this.#inForce.has(relative) || this.#files.has(relative)) continue;
      const id: FileId = { kind: 'group', name: group, relative };
      const fields = await this.#lastGoodOf(id);
      if (fields === undefined) continue;
      this.#count(id, fields);
      this.#vanished.add(relative);
      this.#problems.set(relative, {
        file: relative,
        line: 1,
        column: 1,
        message: 'the group is gone, but files still name it; its last version stays in force',
        hint: 'write it again, or take its name out of their `groups`',
      });
      wanted.push(...listedGroups(fields));
    }
  }

  #count({ relative }: FileId, fields: FileFields | undefined): void {
    if (fields === undefined) this.#inForce.delete(relative);
    else this.#inForce.set(relative, fields);
  }

  async #lastGoodOf(id: FileId): Promise<FileFields | undefined> {
    return this.#before.get(id.relative) ?? (await this.#options.recall(id));
  }

  /** True: the effective user changed. */
  async #settleUser(username: string): Promise<boolean> {
    const relative = userRelative(username);
    const file = this.#files.get(relative);
    this.#problems.delete(relative);
    this.#inForce.delete(relative);
    const user = file === undefined ? undefined : await this.#buildUser(file);
    const old = this.#users.get(username);
    if (user === undefined) this.#users.delete(username);
    else this.#users.set(username, user);
    this.#noteSpelling(username, user !== undefined);
    return old?.version !== user?.version;
  }

  #noteSpelling(username: string, isGiven: boolean): void {
    const form = foldUsername(username);
    const spellings = this.#spellings.get(form) ?? new Set();
    if (isGiven) spellings.add(username);
    else spellings.delete(username);
    if (spellings.size === 0) this.#spellings.delete(form);
    else this.#spellings.set(form, spellings);
  }

  async #buildUser(file: UserFile): Promise<EffectiveUser | undefined> {
    const { id, fields } = file;
    if (fields !== undefined) {
      const groups = this.#orderOf(fields);
      if (groups.ok) return this.#assemble(id, fields, groups.order, false);
      this.#problems.set(id.relative, this.#relationProblem(file, groups.why));
    }
    if (this.#options.brokenUserFile === 'refuse') return undefined;
    const older = await this.#lastGoodOf(id);
    const groups = older === undefined ? undefined : this.#orderOf(older);
    if (older === undefined || groups?.ok !== true) return undefined;
    return this.#assemble(id, older, groups.order, file.saysDisabled);
  }

  #assemble(
    id: FileId,
    own: FileFields,
    groups: readonly string[],
    saysDisabled: boolean,
  ): EffectiveUser | undefined {
    const user = this.#build(id.name, own, groups, saysDisabled);
    if (user !== undefined) this.#count(id, own);
    return user;
  }

  #build(
    username: string,
    own: FileFields,
    groups: readonly string[],
    saysDisabled: boolean,
  ): EffectiveUser | undefined {
    const layers: Layer[] = [];
    let forceDisabled = saysDisabled;
    for (const [relative, group] of [
      [defaultRelative, ''] as const,
      ...groups.map((name) => [groupRelative(name), name] as const),
    ]) {
      const file = this.#files.get(relative);
      const fields = this.#inForce.get(relative);
      // Broken and never good: the rule in it may be the very one that protects this user.
      if (fields === undefined && file !== undefined) return undefined;
      if (fields !== undefined) layers.push({ fields, group });
      forceDisabled ||= file?.saysDisabled === true && !this.isInForce(file);
    }
    layers.push({ fields: own, group: '' });
    const { defaultUploads, defaultBinMs } = this.#options;
    return buildEffectiveUser({
      username,
      groups,
      layers,
      defaultUploads,
      defaultBinMs,
      forceDisabled,
    });
  }

  /** All groups of a user with these fields. */
  #orderOf(fields: FileFields): GroupOrder {
    const inherited = listedGroups(this.#inForce.get(defaultRelative));
    return this.#order([...(fields.groups ?? inherited), ...(fields['+groups'] ?? [])]);
  }

  /** `instead`: a group as it would be. */
  #order(groups: readonly string[], instead?: UserFile): GroupOrder {
    return orderGroups(groups, (group) => {
      const relative = groupRelative(group);
      const fields = instead?.id.relative === relative ? instead.fields : this.#inForce.get(relative);
      return fields === undefined ? undefined : listedGroups(fields);
    });
  }

  #ownFiles(): UserFile[] {
    return [...this.#files.values()].filter(({ id }) => id.kind === 'user');
  }

  #relationProblem(file: UserFile, why: string): SourceProblem {
    const unknown = listedGroups(file.fields).find((group) => !this.#inForce.has(groupRelative(group)));
    return { file: file.file, ...file.groupsAt, message: `groups: ${why}`, hint: this.#hintAt(unknown) };
  }

  #hintAt(unknownGroup: string | undefined): string {
    const groups = [...this.#inForce.keys()].filter((one) => path.dirname(one) === groupsFolder);
    const known = groups.map((one) => path.basename(one, '.yaml'));
    const near = unknownGroup === undefined ? undefined : nearestWord(unknownGroup, known);
    return near === undefined ? 'groups/<name>.yaml makes a group' : `did you mean \`${near}\`?`;
  }
}
