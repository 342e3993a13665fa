/**
 * Carries the retention rules of mounts out, once a day (D-129). A file's age counts from when anything of it changed
 * last, as the medium says and no client can set: a file that was uploaded today is new, whatever time it was given.
 *
 * Nothing is deleted that was not on the list of a run at least `retentionNoticeMs` before. What falls due by a new rule,
 * by a folder that was moved, or by a clock that leapt is listed first, with an alarm, and there is a day to look. The
 * list that an admin is shown and the one that is carried out are made by the same function.
 */
import { hash } from 'node:crypto';
import { setImmediate, setTimeout as wait } from 'node:timers/promises';
import { SallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';
import { requireComponents, type VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { Slots } from '#main-agent/turns.ts';
import {
  retentionAtOnce,
  retentionBatchFiles,
  retentionEveryMs,
  retentionListedMax,
  retentionNoticeMs,
  retentionPatienceMs,
  retentionSlackMs,
  surveyRestShare,
  walkDepthMax,
} from './limits.ts';
import { type Going, RetentionFiles, type RetentionList } from './retention-list.ts';
import {
  decidingRule,
  findDecidingRule,
  findRuledTrees,
  type RetentionRule,
  type RuledFolder,
} from './retention-rules.ts';
import type { FileContext } from './service-context.ts';
import { toFileError } from './storage/file-error.ts';
import type { Storage, Stored, StoredFolder } from './storage/storage.ts';

/** Something that is to go. */
export interface DueEntry {
  readonly storage: string;
  /** From the storage's base. */
  readonly path: readonly string[];
  /** As the first user of the rule sees it. */
  readonly virtualPath: readonly string[];
  /** Whose own folder it is in; undefined: in a shared one. */
  readonly user: string | undefined;
  readonly type: 'file' | 'folder';
  readonly bytes: number;
  readonly changedAtMs: number;
  readonly afterMs: number;
  readonly dueAtMs: number;
  /** When the run comes that deletes it. */
  readonly deletedAtMs: number;
}

export interface RetentionPlan {
  /** When it would be carried out. */
  readonly atMs: number;
  readonly entries: readonly DueEntry[];
  /** False: there is more, for later runs. */
  readonly isWhole: boolean;
  /** Names looked at; folders that could not be; names that are not served and stay. */
  readonly looked: number;
  readonly unlooked: number;
  readonly unserved: number;
}

interface RetentionRun {
  readonly deleted: number;
  readonly bytes: number;
  /** Open, changed meanwhile, with an upload on its way, or under a rule that changed meanwhile. */
  readonly left: number;
  readonly failed: number;
  /** Due, and on no list before: the next run deletes them. */
  readonly newlyListed: number;
  readonly isOver: boolean;
}

export interface RetentionAdmin {
  /**
   * What the next run deletes, and the one after it. `now`: what a run would delete that began now, with `unlisted` also
   * what no list named.
   */
  plan(at: 'next' | { readonly now: true; readonly unlisted: boolean }): Promise<RetentionPlan>;
  /** A page of a plan that is kept until another is made; rejects `changed` where it is not there any more. */
  page(id: string): RetentionPlan;
  /** Keeps one to be read in pages. */
  keep(plan: RetentionPlan): string;
  /** Rejects `busy` while another runs, `conflict` where user files can't be read. */
  run(why: AdminReason & { readonly unlisted: boolean }): Promise<RetentionRun>;
  /** For `status`. */
  problems(): readonly string[];
}

export interface RetentionOptions {
  /** Who has mounts. */
  readonly users: () => Iterable<EffectiveUser>;
  /** Why the users can't be trusted to be all there are; undefined: they can. */
  readonly usersProblem: () => string | undefined;
  /** Where the list is kept. */
  readonly file: string;
}

interface Found extends DueEntry {
  readonly key: string;
  readonly id: string;
  readonly listedAtMs: number | undefined;
  readonly owners: ReadonlySet<string>;
}

interface Look {
  readonly atMs: number;
  /** Entries that fall due until then are found. */
  readonly untilMs: number;
  readonly list: RetentionList;
  readonly unlisted: boolean;
  /** Nobody waits for it, so it rests. */
  readonly isPatient: boolean;
  readonly found: Found[];
  looked: number;
  unlooked: number;
  unserved: number;
}

interface Folder {
  readonly path: readonly string[];
  readonly rules: readonly RetentionRule[];
  /** It has rules, or leads to some: then it stays. */
  readonly ruled: RuledFolder | undefined;
}

interface Tally {
  deleted: number;
  bytes: number;
  left: number;
  failed: number;
  newlyListed: number;
  isOver: boolean;
  firstFailure: string | undefined;
  /** Why the rest of the run deletes nothing: users that can't be trusted to be all there are. */
  heldBy: string | undefined;
  readonly gone: Set<string>;
}

const byNobody: AdminReason & { readonly unlisted: boolean } = {
  actor: 'system',
  reason: 'daily',
  unlisted: false,
};

export class Retention implements RetentionAdmin {
  readonly #context: FileContext;
  readonly #options: RetentionOptions;
  readonly #files: RetentionFiles;
  readonly #closing: AbortSignal;
  #list: Promise<RetentionList> | undefined;
  #running: Promise<Tally> | undefined;
  #kept: { readonly id: string; readonly plan: RetentionPlan } | undefined;
  #problems: readonly string[] = [];

  constructor(context: FileContext, options: RetentionOptions, closing: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#files = new RetentionFiles(options.file, context.log);
    this.#closing = closing;
  }

  /** Asked at each sweep; begins in the background. A clock that was set back does not put it off. */
  async runIfDue(): Promise<void> {
    if (this.#running !== undefined || this.#closing.aborted) return;
    try {
      if (await this.#isDue()) await this.#begin(byNobody, true);
    } catch (error) {
      if (this.#closing.aborted) return;
      this.#context.log.error({ err: error }, 'a run of the retention rules failed');
      const { code, detail } = toFileError(error);
      this.#problems = [`Retention: the last run failed (${detail ?? code}); it is tried again`];
    }
  }

  async #isDue(): Promise<boolean> {
    const now = this.#context.clock.now();
    const { ranAtMs } = await this.#readList();
    // Another one may have begun meanwhile.
    if (this.#running !== undefined) return false;
    return ranAtMs === undefined || ranAtMs > now || now - ranAtMs >= retentionEveryMs;
  }

  async run(why: AdminReason & { readonly unlisted: boolean }): Promise<RetentionRun> {
    if (this.#running !== undefined)
      throw new SallyportError('busy', 'The retention rules are being carried out just now');
    const held = this.#options.usersProblem();
    if (held !== undefined) throw new SallyportError('conflict', `Nothing is deleted: ${held}`);
    const running = this.#begin(why, false);
    const over = new AbortController();
    const patience = wait(retentionPatienceMs, undefined, { ref: false, signal: over.signal }).catch(
      () => undefined,
    );
    const tally = await Promise.race([running, patience]);
    over.abort();
    if (tally !== undefined) return tally;
    running.catch((error: unknown) =>
      this.#context.log.error({ err: error }, 'a run of the retention rules failed'),
    );
    return { deleted: 0, bytes: 0, left: 0, failed: 0, newlyListed: 0, isOver: false };
  }

  problems(): readonly string[] {
    return this.#problems;
  }

  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  async plan(at: 'next' | { readonly now: true; readonly unlisted: boolean }): Promise<RetentionPlan> {
    const now = this.#context.clock.now();
    const list = await this.#readList();
    const { ranAtMs } = list;
    if (at !== 'next') {
      const look = this.#look({ atMs: now, untilMs: now, list, unlisted: at.unlisted, isPatient: false });
      await this.#walk(look);
      return toPlan(look, ({ deletedAtMs }) => deletedAtMs <= now);
    }
    const atMs = ranAtMs === undefined || ranAtMs > now ? now : Math.max(now, ranAtMs + retentionEveryMs);
    const untilMs = atMs + retentionEveryMs;
    const look = this.#look({ atMs, untilMs, list, unlisted: false, isPatient: false });
    await this.#walk(look);
    return toPlan(look, () => true);
  }

  keep(plan: RetentionPlan): string {
    const id = randomId();
    this.#kept = { id, plan };
    return id;
  }

  page(id: string): RetentionPlan {
    if (this.#kept?.id === id) return this.#kept.plan;
    throw new SallyportError('changed', 'Another list was made meanwhile; begin again');
  }

  async #readList(): Promise<RetentionList> {
    this.#list ??= this.#files.readList();
    try {
      return await this.#list;
    } catch (error) {
      this.#list = undefined;
      throw error;
    }
  }

  #begin(why: AdminReason & { readonly unlisted: boolean }, isPatient: boolean): Promise<Tally> {
    this.#running = this.#run(why, isPatient).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(why: AdminReason & { readonly unlisted: boolean }, isPatient: boolean): Promise<Tally> {
    const atMs = this.#context.clock.now();
    const tally: Tally = {
      deleted: 0,
      bytes: 0,
      left: 0,
      failed: 0,
      newlyListed: 0,
      isOver: false,
      firstFailure: undefined,
      heldBy: undefined,
      gone: new Set(),
    };
    await this.#tellInterrupted();
    const list = await this.#readList();
    const held = this.#options.usersProblem();
    if (held !== undefined) {
      // A rule that keeps files may stand in what can not be read.
      this.#problems = [`Retention deletes nothing: ${held}`];
      await this.#write({ ...list, ranAtMs: atMs });
      await this.#tellRun(why, 'failed', `nothing was deleted: ${held}`);
      return { ...tally, isOver: true };
    }
    const untilMs = atMs + retentionEveryMs + retentionSlackMs;
    const look = this.#look({ atMs, untilMs, list, unlisted: why.unlisted, isPatient });
    await this.#walk(look);
    const going = look.found.filter(({ deletedAtMs }) => deletedAtMs <= atMs);
    for (let from = 0; from < going.length; from += retentionBatchFiles) {
      const batch = this.#stillGoing(going.slice(from, from + retentionBatchFiles), atMs, tally);
      await this.#removeBatch(batch, tally);
    }
    const left = look.found.filter(({ key }) => !tally.gone.has(key));
    const sudden = left.filter(({ listedAtMs, dueAtMs }) => listedAtMs === undefined && dueAtMs <= atMs);
    tally.newlyListed = sudden.length;
    // By hand nothing is put off: the daily run comes when it would have.
    const ranAtMs = why === byNobody || list.ranAtMs === undefined ? atMs : list.ranAtMs;
    await this.#write({
      ranAtMs,
      listedAtMs: new Map(left.map(({ key, listedAtMs = atMs }) => [key, Math.min(listedAtMs, atMs)])),
    });
    tally.isOver = true;
    await this.#tell(why, look, tally, ranAtMs + retentionEveryMs);
    return tally;
  }

  async #write(list: RetentionList): Promise<void> {
    await this.#files.writeList(list);
    this.#list = Promise.resolve(list);
  }

  async #tell(
    why: AdminReason & { readonly unlisted: boolean },
    { found, looked, unlooked, unserved }: Look,
    { deleted, bytes, left, failed, newlyListed, firstFailure, heldBy }: Tally,
    nextMs: number,
  ): Promise<void> {
    const next = new Date(nextMs).toISOString();
    const isFull = found.length >= retentionListedMax;
    const problems = [
      ...(heldBy !== undefined ? [`Retention deletes nothing: ${heldBy}`] : []),
      ...(newlyListed > 0
        ? [
            `Retention: ${newlyListed} files fall due that no list named before (a new rule, a moved folder, a main that was off, a clock that leapt?); they are deleted from ${next} on. See \`sallyport retention preview\``,
          ]
        : []),
      ...(failed > 0 ? [`Retention could not delete ${failed} files: ${firstFailure}`] : []),
      ...(unlooked > 0 ? [`Retention could not look into ${unlooked} folders`] : []),
      ...(isFull
        ? [`Retention: more falls due than one run lists (${retentionListedMax}); the others follow`]
        : []),
    ];
    this.#problems = problems;
    if (newlyListed > 0)
      this.#context.log.warn(
        { alarm: 'retention', newlyListed, next },
        'files fall due that no list named before',
      );
    const isQuiet = deleted + left + newlyListed === 0 && problems.length === 0 && why === byNobody;
    if (isQuiet) return;
    const words = [
      `${deleted} deleted, ${bytes} bytes, of ${looked} looked at`,
      ...(left > 0 ? [`${left} left: open, changed, uploaded to, or under another rule by now`] : []),
      ...(unserved > 0 ? [`${unserved} left that no listing shows`] : []),
      ...problems,
      ...(why === byNobody ? [] : [why.reason]),
    ];
    await this.#tellRun(why, failed > 0 || heldBy !== undefined ? 'failed' : 'ok', words.join('; '));
  }

  async #tellRun({ actor }: AdminReason, outcome: 'ok' | 'failed', detail: string): Promise<void> {
    const { receipts } = this.#context;
    await receipts.writeOf(
      undefined,
      { event: 'retention.ran', outcome, path: requireComponents([]), detail },
      actor,
    );
  }

  #look(about: Pick<Look, 'atMs' | 'untilMs' | 'list' | 'unlisted' | 'isPatient'>): Look {
    return { ...about, found: [], looked: 0, unlooked: 0, unserved: 0 };
  }

  async #walk(look: Look): Promise<void> {
    for (const { storage, root, folder } of findRuledTrees(this.#options.users())) {
      const opened = [...this.#context.mounts.storages].find(({ name }) => name === storage);
      if (opened === undefined) {
        look.unlooked += 1;
        continue;
      }
      // From the base: a mount's folder that nobody used yet is not made by looking at it.
      const waiting: Folder[] = [{ path: root, rules: [], ruled: folder }];
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        this.#closing.throwIfAborted();
        if (look.found.length >= retentionListedMax) return;
        await this.#lookInto(opened, next, look, waiting);
      }
    }
  }

  async #lookInto(storage: Storage, at: Folder, look: Look, waiting: Folder[]): Promise<void> {
    const { clock, log } = this.#context;
    const sinceMs = clock.monotonic();
    const rules = [...at.rules, ...(at.ruled?.rules.values() ?? [])];
    let folder: StoredFolder;
    try {
      folder = await storage.openFolder({ root: [], path: at.path });
    } catch (error) {
      const { code } = toFileError(error);
      if (code === 'not-found' || code === 'not-a-folder') return;
      look.unlooked += 1;
      log.warn(
        { err: error, storage: storage.name, path: at.path },
        'retention could not look into a folder',
      );
      return;
    }
    try {
      await this.#readFolder(storage, folder, { ...at, rules }, look, waiting);
    } finally {
      await folder.close();
    }
    if (look.isPatient) {
      const restMs = (clock.monotonic() - sinceMs) * surveyRestShare;
      await wait(restMs, undefined, { ref: false, signal: this.#closing });
    } else await setImmediate();
  }

  async #readFolder(
    storage: Storage,
    folder: StoredFolder,
    at: Folder,
    look: Look,
    waiting: Folder[],
  ): Promise<void> {
    let isEmpty = true;
    for (let items = await folder.next(); items.length > 0; items = await folder.next()) {
      isEmpty = false;
      this.#closing.throwIfAborted();
      look.looked += items.length;
      const judged = items.flatMap(({ name, type }) => {
        const rule = type === 'file' ? decidingRule(at.rules, name, 'file') : undefined;
        return rule === undefined ? [] : [{ name, rule }];
      });
      const described = await folder.describe(judged.map(({ name }) => name));
      for (const [index, { name, rule }] of judged.entries()) {
        const stored = described[index];
        if (stored?.type === 'file') note(storage, [...at.path, name], stored, rule, look);
      }
      for (const { name, type } of items) {
        if (type !== 'folder') continue;
        const path = [...at.path, name];
        if (path.length > walkDepthMax) look.unlooked += 1;
        else waiting.push({ path, rules: at.rules, ruled: at.ruled?.below.get(name) });
      }
    }
    const unserved = folder.unserved?.count ?? 0;
    look.unserved += unserved;
    if (!isEmpty || unserved > 0 || at.ruled !== undefined) return;
    const rule = decidingRule(at.rules, at.path.at(-1) ?? '', 'folder');
    if (rule !== undefined) note(storage, at.path, folder.attributes, rule, look);
  }

  /** The walk took long, and the rules, or what is known of the users, may be others since. */
  #stillGoing(batch: readonly Found[], atMs: number, tally: Tally): readonly Found[] {
    tally.heldBy ??= this.#options.usersProblem();
    const trees = tally.heldBy === undefined ? findRuledTrees(this.#options.users()) : [];
    const still = batch.filter(({ storage, path, type, changedAtMs }) => {
      const rule = findDecidingRule(trees, storage, path, type);
      return rule !== undefined && changedAtMs + rule.afterMs <= atMs;
    });
    tally.left += batch.length - still.length;
    return still;
  }

  /** What each is about to lose is written down first: whatever comes next, it has its record. */
  async #removeBatch(batch: readonly Found[], tally: Tally): Promise<void> {
    this.#closing.throwIfAborted();
    if (batch.length === 0) return;
    const going = batch.map((one) => ({ one, going: toGoing(one) }));
    await this.#files.writeGoing(going.map((each) => each.going));
    const slots = new Slots(retentionAtOnce);
    const settled = await Promise.allSettled(
      going.map((each) => slots.run(() => this.#removeOne(each.one, each.going, tally))),
    );
    this.#context.quota.forgetShared(batch.filter(({ key }) => tally.gone.has(key)).map(({ id }) => id));
    for (const one of settled) if (one.status === 'rejected') throw one.reason;
    await this.#files.forgetGoing();
  }

  async #removeOne(one: Found, going: Going, tally: Tally): Promise<void> {
    const { quota, mounts, log } = this.#context;
    try {
      const storage = mounts.requireStorage(one.storage);
      const outcome = await storage.removeIdle({ root: [], path: one.path }, one);
      if (outcome !== 'removed') {
        tally.left += 1;
        return;
      }
    } catch (error) {
      const { code } = toFileError(error);
      if (code === 'not-found' || code === 'not-empty' || code === 'not-a-folder') {
        tally.left += 1;
        return;
      }
      tally.failed += 1;
      tally.firstFailure ??= `${one.storage} ${one.path.join('/')}: ${code}`;
      log.warn({ err: error, storage: one.storage, path: one.path }, 'retention could not delete a file');
      return;
    }
    tally.gone.add(one.key);
    tally.deleted += 1;
    tally.bytes += one.bytes;
    for (const owner of one.owners) quota.freed(owner, { root: [owner] }, one.bytes);
    await this.#tellGone(going);
  }

  /** Rejects where the audit does not take it: what was to be told stays noted, and nothing more is deleted. */
  async #tellGone({ key, user, virtualPath, bytes, detail }: Going): Promise<void> {
    const isTold = await this.#context.receipts.writeOf(user, {
      event: 'file.delete',
      rule: 'retention',
      path: toVirtualPath(virtualPath),
      bytes,
      detail,
      once: key,
    });
    if (!isTold)
      throw new SallyportError('internal', 'Something went wrong on our side', {
        detail: 'the audit did not take what was deleted',
      });
  }

  /** Of a process that was killed among removals: what is gone has its record, what is there is looked at anew. */
  async #tellInterrupted(): Promise<void> {
    const interrupted = await this.#files.readGoing();
    for (const going of interrupted) {
      if (await this.#isGone(going)) await this.#tellGone(going);
    }
    if (interrupted.length > 0) await this.#files.forgetGoing();
  }

  async #isGone({ storage, path }: Going): Promise<boolean> {
    try {
      await this.#context.mounts.requireStorage(storage).stat({ root: [], path });
      return false;
    } catch (error) {
      return toFileError(error).code === 'not-found';
    }
  }
}

