import type { MainLink } from '#dmz/link/main-link.ts';
import type { Clock } from '#shared/clock.ts';
import type { DoorFinding, DoorQuestion, Policy } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { Protocol } from '#shared/login.ts';
import { BanList, type BanKind, type OwnBan } from './ban-list.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { householdOf, Networks, plainAddress, sourceOf } from '#shared/networks.ts';
import { ConnectionCounts } from './connection-counts.ts';
import { FailureScores } from './failure-scores.ts';
import type { Admission, Guard, Refusal } from './guard.ts';
import { KnownSources } from './known-sources.ts';
import { defaultGuardLimits, type GuardLimits } from './limits.ts';
import { LoginPace } from './login-pace.ts';
import { countInNode, type UserPlaces } from './user-places.ts';

/** Often enough to see an attack going on, rare enough not to fill the audit with it. */
const limitReportEveryMs = 60_000;

interface SourceGuardOptions {
  readonly link: Pick<MainLink, 'policy' | 'onPolicy' | 'onDoorAsked' | 'report'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<GuardLimits>;
  /** Where a user's connections that wait for a code are counted over all workers; undefined: there is no other. */
  readonly userPlaces?: UserPlaces | undefined;
  /** Made by the process that was this worker before. */
  readonly bans?: readonly OwnBan[];
  readonly onBanned?: (ban: OwnBan) => void;
}

/**
 * Penalties and limits by source address, for both doors.
 *
 * Trust: everything that is counted was caused by strangers, so every map is bounded and forgets the longest silent.
 * A never-ban source is never banned and not limited by source; it counts towards totals like everyone.
 */
export class SourceGuard implements Guard {
  readonly #link: SourceGuardOptions['link'];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: GuardLimits;
  readonly #bans: BanList;
  readonly #limitToldAt: BoundedMap<number>;
  readonly #connections: ConnectionCounts;
  readonly #known: KnownSources;
  readonly #failures: FailureScores;
  readonly #breaches: FailureScores;
  readonly #pace: LoginPace;
  /** Until when main wants no passwords from there, by household and by household and user. */
  readonly #heldUntil: BoundedMap<number>;
  readonly #unsubscribe: readonly (() => void)[];
  readonly #userPlaces: UserPlaces | undefined;
  readonly #onBanned: ((ban: OwnBan) => void) | undefined;
  #neverBan = new Networks([]);

