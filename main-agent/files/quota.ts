/**
 * What a user's files take, and whether more may be written. The sum is measured once by walking the user's own
 * folders, kept up to date with every change made here, and measured again when it is old, since other programs write
 * there too: nothing is lost when this memory is.
 *
 * Counted are the folders that are the user's own (their name is a component of the mount's root), uploads on their way,
 * broken uploads, and files this process put into shared folders for the user. Both the old file and its replacement
 * count while both exist.
 */
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { EffectiveUser, Mount } from '#main-agent/users/effective-user.ts';
import { accountsMax, measuredFreshMs, measureShare, sharedUploadsPerUserMax } from './limits.ts';
import type { MountTree } from './mounts.ts';

export class Account {
  /** In the user's own folders. */
  #ownBytes = 0;
  /** Of uploads that are open. */
  #openBytes = 0;
  readonly #shared = new BoundedMap<number>(sharedUploadsPerUserMax, (bytes) => {
    this.#sharedBytes -= bytes;
  });
  #sharedBytes = 0;
  #addedWhileMeasuring = 0;
  #measuring: Promise<void> | undefined;
  #measuredAtMs: number | undefined;
  /** When the walk began that the sum is from. */
  #walkedSinceMs = 0;
  #freshMs = 0;
  readonly #keptBytes: () => number;

  constructor(keptBytes: () => number) {
    this.#keptBytes = keptBytes;
  }

  get usedBytes(): number {
    return this.#ownBytes + this.#openBytes + this.#sharedBytes + this.#keptBytes();
  }

  isFresh(nowMs: number): boolean {
    return this.#measuredAtMs !== undefined && nowMs - this.#measuredAtMs <= this.#freshMs;
  }

  /** What was gone then is not in the sum. */
  isMeasuredSince(atMs: number): boolean {
    return this.#measuredAtMs !== undefined && this.#walkedSinceMs > atMs;
  }

  get isMeasured(): boolean {
    return this.#measuredAtMs !== undefined;
  }

  /** One measurement at a time; what is added meanwhile is counted on top, at worst twice until the next one. */
  measure(walk: () => Promise<number>, nowMs: () => number): Promise<void> {
    this.#measuring ??= this.#measure(walk, nowMs).finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  async #measure(walk: () => Promise<number>, nowMs: () => number): Promise<void> {
    this.#addedWhileMeasuring = 0;
    const startedAtMs = nowMs();
    const bytes = await walk();
    this.#ownBytes = bytes + this.#addedWhileMeasuring;
    this.#walkedSinceMs = startedAtMs;
    this.#measuredAtMs = nowMs();
    const tookMs = this.#measuredAtMs - startedAtMs;
    this.#freshMs = Math.min(measuredFreshMs.most, Math.max(measuredFreshMs.least, tookMs * measureShare));
  }

  /** Rejects `quota-exceeded` and takes nothing. */
  reserve(bytes: number, limitBytes: number | undefined): void {
    if (limitBytes !== undefined && bytes > 0 && this.usedBytes + bytes > limitBytes) {
      throw new SallyportError('quota-exceeded', 'Your quota is used up', {
        detail: `${this.usedBytes} + ${bytes} > ${limitBytes}`,
      });
    }
    this.#openBytes += bytes;
  }

  /** An upload got shorter, was given up, or was left to be resumed (then the storage counts it). */
  release(bytes: number): void {
    this.#openBytes = Math.max(0, this.#openBytes - bytes);
  }

  /** A file grew in place by so many bytes, or shrank; `reservedBytes` were taken for it before. */
  grew(bytes: number, reservedBytes: number, sharedId: string | undefined): void {
    this.release(reservedBytes);
    if (sharedId === undefined) this.added(bytes);
    else this.#setShared(sharedId, Math.max(0, (this.#shared.get(sharedId) ?? 0) + bytes));
  }

  /** An upload of `bytes` became a file; `sharedId` where the folder is not the user's own. */
  committed(bytes: number, replacedBytes: number, sharedId: string | undefined): void {
    this.release(bytes);
    if (sharedId === undefined) this.added(bytes - replacedBytes);
    else this.#setShared(sharedId, bytes);
  }

  #setShared(id: string, bytes: number): void {
    this.forgetShared(id);
    this.#sharedBytes += bytes;
    this.#shared.set(id, bytes);
  }

  get hasShared(): boolean {
    return this.#sharedBytes > 0;
  }

  forgetShared(id: string): void {
    this.#sharedBytes -= this.#shared.get(id) ?? 0;
    this.#shared.delete(id);
  }

  added(bytes: number): void {
    this.#ownBytes = Math.max(0, this.#ownBytes + bytes);
    if (bytes > 0) this.#addedWhileMeasuring += bytes;
  }
}

