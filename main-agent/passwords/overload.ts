import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { HashQueue, NoTurn, Turn } from './hash-queue.ts';
import { overloadSourcesMax, overloadToldEveryMs } from './limits.ts';

/**
 * Password checks that main had no turn for. None of them says anything about a user or a password, so none counts in
 * any throttle, ban or score; the audit has their number, one record a minute for each node.
 */

interface Sum {
  refused: number;
  gone: number;
  /** Addresses it came from, as far as they are kept. */
  readonly sources: Set<string>;
}

export interface Capacity {
  readonly waiting: number;
  /** How long somebody who came now would wait. */
  readonly expectedMs: number;
  readonly turnMs: number;
  /** Turns that ended since main started. */
  readonly served: number;
  /** Since main started, by node. */
  readonly refused: ReadonlyMap<string, number>;
  readonly gone: ReadonlyMap<string, number>;
}

export class Overload {
  readonly #options: { readonly state: StateStore; readonly clock: Clock; readonly log: Log };
  #untold = new Map<string, Sum>();
  readonly #refused = new Map<string, number>();
  readonly #gone = new Map<string, number>();
  #lastAtMs = -Infinity;
  readonly #timer: NodeJS.Timeout;

  constructor(options: { readonly state: StateStore; readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
    this.#timer = setInterval(() => void this.tell(), overloadToldEveryMs);
    this.#timer.unref();
  }

  note({ node, clientIp }: Turn, why: NoTurn): void {
    const sum = this.#untold.get(node) ?? { refused: 0, gone: 0, sources: new Set() };
    sum[why] += 1;
    if (sum.sources.size < overloadSourcesMax) sum.sources.add(clientIp);
    this.#untold.set(node, sum);
    const total = why === 'refused' ? this.#refused : this.#gone;
    total.set(node, (total.get(node) ?? 0) + 1);
    this.#lastAtMs = this.#options.clock.monotonic();
  }

  /** Writes down what was not told yet. */
  async tell(): Promise<void> {
    const { state, clock, log } = this.#options;
    const untold = this.#untold;
    if (untold.size === 0) return;
    this.#untold = new Map();
    const records = [...untold].map(([node, sum]) => ({
      kind: 'audit' as const,
      record: buildRecord({ clock }, 'login.overloaded', 'refused', {
        node,
        rule: 'more password checks than main can make',
        detail: describe(sum),
      }),
    }));
    for (const [node, sum] of untold)
      log.warn({ node, detail: describe(sum) }, 'sign-ins refused for capacity');
    await state
      .commit(records)
      .catch((error: unknown) => log.error({ err: error }, 'refusals for capacity are not audited'));
  }

  capacity(queue: HashQueue): Capacity {
    const { waiting, expectedMs, turnMs, served } = queue;
    return { waiting, expectedMs, turnMs, served, refused: this.#refused, gone: this.#gone };
  }

  /** While it goes on, for `status`. */
  problems(queue: HashQueue): readonly string[] {
    if (this.#options.clock.monotonic() - this.#lastAtMs > overloadToldEveryMs) return [];
    const perSecond = (1000 * queue.atOnceMax) / Math.max(1, queue.turnMs);
    return [
      `sign-ins are refused for want of capacity: main checks about ${perSecond.toFixed(1)} passwords a second, ${queue.waiting} wait`,
    ];
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.tell();
  }
}

function describe({ refused, gone, sources }: Sum): string {
  const from = sources.size < overloadSourcesMax ? `${sources.size}` : `at least ${sources.size}`;
  return `${refused} turned away, ${gone} no longer waited for, from ${from} addresses`;
}
