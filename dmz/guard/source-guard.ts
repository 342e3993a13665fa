import type { MainLink } from '#dmz/link/main-link.ts';
import type { Clock } from '#shared/clock.ts';
import type { DoorFinding, DoorQuestion, Policy } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { Protocol } from '#shared/login.ts';
import { BanList, type BanKind } from './ban-list.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { householdOf, Networks, plainAddress, sourceOf } from '#shared/networks.ts';
import { ConnectionCounts } from './connection-counts.ts';
import { FailureScores } from './failure-scores.ts';
import type { Guard } from './guard.ts';
import { KnownSources } from './known-sources.ts';
import { defaultGuardLimits, type GuardLimits } from './limits.ts';
import { LoginPace } from './login-pace.ts';

/** Often enough to see an attack going on, rare enough not to fill the audit with it. */
const limitReportEveryMs = 60_000;

interface SourceGuardOptions {
  readonly link: Pick<MainLink, 'policy' | 'onPolicy' | 'onDoorAsked' | 'report'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<GuardLimits>;
}

/**
 * Penalties and limits by source address, for both doors.
 *
 * Trust: everything that is counted was caused by strangers, so every map is bounded and forgets the longest silent.
 * A never-ban source is never banned and not limited by source; it counts towards totals like everyone.
 */
