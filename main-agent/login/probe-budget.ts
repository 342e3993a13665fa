import { SallyportError } from '#shared/error.ts';
import { probesBurst, probesPerSecond } from './limits.ts';

/** Probes are cheap questions with an own budget, so that asking for keys never slows a login. */
export class ProbeBudget {
  readonly #now: () => number;
  /** By pinned node name, so its size is that of the configuration. */
  readonly #buckets = new Map<string, { left: number; atMs: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Probes that the node may ask at once now, of `probesBurst`. */
  leftOf(node: string): number {
    const atMs = this.#now();
    const before = this.#buckets.get(node) ?? { left: probesBurst, atMs };
    return Math.min(probesBurst, before.left + ((atMs - before.atMs) / 1000) * probesPerSecond);
  }

  take(node: string): void {
    const [atMs, left] = [this.#now(), this.leftOf(node)];
    if (left < 1) {
      throw new SallyportError('rate-limited', 'Too many tries; wait a little', {
        data: { retryAfterMs: 1_000 },
        detail: `key probes of node ${node}`,
      });
    }
    this.#buckets.set(node, { left: left - 1, atMs });
  }
}
