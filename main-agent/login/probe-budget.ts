import { SallyportError } from '#shared/error.ts';
import { Rate } from '#shared/rate.ts';
import { probesBurst, probesPerSecond } from './limits.ts';

/** Probes are cheap questions with an own budget, so that asking for keys never slows a login. */
export class ProbeBudget {
  readonly #now: () => number;
  /** By pinned node name, so its size is that of the configuration. */
  readonly #rates = new Map<string, Rate>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Probes that the node may ask at once now, of `probesBurst`. */
  leftOf(node: string): number {
    return this.#rateOf(node).left(this.#now());
  }

  take(node: string): void {
    if (this.#rateOf(node).take(this.#now())) return;
    throw new SallyportError('rate-limited', 'Too many tries; wait a little', {
      data: { retryAfterMs: 1_000 },
      detail: `key probes of node ${node}`,
    });
  }

  #rateOf(node: string): Rate {
    const rate =
      this.#rates.get(node) ?? new Rate({ burst: probesBurst, perSecond: probesPerSecond }, this.#now());
    this.#rates.set(node, rate);
    return rate;
  }
}