export function buildSourceGuard(options: SourceGuardOptions): Guard & { close(): void } {
  const { link, clock, log } = options;
  const limits = { ...defaultGuardLimits, ...options.limits };
  const { sourcesMax, failureWindowMs: windowMs } = limits;
  const bans = new BanList(limits);
  const limitToldAt = new BoundedMap<number>(sourcesMax);
  const connections = new ConnectionCounts(limits, (ip, protocol, stage) =>
    reportLimit(ip, protocol, `dropped-${stage}`),
  );
  const known = new KnownSources(limits);
  const failures = new FailureScores({ max: limits.failuresMax, windowMs, sourcesMax });
  const breaches = new FailureScores({ max: limits.malformedMax, windowMs, sourcesMax });
  const pace = new LoginPace({
    burst: limits.loginBurst,
    everyMs: limits.loginEveryMs,
    keysMax: sourcesMax,
  });
  /** Until when main wants no passwords from there, by household and by household and user. */
  const heldUntil = new BoundedMap<number>(sourcesMax);
  let neverBan = new Networks([]);

  function take(policy: Policy): void {
    neverBan = new Networks(policy.neverBan);
    if (neverBan.bad.length > 0)
      log.warn({ entries: neverBan.bad }, 'never-ban entries that are no address or range');
    bans.replacePushed(policy.bans);
    bans.lift(policy.lifted ?? []);
  }
  take(link.policy);
  const unsubscribe = [link.onPolicy(take), link.onDoorAsked(tellStanding)];

  const isExempt = (ip: string): boolean => neverBan.has(ip);

  /** `protocol`: at this door only, undefined at both. */
  function ban(ip: string, kind: Exclude<BanKind, 'policy'>, protocol?: Protocol): void {
    const source = sourceOf(ip);
    const length = bans.add(source, kind, limits.banMs, clock.now(), protocol);
    log.warn({ source, kind, seconds: length / 1000 }, 'source banned');
    link.report({
      kind: 'banned',
      clientIp: plainAddress(ip),
      ...(protocol !== undefined && { protocol }),
      detail: `${source} for ${Math.round(length / 1000)} s: ${kind}`,
      ban: { source, cause: kind, forMs: length },
    });
  }

  /** Each refusal costs a stranger one TCP handshake and main one audit record: tell of a limit once in a while. */
  function reportLimit(ip: string, protocol: Protocol, reason: string): void {
    const key = reason === 'too-many-from-source' ? `${protocol} ${sourceOf(ip)}` : `${protocol} ${reason}`;
    const now = clock.monotonic();
    if (now - (limitToldAt.get(key) ?? Number.NEGATIVE_INFINITY) < limitReportEveryMs) return;
    limitToldAt.set(key, now);
    link.report({ kind: 'limit', clientIp: plainAddress(ip), protocol, detail: reason });
  }

  /** How long main wants no passwords from there, of that user or of anybody. */
  function heldMs(ip: string, user: string | undefined): number | undefined {
    const until = [undefined, user].map((of) => heldUntil.get(heldKey(ip, of)) ?? Number.NEGATIVE_INFINITY);
    const leftMs = Math.max(...until) - clock.monotonic();
    return leftMs > 0 ? leftMs : undefined;
  }

  /** Everything here that refuses, holds up or drops, as it is for this address now. */
  function tellStanding({ ip, protocol, user }: DoorQuestion): readonly DoorFinding[] {
    const [nowMs, source] = [clock.now(), sourceOf(ip)];
    const found: DoorFinding[] = [];
    if (isExempt(ip)) found.push({ what: 'never-ban', acts: false });
    if (known.has(source, nowMs)) found.push({ what: 'known-source', acts: false });
    const failed = failures.standing(source, nowMs);
    if (failed.count > 0)
      found.push({ what: 'failed-logins', ...failed, max: limits.failuresMax, acts: false });
    const waitMs =
      user === undefined || isExempt(ip) ? undefined : pace.peek(paceKey(source, user), clock.monotonic());
    if (waitMs !== undefined)
      found.push({ what: 'login-pace', of: user, untilMs: nowMs + waitMs, acts: true });
    const throttledMs = heldMs(ip, user);
    if (throttledMs !== undefined)
      found.push({ what: 'passwords-throttled', untilMs: nowMs + throttledMs, acts: true });
    for (const door of protocol === undefined ? (['https', 'sftp'] as const) : [protocol]) {
      const banned = bans.find(ip, nowMs, door);
      if (banned !== undefined) {
        const untilMs = nowMs + banned.leftMs;
        found.push({ what: `banned-${banned.kind}`, protocol: door, untilMs, acts: !isExempt(ip) });
      }
      const broken = breaches.standing(`${door} ${source}`, nowMs);
      if (broken.count > 0)
        found.push({ what: 'breaches', protocol: door, ...broken, max: limits.malformedMax, acts: false });
      found.push(...connections.standing({ ip, protocol: door, user }));
    }
    return found;
  }

  return {
    admitConnection(ip, protocol, onDropped) {
      const exempt = isExempt(ip);
      const nowMs = clock.now();
      const found = exempt ? undefined : bans.find(ip, nowMs, protocol);
      // A browser is let in to be told why it can't log in; an abuser of the protocol and an admin's ban are not.
      if (
        found !== undefined &&
        (protocol === 'sftp' || found.kind === 'malformed' || found.kind === 'policy')
      )
        return { admitted: false, reason: 'banned', retryAfterMs: found.leftMs };
      const isKnown = known.has(sourceOf(ip), nowMs);
      const outcome = connections.admit({ ip, protocol, isExempt: exempt, isKnown, onDropped });
      if (!outcome.admitted) reportLimit(ip, protocol, outcome.reason);
      return outcome;
    },

    isBanned(ip, protocol) {
      return isExempt(ip) ? undefined : bans.find(ip, clock.now(), protocol)?.leftMs;
    },

    firstFactorFailed(ip, user, { isBait } = { isBait: false }) {
      if (isExempt(ip)) return;
      const weight = isBait ? limits.baitWeight : 1;
      if (failures.add(sourceOf(ip), user, clock.now(), weight)) ban(ip, 'failures');
    },

    firstFactorRight(ip, user) {
      const source = sourceOf(ip);
      failures.clear(source, user);
      return isExempt(ip) ? undefined : pace.take(paceKey(source, user), clock.monotonic());
    },

    signedIn(ip, user) {
      known.add(sourceOf(ip), user, clock.now());
    },

    turnedAway(ip, user, what, forMs) {
      heldUntil.set(heldKey(ip, what === 'name' ? user : undefined), clock.monotonic() + forMs);
    },

    mustWait(ip, protocol, user) {
      const leftMs = heldMs(ip, user);
      if (leftMs !== undefined) reportLimit(ip, protocol, 'passwords-throttled');
      return leftMs;
    },

    malformed(ip, protocol, what) {
      log.debug({ ip, protocol, what }, 'malformed');
      if (isExempt(ip) || !breaches.add(`${protocol} ${sourceOf(ip)}`, '', clock.now())) return;
      ban(ip, 'malformed', protocol);
    },

    close() {
      for (const end of unsubscribe) end();
    },
  };
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
