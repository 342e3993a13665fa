import { SallyportError } from '#shared/error.ts';
import { Rate } from '#shared/rate.ts';
import { probesBurst, probesPerSecond } from './limits.ts';

interface Bound {
  readonly what: string;
  readonly burst: number;
  readonly perSecond: number;
}

const keyProbes: Bound = { what: 'key probes', burst: probesBurst, perSecond: probesPerSecond };

/** Probes are cheap questions with an own budget, so that asking for keys never slows a login. */
export class ProbeBudget {
  readonly #now: () => number;
  readonly #bound: Bound;
  /** By pinned node name, so its size is that of the configuration. */
  readonly #rates = new Map<string, Rate>();

  constructor(now: () => number, bound: Bound = keyProbes) {
    this.#now = now;
    this.#bound = bound;
  }

  /** Probes that the node may ask at once now, of its burst. */
  leftOf(node: string): number {
    return this.#rateOf(node).left(this.#now());
  }

  take(node: string): void {
    if (this.#rateOf(node).take(this.#now())) return;
    throw new SallyportError('rate-limited', 'Too many tries; wait a little', {
      data: { retryAfterMs: 1_000 },
      detail: `${this.#bound.what} of node ${node}`,
    });
  }

  #rateOf(node: string): Rate {
    const rate = this.#rates.get(node) ?? new Rate(this.#bound, this.#now());
    this.#rates.set(node, rate);
    return rate;
  }
}
