import { BoundedMap } from '#shared/bounded-map.ts';
import type { Protocol } from '#shared/login.ts';
import { Networks, sourceOf } from '#shared/networks.ts';

/** Why a source may not log in; a breach of protocol or an admin's ban also costs it the connection. */
export type BanKind = 'failures' | 'malformed' | 'policy';

interface Ban {
  readonly kind: BanKind;
  readonly untilMs: number;
  /** Length of this ban: the next one doubles it. */
  readonly lengthMs: number;
}

/** A ban that was made here, of a source at one door or at both. */
export interface OwnBan extends Ban {
  readonly source: string;
  readonly door?: Protocol | undefined;
}

/** A day after a ban ended the source starts from the shortest again. */
const forgetAfterMs = 24 * 60 * 60_000;

/** Bans made here and bans main pushed. Times are wall-clock: main's bans name a moment. */
export class BanList {
  readonly #own: BoundedMap<Ban>;
  readonly #lengthMsMax: number;
  /** Orders of main to lift a ban that were followed. */
  #followed = new Set<string>();
  #pushed = new Map<string, number>();
  #pushedRanges: { readonly set: Networks; readonly untilMs: number }[] = [];

  constructor(limits: { readonly bansMax: number; readonly banMsMax: number }) {
    this.#own = new BoundedMap(limits.bansMax);
    this.#lengthMsMax = limits.banMsMax;
  }

  /** One that the process before this one made. */
  restore({ source, door, kind, untilMs, lengthMs }: OwnBan): void {
    this.#own.set(keyOf(source, door), { kind, untilMs, lengthMs });
  }

  /**
   * Bans a source for `lengthMs`, doubled for each ban it had lately; returns what it got. `door`: only there. A
   * failed login is a try at both doors; a breach of one protocol says nothing about who speaks the other.
   */
  add(source: string, kind: BanKind, lengthMs: number, nowMs: number, door?: Protocol): OwnBan {
    const key = keyOf(source, door);
    const last = this.#own.get(key);
    const isRepeat = last !== undefined && nowMs - last.untilMs < forgetAfterMs;
    const length = Math.min(isRepeat ? Math.max(last.lengthMs * 2, lengthMs) : lengthMs, this.#lengthMsMax);
    const ban = { kind, untilMs: nowMs + length, lengthMs: length };
    this.#own.set(key, ban);
    return { ...ban, source, door };
  }

  find(
    ip: string,
    nowMs: number,
    door: Protocol,
  ): { readonly kind: BanKind; readonly leftMs: number } | undefined {
    const source = sourceOf(ip);
    const pushedUntil = Math.max(
      this.#pushed.get(source) ?? 0,
      ...this.#pushedRanges.filter(({ set }) => set.has(ip)).map(({ untilMs }) => untilMs),
    );
    const [own] = [this.#own.get(keyOf(source, undefined)), this.#own.get(keyOf(source, door))]
      .filter((ban) => ban !== undefined)
      .toSorted((one, other) => other.untilMs - one.untilMs);
    const ownLeft = (own?.untilMs ?? 0) - nowMs;
    const pushedLeft = pushedUntil - nowMs;
    if (own !== undefined && ownLeft > 0 && ownLeft >= pushedLeft) return { kind: own.kind, leftMs: ownLeft };
    return pushedLeft > 0 ? { kind: 'policy', leftMs: pushedLeft } : undefined;
  }

  /** Main's list as it now is. What was on it and no longer is, main lifted: our own ban of that source goes too. */
  replacePushed(bans: readonly { readonly address: string; readonly untilMs: number }[]): void {
    const next = new Map<string, number>();
    const ranges: { set: Networks; untilMs: number }[] = [];
    for (const { address, untilMs } of bans) {
      const source = asSource(address);
      if (source !== undefined) next.set(source, untilMs);
      else ranges.push({ set: new Networks([address]), untilMs });
    }
    for (const source of this.#pushed.keys()) if (!next.has(source)) this.#forget(source);
    this.#pushed = next;
    this.#pushedRanges = ranges;
  }

  /** Each order counts once, so that a ban made after it stays. */
  lift(orders: readonly { readonly id: string; readonly address: string }[]): void {
    for (const { id, address } of orders) {
      const source = asSource(address);
      if (source !== undefined && !this.#followed.has(id)) this.#forget(source);
    }
    this.#followed = new Set(orders.map(({ id }) => id));
  }

  /** How many sources may not log in now, by why. */
  counts(nowMs: number): Readonly<Record<BanKind, number>> {
    const counts = { failures: 0, malformed: 0, policy: this.#pushed.size + this.#pushedRanges.length };
    for (const { kind, untilMs } of this.#own.values()) if (untilMs > nowMs) counts[kind] += 1;
    return counts;
  }

  #forget(source: string): void {
    for (const door of [undefined, 'https', 'sftp'] as const) this.#own.delete(keyOf(source, door));
  }
}

function keyOf(source: string, door: Protocol | undefined): string {
  return door === undefined ? source : `${door} ${source}`;
}

/** A single address or an IPv6 /64, as `sourceOf` names it; undefined for a wider or narrower range. */
function asSource(address: string): string | undefined {
  if (!address.includes('/')) return sourceOf(address);
  return address.endsWith('/64') && address.includes(':') ? sourceOf(address.slice(0, -3)) : undefined;
}