export function isOwnFolder(mount: Pick<Mount, 'root'>, username: string): boolean {
  return mount.root.includes(username);
}

export class Quota {
  readonly #mounts: MountTree;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #closing: AbortSignal;
  /** One that made room is measured again when it is needed. */
  readonly #accounts = new BoundedMap<Account>(accountsMax);

  constructor(mounts: MountTree, clock: Clock, log: Log, closing: AbortSignal) {
    this.#mounts = mounts;
    this.#clock = clock;
    this.#log = log;
    this.#closing = closing;
  }

  /** Measured first where a limit is to be enforced; without a limit nothing is walked. */
  async open(user: EffectiveUser): Promise<Account> {
    const account = this.#account(user.username);
    if (user.quotaBytes !== undefined) await this.#refresh(account, user);
    return account;
  }

  async measured(user: EffectiveUser): Promise<Account> {
    const account = this.#account(user.username);
    await this.#refresh(account, user);
    return account;
  }

  /** For changes that are no uploads: what was removed or replaced. `atMs`: when, where that is told later. */
  freed(
    username: string,
    mount: Pick<Mount, 'root'>,
    bytes: number,
    id?: string,
    atMs = this.#clock.now(),
  ): void {
    const account = this.#accounts.get(username);
    if (account?.isMeasuredSince(atMs) === true) return;
    if (isOwnFolder(mount, username)) account?.added(-bytes);
    else if (id !== undefined) account?.forgetShared(id);
  }

  /** Files that are gone, whoever uploaded them to a shared folder. */
  forgetShared(ids: readonly string[]): void {
    for (const account of this.#accounts.values()) {
      if (account.hasShared) for (const id of ids) account.forgetShared(id);
    }
  }

  #account(username: string): Account {
    let account = this.#accounts.get(username);
    if (account === undefined) {
      account = new Account(() => this.#keptBytes(username));
      this.#accounts.set(username, account);
    }
    return account;
  }

  #keptBytes(username: string): number {
    let bytes = 0;
    for (const storage of this.#mounts.storages) bytes += storage.keptBytes(username);
    return bytes;
  }

  async #refresh(account: Account, user: EffectiveUser): Promise<void> {
    if (account.isFresh(this.#clock.now())) return;
    const measuring = account.measure(
      () => this.#walk(user),
      () => this.#clock.now(),
    );
    // An old number is good enough to go on with.
    if (!account.isMeasured) return measuring;
    measuring.catch((error: unknown) =>
      this.#log.warn({ err: error, user: user.username }, 'measuring a quota again failed'),
    );
  }

  async #walk(user: EffectiveUser): Promise<number> {
    let bytes = 0;
    for (const { storage, root } of ownRoots(user)) {
      bytes += await this.#mounts.requireStorage(storage).measure(root, this.#closing);
    }
    return bytes;
  }
}

/** The user's own folders, without those that lie in another of them. */
function ownRoots(user: EffectiveUser): readonly Pick<Mount, 'storage' | 'root'>[] {
  const own = user.mounts.filter((mount) => isOwnFolder(mount, user.username));
  const isBelow = (inner: Mount, outer: Mount): boolean =>
    inner.storage === outer.storage &&
    outer.root.length <= inner.root.length &&
    outer.root.every((component, index) => inner.root[index] === component);
  return own.filter(
    (mount, index) =>
      !own.some(
        (other, at) =>
          at !== index && isBelow(mount, other) && (other.root.length < mount.root.length || at < index),
      ),
  );
}
