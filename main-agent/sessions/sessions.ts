import { inParts } from '#main-agent/state/in-parts.ts';
import type { StoredSession } from '#main-agent/state/session-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { Protocol } from '#shared/login.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import { findAccountProblem } from './account-rules.ts';
import { isCredentialOf } from './credential.ts';
import { SessionEnds } from './session-ends.ts';
import type { AnySession, SessionRegistry } from './session.ts';
import { sessionsMax, sessionsPerUserMax, sweepIntervalMs, touchIntervalMs } from './limits.ts';

/**
 * The live sessions. Durable in the state store, so that a restart of main is a pause; judged anew against the user
 * files at start, at every change of them and every second, so that a tightening reaches live operations (S-14).
 */

export interface SessionAdmin {
  list(): readonly AnySession[];
  /** False: there was none. */
  end(key: string, reason: string): Promise<boolean>;
  endAllOf(username: string, reason: string): Promise<number>;
}

interface SessionOptions {
  readonly state: StateStore;
  readonly users: UserSource;
  readonly limits: Readonly<Record<Protocol, { readonly idleMs: number; readonly maxMs: number }>>;
  /** Would a login like this session's, without a code, still be admitted? Asked for sessions opened without one. */
  readonly mayLiveWithoutFactor: (user: EffectiveUser, session: StoredSession) => Promise<boolean>;
  /** Tells the session's node. */
  readonly tellEnded: (node: string, key: string, reason: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** A session about to be opened: counted at once, live only after the commit that holds `change` succeeded. */
export interface PreparedSession {
  readonly id: string;
  readonly stored: StoredSession;
  readonly change: Change;
  /** After the commit. */
  open(): AnySession;
  /** Instead, when it failed. */
  cancel(): void;
}

interface Entry {
  readonly stored: StoredSession;
  readonly session: AnySession;
  readonly controller: AbortController;
  /** See `prepare`. */
  readonly credentialBefore: string | undefined;
  /** Of the steady clock. */
  readonly overAtMs: number;
  usedAtMs: number;
  touchedAtMs: number;
  judged: Judgement | undefined;
}

/** What the user's file said last: it changes with the file or with the minute, not with every operation. */
interface Judgement {
  readonly user: EffectiveUser;
  readonly minute: number;
  readonly problem: string | undefined;
}

export class Sessions implements SessionRegistry {
  readonly #options: SessionOptions;
  readonly #entries = new Map<string, Entry>();
  /** About to be opened; with a reason: to be ended as soon as it is, because its end came first. */
  readonly #prepared = new Map<StoredSession, string | undefined>();
  readonly #ends: SessionEnds;
  /** Old ids of renewed sessions: told late, so that the answer with the new id comes first. */
  #renewed: { readonly node: string; readonly key: string }[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#ends = new SessionEnds(options);
    this.#timer = setInterval(() => this.#sweepSafely(), sweepIntervalMs);
    this.#timer.unref();
    this.#unsubscribe = options.users.onChange((names) => {
      for (const name of names)
        this.rejudge(name).catch((error: unknown) =>
          options.log.error({ err: error, user: name }, 'sessions could not be judged anew'),
        );
    });
  }

  /** Takes over what was live before a restart; nobody is served before it resolves. */
  async start(): Promise<void> {
    const stored = await this.#options.state.read('sessions');
    const nowMs = this.#options.clock.now();
    for (const session of stored) {
      if (session.expiresAtMs <= nowMs) continue;
      this.#add(session);
    }
    await Promise.all([...new Set(stored.map((one) => one.username))].map((name) => this.rejudge(name)));
    await this.sweep();
  }

  /**
   * Rejects `too-many-sessions` when the user has as many over SFTP as may be, and `busy` when main has. On the web
   * nobody is refused: what a script left open, its user can't end before getting in, so the longest idle one goes.
   */
  prepare(
    facts: Omit<StoredSession, 'key' | 'openedAtMs' | 'usedAtMs' | 'expiresAtMs'>,
    options: {
      readonly sessionsMax?: number | undefined;
      readonly maxMs?: number;
      readonly instead?: AnySession;
      /** What `credential` is about to replace: until the user's file says so, this one counts as well. */
      readonly credentialBefore?: string;
    } = {},
  ): PreparedSession {
    const { username, protocol } = facts;
    const ownMax = options.sessionsMax ?? sessionsPerUserMax;
    if (protocol === 'sftp' && this.countOf(username, protocol) >= ownMax) {
      throw new SallyportError(
        'too-many-sessions',
        `As many of your SFTP sessions are open as may be (${ownMax}); close one, then connect again`,
        {
          detail: `${ownMax} SFTP sessions of ${username}`,
          hint: 'Raise limits.sessions of the user, or end sessions with `sallyport sessions kick`.',
        },
      );
    }
    if (this.#entries.size + this.#prepared.size >= sessionsMax) {
      throw new SallyportError('busy', 'More people are signed in than can be served; try again later', {
        detail: `${sessionsMax} sessions`,
      });
    }

    const id = randomId();
    const nowMs = this.#options.clock.now();
    const maxMs = Math.min(options.maxMs ?? Infinity, this.#options.limits[protocol].maxMs);
    const { instead } = options;
    const openedAtMs = instead === undefined ? nowMs : instead.openedAtMs;
    // A renewed session keeps its end: stepping up is no way to stay for ever.
    const before = instead === undefined ? undefined : this.#entries.get(instead.key);
    const expiresAtMs = before?.stored.expiresAtMs ?? nowMs + maxMs;
    const stored: StoredSession = { ...facts, key: sessionKey(id), openedAtMs, usedAtMs: nowMs, expiresAtMs };
    this.#prepared.set(stored, undefined);
    return {
      id,
      stored,
      change:
        instead === undefined
          ? { kind: 'open-session', session: stored }
          : { kind: 'replace-session', oldKey: instead.key, session: stored },
      open: () => {
        let doom = this.#prepared.get(stored);
        this.#prepared.delete(stored);
        if (instead !== undefined && this.#drop(instead.key, 'renewed', 'late') === undefined)
          doom ??= 'ended meanwhile';
        const session = this.#add(stored, options.credentialBefore);
        if (doom !== undefined) this.#endInBackground(stored.key, doom);
        if (protocol === 'https') this.#makeRoom(username, ownMax, stored.key);
        return session;
      },
      cancel: () => void this.#prepared.delete(stored),
    };
  }

  require(sessionId: string, from: { readonly node: string; readonly worker: number }): AnySession {
    const entry = this.#entries.get(sessionKey(sessionId));
    if (entry === undefined) throw noSession('unknown or over');
    const { stored } = entry;
    if (stored.node !== from.node) throw noSession(`of node ${stored.node}, used by ${from.node}`);
    if (stored.protocol === 'sftp' && stored.worker !== from.worker)
      throw noSession(`of worker ${stored.worker}, used by ${from.worker}`);
    const problem = this.#findProblem(entry);
    if (problem !== undefined) {
      this.#endInBackground(stored.key, problem);
      throw noSession(problem);
    }
    entry.usedAtMs = this.#options.clock.monotonic();
    return entry.session;
  }

  list(): readonly AnySession[] {
    return [...this.#entries.values()].map((entry) => entry.session);
  }

  /** Live sessions of a user at one door, and those about to be. */
  countOf(username: string, protocol: Protocol): number {
    return this.#count((one) => one.username === username && one.protocol === protocol);
  }

  /** Live sessions and those about to be that ride on a lease. */
  countOnLease(lease: string): number {
    return this.#count((one) => one.lease === lease);
  }

  stored(key: string): StoredSession | undefined {
    return this.#entries.get(key)?.stored;
  }

  timesOf(key: string): { readonly idleMs: number; readonly leftMs: number } {
    const entry = this.#entries.get(key);
    if (entry === undefined) return { idleMs: 0, leftMs: 0 };
    const leftMs = Math.max(0, entry.overAtMs - this.#options.clock.monotonic());
    return { idleMs: this.#options.limits[entry.stored.protocol].idleMs, leftMs };
  }

  async end(key: string, reason: string): Promise<boolean> {
    const entry = this.#drop(key, reason, 'now');
    if (entry !== undefined) this.#ends.add(entry.stored, reason);
    // Also where there is none any more: its end may be on its way to the disk, and a crash would bring it back.
    await this.#ends.write();
    return entry !== undefined;
  }

  async endAllOf(username: string, reason: string, except?: string): Promise<number> {
    return this.#endWhere((one) => one.username === username && one.key !== except, reason);
  }

  /** An SFTP session lives as long as its connection: a worker that started anew has none of the old ones. */
  async endConnectionsOf(node: string, worker: number, reason: string): Promise<number> {
    return this.#endWhere(
      (one) => one.protocol === 'sftp' && one.node === node && one.worker === worker,
      reason,
    );
  }

  async endNode(node: string, reason: string): Promise<number> {
    return this.#endWhere((one) => one.node === node, reason);
  }

  /** Of users, or of addresses. */
  async endMatching(
    matches: (username: string, clientIp: string) => boolean,
    reason: string,
  ): Promise<number> {
    return this.#endWhere((one) => matches(one.username, one.clientIp), reason);
  }

  async endWhereMethod(
    username: string,
    methods: ReadonlySet<string>,
    reason: string,
    except?: string,
  ): Promise<void> {
    await this.#endWhere(
      (one) => one.username === username && methods.has(one.method) && one.key !== except,
      reason,
    );
  }

  /** Judges a user's sessions by what the files say now. */
  async rejudge(username: string): Promise<void> {
    for (const entry of this.#entries.values()) {
      if (entry.stored.username !== username) continue;
      const problem = this.#findProblem(entry) ?? (await this.#findFactorProblem(entry));
      if (problem !== undefined) await this.end(entry.stored.key, problem);
    }
  }

  /** Ends what is over, writes down what was used. */
  async sweep(): Promise<void> {
    const renewed = this.#renewed;
    this.#renewed = [];
    for (const { node, key } of renewed) this.#options.tellEnded(node, key, 'renewed');

    for (const entry of this.#entries.values()) {
      const problem = this.#findProblem(entry);
      if (problem !== undefined) this.#endInBackground(entry.stored.key, problem);
    }
    await this.#ends.write();

    const touches: Change[] = [];
    const { clock, state } = this.#options;
    for (const entry of this.#entries.values()) {
      if (entry.usedAtMs - entry.touchedAtMs < touchIntervalMs) continue;
      entry.touchedAtMs = entry.usedAtMs;
      const usedAtMs = clock.now() - (clock.monotonic() - entry.usedAtMs);
      touches.push({ kind: 'touch-session', key: entry.stored.key, usedAtMs });
    }
    for (const part of inParts(touches)) await state.commit(part);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unsubscribe();
  }

  /** Ends the user's longest idle web sessions but this one, while there are too many. */
  #makeRoom(username: string, most: number, except: string): void {
    const others = [...this.#entries.values()]
      .filter(({ stored }) => stored.username === username && stored.protocol === 'https')
      .filter(({ stored }) => stored.key !== except)
      .toSorted((one, other) => one.usedAtMs - other.usedAtMs);
    for (const { stored } of others.slice(0, Math.max(0, others.length + 1 - most)))
      this.#endInBackground(
        stored.key,
        `the longest idle of ${most} web sessions, a newer sign-in needed its place`,
      );
  }

  #sweepSafely(): void {
    this.sweep().catch((error: unknown) => this.#options.log.error({ err: error }, 'session sweep failed'));
  }

  #count(matches: (one: StoredSession) => boolean): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (matches(entry.stored)) count += 1;
    for (const stored of this.#prepared.keys()) if (matches(stored)) count += 1;
    return count;
  }

  #add(stored: StoredSession, credentialBefore?: string): AnySession {
    const { clock, users } = this.#options;
    const controller = new AbortController();
    const { key, username, node, worker, protocol, method, clientIp, agent, openedAtMs, state } = stored;
    const session: AnySession = Object.freeze({
      key,
      username,
      node,
      worker,
      protocol,
      method,
      clientIp,
      agent,
      openedAtMs,
      state,
      ended: controller.signal,
      user: () => {
        const user = users.find(username);
        if (user === undefined) throw noSession('the user is gone');
        return user;
      },
    });
    const steadyMs = clock.monotonic();
    const nowMs = clock.now();
    const usedAtMs = steadyMs - Math.max(0, nowMs - stored.usedAtMs);
    this.#entries.set(key, {
      stored,
      session,
      controller,
      credentialBefore,
      overAtMs: steadyMs + stored.expiresAtMs - nowMs,
      usedAtMs,
      touchedAtMs: usedAtMs,
      judged: undefined,
    });
    return session;
  }

  #findProblem(entry: Entry): string | undefined {
    const { clock, limits, users } = this.#options;
    const { stored } = entry;
    const steadyMs = clock.monotonic();
    if (steadyMs >= entry.overAtMs) return 'as long as a session may be';
    if (steadyMs - entry.usedAtMs >= limits[stored.protocol].idleMs) return 'idle';
    const user = users.find(stored.username);
    if (user === undefined) return 'the user is gone';
    const nowMs = clock.now();
    const minute = Math.floor(nowMs / 60_000);
    if (entry.judged?.user !== user || entry.judged.minute !== minute) {
      const { credentialBefore } = entry;
      const stands =
        isCredentialOf(user, stored.credential) ||
        (credentialBefore !== undefined && isCredentialOf(user, credentialBefore));
      const problem = stands
        ? findAccountProblem(user, { ...stored, nowMs })
        : 'the password or key was changed';
      entry.judged = { user, minute, problem };
    }
    return entry.judged.problem;
  }

  async #findFactorProblem({ stored }: Entry): Promise<string | undefined> {
    if (stored.state !== 'signed-in' || stored.method !== 'none') return undefined;
    const user = this.#options.users.find(stored.username);
    if (user === undefined) return 'the user is gone';
    const may = await this.#options.mayLiveWithoutFactor(user, stored);
    return may ? undefined : 'a second factor is required now';
  }

  /** Dead for every caller from here on. */
  #drop(key: string, reason: string, tell: 'now' | 'late'): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    entry.controller.abort(noSession(reason));
    if (tell === 'now') this.#options.tellEnded(entry.stored.node, key, reason);
    else this.#renewed.push({ node: entry.stored.node, key });
    return entry;
  }

  async #endWhere(matches: (one: StoredSession) => boolean, reason: string): Promise<number> {
    for (const stored of this.#prepared.keys()) if (matches(stored)) this.#prepared.set(stored, reason);
    const keys = [...this.#entries.values()]
      .filter((one) => matches(one.stored))
      .map((one) => one.stored.key);
    for (const key of keys) {
      const entry = this.#drop(key, reason, 'now');
      if (entry !== undefined) this.#ends.add(entry.stored, reason);
    }
    await this.#ends.write();
    return keys.length;
  }

  #endInBackground(key: string, reason: string): void {
    this.end(key, reason).catch((error: unknown) =>
      this.#options.log.error({ err: error, sessionKey: key }, 'the end of a session is not written yet'),
    );
  }
}

function noSession(detail: string): SallyportError {
  return new SallyportError('no-session', 'You are signed out', { detail });
}