  constructor(options: SourceGuardOptions) {
    const { link, clock, log, limits: changed } = options;
    this.#userPlaces = options.userPlaces;
    this.#onBanned = options.onBanned;
    this.#link = link;
    this.#clock = clock;
    this.#log = log;
    const limits = { ...defaultGuardLimits, ...changed };
    const { sourcesMax, failureWindowMs: windowMs } = limits;
    this.#limits = limits;
    this.#bans = new BanList(limits);
    for (const ban of options.bans ?? []) this.#bans.restore(ban);
    this.#limitToldAt = new BoundedMap(sourcesMax);
    this.#connections = new ConnectionCounts(limits, (ip, protocol, stage) =>
      this.#reportLimit(ip, protocol, `dropped-${stage}`),
    );
    this.#known = new KnownSources(limits);
    this.#failures = new FailureScores({ max: limits.failuresMax, windowMs, sourcesMax });
    this.#breaches = new FailureScores({ max: limits.malformedMax, windowMs, sourcesMax });
    this.#pace = new LoginPace({
      burst: limits.loginBurst,
      everyMs: limits.loginEveryMs,
      keysMax: sourcesMax,
    });
    this.#heldUntil = new BoundedMap(sourcesMax);
    this.#take(link.policy);
    this.#unsubscribe = [
      link.onPolicy((policy) => this.#take(policy)),
      link.onDoorAsked((question) => this.#standing(question)),
    ];
  }

  close(): void {
    for (const end of this.#unsubscribe) end();
  }

  /** For the metrics: how many sources are shut out now, by why. */
  banCounts(): ReturnType<BanList['counts']> {
    return this.#bans.counts(this.#clock.now());
  }

  admitConnection(ip: string, protocol: Protocol, onDropped: () => void): Admission | Refusal {
    const exempt = this.#isExempt(ip);
    const nowMs = this.#clock.now();
    const found = exempt ? undefined : this.#bans.find(ip, nowMs, protocol);
    // A browser is let in to be told why it can't log in; an abuser of the protocol and an admin's ban are not.
    if (found !== undefined && (protocol === 'sftp' || found.kind === 'malformed' || found.kind === 'policy'))
      return { admitted: false, reason: 'banned', retryAfterMs: found.leftMs };
    const isKnown = this.#known.has(sourceOf(ip), nowMs);
    const outcome = this.#connections.admit({ ip, protocol, isExempt: exempt, isKnown, onDropped });
    if (!outcome.admitted) this.#reportLimit(ip, protocol, outcome.reason);
    return !outcome.admitted || exempt || this.#userPlaces === undefined
      ? outcome
      : countInNode(outcome, this.#userPlaces);
  }

  isBanned(ip: string, protocol: Protocol): number | undefined {
    return this.#isExempt(ip) ? undefined : this.#bans.find(ip, this.#clock.now(), protocol)?.leftMs;
  }

  firstFactorFailed(ip: string, user: string, { isBait } = { isBait: false }): void {
    if (this.#isExempt(ip)) return;
    const weight = isBait ? this.#limits.baitWeight : 1;
    if (this.#failures.add(sourceOf(ip), user, this.#clock.now(), weight)) this.#ban(ip, 'failures');
  }

  firstFactorRight(ip: string, user: string): number | undefined {
    const source = sourceOf(ip);
    this.#failures.clear(source, user);
    return this.#isExempt(ip) ? undefined : this.#pace.take(paceKey(source, user), this.#clock.monotonic());
  }

  signedIn(ip: string, user: string): void {
    this.#known.add(sourceOf(ip), user, this.#clock.now());
  }

  turnedAway(ip: string, user: string, what: 'name' | 'source', forMs: number): void {
    this.#heldUntil.set(heldKey(ip, what === 'name' ? user : undefined), this.#clock.monotonic() + forMs);
  }

  mustWait(ip: string, protocol: Protocol, user: string): number | undefined {
    const leftMs = this.#heldMs(ip, user);
    if (leftMs !== undefined) this.#reportLimit(ip, protocol, 'passwords-throttled');
    return leftMs;
  }

  malformed(ip: string, protocol: Protocol, what: string): void {
    this.#log.debug({ ip, protocol, what }, 'malformed');
    if (this.#isExempt(ip) || !this.#breaches.add(`${protocol} ${sourceOf(ip)}`, '', this.#clock.now()))
      return;
    this.#ban(ip, 'malformed', protocol);
  }

  #take(policy: Policy): void {
    this.#neverBan = new Networks(policy.neverBan);
    if (this.#neverBan.bad.length > 0)
      this.#log.warn({ entries: this.#neverBan.bad }, 'never-ban entries that are no address or range');
    this.#bans.replacePushed(policy.bans);
    this.#bans.lift(policy.lifted ?? []);
  }

  #isExempt(ip: string): boolean {
    return this.#neverBan.has(ip);
  }

  /** `protocol`: at this door only, undefined at both. */
  #ban(ip: string, kind: Exclude<BanKind, 'policy'>, protocol?: Protocol): void {
    const source = sourceOf(ip);
    const ban = this.#bans.add(source, kind, this.#limits.banMs, this.#clock.now(), protocol);
    const { lengthMs: length } = ban;
    this.#onBanned?.(ban);
    this.#log.warn({ source, kind, seconds: length / 1000 }, 'source banned');
    this.#link.report({
      kind: 'banned',
      clientIp: plainAddress(ip),
      ...(protocol !== undefined && { protocol }),
      detail: `${source} for ${Math.round(length / 1000)} s: ${kind}`,
      ban: { source, cause: kind, forMs: length },
    });
  }

  /** Each refusal costs a stranger one TCP handshake and main one audit record: tell of a limit once in a while. */
  #reportLimit(ip: string, protocol: Protocol, reason: string): void {
    const key = reason === 'too-many-from-source' ? `${protocol} ${sourceOf(ip)}` : `${protocol} ${reason}`;
    const now = this.#clock.monotonic();
    if (now - (this.#limitToldAt.get(key) ?? Number.NEGATIVE_INFINITY) < limitReportEveryMs) return;
    this.#limitToldAt.set(key, now);
    this.#link.report({ kind: 'limit', clientIp: plainAddress(ip), protocol, detail: reason });
  }

  /** How long main wants no passwords from there, of that user or of anybody. */
  #heldMs(ip: string, user: string | undefined): number | undefined {
    const until = [undefined, user].map(
      (of) => this.#heldUntil.get(heldKey(ip, of)) ?? Number.NEGATIVE_INFINITY,
    );
    const leftMs = Math.max(...until) - this.#clock.monotonic();
    return leftMs > 0 ? leftMs : undefined;
  }

  /** Everything here that refuses, holds up or drops, as it is for this address now. */
  #standing({ ip, protocol, user }: DoorQuestion): readonly DoorFinding[] {
    const [nowMs, source] = [this.#clock.now(), sourceOf(ip)];
    const found: DoorFinding[] = [];
    if (this.#isExempt(ip)) found.push({ what: 'never-ban', acts: false });
    if (this.#known.has(source, nowMs)) found.push({ what: 'known-source', acts: false });
    const failed = this.#failures.standing(source, nowMs);
    if (failed.count > 0)
      found.push({ what: 'failed-logins', ...failed, max: this.#limits.failuresMax, acts: false });
    const waitMs =
      user === undefined || this.#isExempt(ip)
        ? undefined
        : this.#pace.peek(paceKey(source, user), this.#clock.monotonic());
    if (waitMs !== undefined)
      found.push({ what: 'login-pace', of: user, untilMs: nowMs + waitMs, acts: true });
    const throttledMs = this.#heldMs(ip, user);
    if (throttledMs !== undefined)
      found.push({ what: 'passwords-throttled', untilMs: nowMs + throttledMs, acts: true });
    for (const door of protocol === undefined ? (['https', 'sftp'] as const) : [protocol]) {
      const banned = this.#bans.find(ip, nowMs, door);
      if (banned !== undefined) {
        const untilMs = nowMs + banned.leftMs;
        found.push({ what: `banned-${banned.kind}`, protocol: door, untilMs, acts: !this.#isExempt(ip) });
      }
      const broken = this.#breaches.standing(`${door} ${source}`, nowMs);
      if (broken.count > 0)
        found.push({
          what: 'breaches',
          protocol: door,
          ...broken,
          max: this.#limits.malformedMax,
          acts: false,
        });
      found.push(...this.#connections.standing({ ip, protocol: door, user }));
    }
    return found;
  }
}

/** As main counts turns: whoever has a /56 is one. */
function heldKey(ip: string, user: string | undefined): string {
  const household = householdOf(ip);
  return user === undefined ? household : `${household} ${user.slice(0, 64)}`;
}

/** Names are strangers' strings; the head is enough to tell users apart here. */
function paceKey(source: string, user: string): string {
  return `${source} ${user.slice(0, 64)}`;
}
