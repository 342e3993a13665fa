import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { throttledScopesMax, throttledToldEveryMs } from './limits.ts';

/**
 * How many tries the throttle turned away, for the audit (D-55): the first of a scope is told at once, those that
 * follow as one number a minute, so that a flood of tries is no flood of records.
 */
export class TurnedAway {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #scopes = new BoundedMap<{ readonly toldAtMs: number; untold: number }>(throttledScopesMax);

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Of how many tries to tell now; undefined: this one is told of with a later one. */
  count(scope: string): number | undefined {
    const now = this.#clock.monotonic();
    const known = this.#scopes.get(scope);
    if (known !== undefined && now - known.toldAtMs < throttledToldEveryMs) {
      known.untold += 1;
      return undefined;
    }
    this.#scopes.set(scope, { toldAtMs: now, untold: 0 });
    return (known?.untold ?? 0) + 1;
  }
}
