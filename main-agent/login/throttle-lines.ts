import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { type Asker, notBegun } from '#shared/link/asker.ts';
import {
  throttledScopesMax,
  throttlePatienceMsMax,
  throttlePatienceShare,
  throttleWaitingPerSourceMax,
} from './limits.ts';

/**
 * Who is let through a throttle (D-90): one try an interval, and sources take turns. Whoever was let through least goes
 * first, so a source that tries without end waits behind everybody it slows down. A try waits here for its turn if that
 * comes while somebody waits for it; any other is told when to come back.
 *
 * Trust: sources, names and patience are what the node says. A name's line is all nodes', so nodes take turns in it, and
 * no patience counts for longer than an honest node's.
 */

interface Throttle {
  readonly scope: string;
  readonly everyMs: number;
}

interface ThrottledTry {
  readonly node: string;
  readonly source: string;
  readonly name: string;
  readonly asker: Asker | undefined;
}

interface Waiting extends ThrottledTry {
  /** How often its source was let through before it, those of it that wait before it counted. */
  readonly rank: number;
  readonly go: () => void;
  readonly fail: (error: SallyportError) => void;
}

interface Line {
  /** Of the steady clock: when the last one was let through, and by which node it came. */
  lastAtMs: number;
  lastNode: string | undefined;
  /** Whose turn is next first. */
  waiting: Waiting[];
  timer: NodeJS.Timeout | undefined;
}

export class ThrottleLines {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #lines = new BoundedMap<Line>(throttledScopesMax);
  /** How often a source was let through, by scope and source: forgotten with the oldest. */
  readonly #letThrough = new BoundedMap<number>(throttledScopesMax);

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /**
   * Resolves when it is let through, with what takes that back: a try that was not made after all. Rejects
   * `rate-limited` with the time to come back, `deadline` when nobody waits any more.
   */
  async enter({ scope, everyMs }: Throttle, asked: ThrottledTry): Promise<() => void> {
    const line = this.#lines.get(scope) ?? {
      lastAtMs: -Infinity,
      lastNode: undefined,
      waiting: [],
      timer: undefined,
    };
    this.#lines.set(scope, line);
    const lastAtMs = line.lastAtMs;
    const waitMs = this.#waitMs(line, everyMs, scope, asked);
    if (waitMs > patienceOf(asked) || !mayWait(line, asked)) throw turnedAway(waitMs);
    if (waitMs > 0) await this.#wait(line, everyMs, scope, asked);
    else {
      line.lastAtMs = this.#clock.monotonic();
      line.lastNode = asked.node;
    }
    const atMs = line.lastAtMs;
    this.#count(scope, asked.source, 1);
    return () => {
      this.#count(scope, asked.source, -1);
      if (line.lastAtMs === atMs) line.lastAtMs = waitMs > 0 ? atMs - everyMs : lastAtMs;
      this.#arm(line, everyMs);
    };
  }

  /** How long it would have to wait. */
  #waitMs(line: Line, everyMs: number, scope: string, { node, source }: ThrottledTry): number {
    const freeInMs = Math.max(0, line.lastAtMs + everyMs - this.#clock.monotonic());
    const rank = this.#rank(scope, source) + ofSource(line, source).length;
    const ahead = line.waiting.filter((one) => one.rank <= rank);
    const own = ahead.filter((one) => one.node === node).length;
    return freeInMs + (own + Math.min(ahead.length - own, own + 1)) * everyMs;
  }

  #wait(line: Line, everyMs: number, scope: string, asked: ThrottledTry): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = asked.asker?.onGiveUp(() => {
        line.waiting = line.waiting.filter((one) => one !== waiting);
        reject(notBegun());
      });
      const waiting: Waiting = {
        ...asked,
        rank: this.#rank(scope, asked.source) + ofSource(line, asked.source).length,
        go: () => {
          forget?.();
          resolve();
        },
        fail: (error) => {
          forget?.();
          reject(error);
        },
      };
      line.waiting = [...line.waiting, waiting].toSorted((one, other) => one.rank - other.rank);
      this.#turnAwayHopeless(line, everyMs);
      this.#arm(line, everyMs);
    });
  }

  #arm(line: Line, everyMs: number): void {
    clearTimeout(line.timer);
    if (line.waiting.length === 0) return;
    const inMs = Math.max(0, line.lastAtMs + everyMs - this.#clock.monotonic());
    line.timer = setTimeout(() => this.#letNext(line, everyMs), Math.ceil(inMs));
    line.timer.unref();
  }

  #letNext(line: Line, everyMs: number): void {
    const now = this.#clock.monotonic();
    if (now >= line.lastAtMs + everyMs) {
      const able = line.waiting.filter(({ asker }) => asker === undefined || asker.leftMs > 0);
      const next = able.find(({ node }) => node !== line.lastNode) ?? able[0];
      line.waiting = line.waiting.filter((one) => one !== next);
      if (next !== undefined) {
        line.lastAtMs = now;
        line.lastNode = next.node;
        next.go();
      }
      this.#turnAwayHopeless(line, everyMs);
    }
    this.#arm(line, everyMs);
  }

  /** Those whose turn would come too late now, because others were let through less. */
  #turnAwayHopeless(line: Line, everyMs: number): void {
    const freeInMs = Math.max(0, line.lastAtMs + everyMs - this.#clock.monotonic());
    const kept: Waiting[] = [];
    for (const one of line.waiting) {
      const waitMs = freeInMs + kept.length * everyMs;
      const leftMs = one.asker?.leftMs ?? Number.POSITIVE_INFINITY;
      // Of whom a late timer left no time, the turn would be taken by nobody, again and again.
      if (leftMs > 0 && waitMs <= leftMs) kept.push(one);
      else one.fail(turnedAway(waitMs));
    }
    line.waiting = kept;
  }

  #rank(scope: string, source: string): number {
    return this.#letThrough.get(`${scope} ${source}`) ?? 0;
  }

  #count(scope: string, source: string, by: 1 | -1): void {
    this.#letThrough.set(`${scope} ${source}`, Math.max(0, this.#rank(scope, source) + by));
  }
}

function ofSource(line: Line, source: string): readonly Waiting[] {
  return line.waiting.filter((one) => one.source === source);
}

/** An office may wait with a few names, nobody twice with one. */
function mayWait(line: Line, { source, name }: ThrottledTry): boolean {
  const others = ofSource(line, source);
  return others.length < throttleWaitingPerSourceMax && others.every((one) => one.name !== name);
}

function patienceOf({ asker }: ThrottledTry): number {
  return Math.min(asker?.leftMs ?? Number.POSITIVE_INFINITY, throttlePatienceMsMax) * throttlePatienceShare;
}

function turnedAway(waitMs: number): SallyportError {
  return new SallyportError('rate-limited', 'Too many tries; wait a little', {
    data: { retryAfterMs: Math.ceil(waitMs) },
  });
}