function note(
  storage: Storage,
  path: readonly string[],
  { id, type, size, changedAtMs }: Stored,
  rule: RetentionRule & { readonly afterMs: number },
  look: Look,
): void {
  const { afterMs, root, mountPath, owners } = rule;
  const dueAtMs = changedAtMs + afterMs;
  if (dueAtMs > look.untilMs || look.found.length >= retentionListedMax) return;
  const identity = JSON.stringify([storage.name, path, id, changedAtMs]);
  const key = hash('sha256', identity, 'base64url').slice(0, 22);
  const listedAtMs = look.list.listedAtMs.get(key);
  const isListed = listedAtMs !== undefined && listedAtMs <= look.atMs - retentionNoticeMs;
  const isDue = dueAtMs <= look.atMs && (isListed || look.unlisted);
  look.found.push({
    storage: storage.name,
    path,
    virtualPath: [...mountPath, ...path.slice(root.length)],
    user: owners.size === 1 ? [...owners][0] : undefined,
    type,
    bytes: type === 'file' ? size : 0,
    changedAtMs,
    afterMs,
    dueAtMs,
    deletedAtMs: isDue ? look.atMs : look.atMs + retentionEveryMs,
    key,
    id,
    listedAtMs,
    owners,
  });
}

/** What other programs nested deeper than any path may be has its whole place in the detail. */
function toVirtualPath(components: readonly string[]): VirtualPath {
  try {
    return requireComponents(components);
  } catch {
    return requireComponents([]);
  }
}

function toPlan(
  { atMs, found, looked, unlooked, unserved }: Look,
  isWanted: (entry: DueEntry) => boolean,
): RetentionPlan {
  const isWhole = found.length < retentionListedMax;
  return { atMs, entries: found.filter(isWanted), isWhole, looked, unlooked, unserved };
}

function toGoing({ key, storage, path, virtualPath, user, type, bytes, changedAtMs, afterMs }: Found): Going {
  const days = Math.round(afterMs / retentionEveryMs);
  const changed = new Date(changedAtMs).toISOString();
  return {
    key,
    storage,
    path: [...path],
    virtualPath: [...virtualPath],
    ...(user !== undefined && { user }),
    bytes,
    detail: `${type === 'folder' ? 'an empty folder' : 'a file'} on storage ${storage}, ${path.join('/')}, last changed ${changed}: deleted after ${days} d`,
  };
}
