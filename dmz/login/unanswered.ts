import type { Guard } from '#dmz/guard/guard.ts';
import type { Clock } from '#shared/clock.ts';
import { sourceOf } from '#shared/networks.ts';
import { unansweredMax, unansweredPerSourceMax } from './limits.ts';

interface Begun {
  readonly ip: string;
  readonly source: string;
  readonly user: string;
  readonly untilMs: number;
}

/**
 * Sealed logins that wait for their answer. Whether their first factor was right is not known here, and whoever never
 * answers must not try for nothing: what ends without an answer counts against its source as a wrong one does.
 */
export class Unanswered {
  readonly #guard: Pick<Guard, 'firstFactorFailed'>;
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** By challenge, oldest first. */
  readonly #begun = new Map<string, Begun>();
  /** The same by source, oldest first. */
  readonly #bySource = new Map<string, Set<string>>();

  constructor(guard: Pick<Guard, 'firstFactorFailed'>, clock: Pick<Clock, 'monotonic'>) {
    this.#guard = guard;
    this.#clock = clock;
  }

  /** All live equally long, so that the oldest are over first. */
  add(challenge: string, { ip, user, lifeMs }: { ip: string; user: string; lifeMs: number }): void {
    const nowMs = this.#clock.monotonic();
    for (const [id, { untilMs }] of this.#begun) {
      if (untilMs > nowMs && this.#begun.size < unansweredMax) break;
      this.giveUp(id);
    }
    const source = sourceOf(ip);
    const ofSource = this.#bySource.get(source) ?? new Set();
    const [oldest] = ofSource;
    if (oldest !== undefined && ofSource.size >= unansweredPerSourceMax) this.giveUp(oldest);
    this.#bySource.set(source, ofSource.add(challenge));
    this.#begun.set(challenge, { ip, source, user, untilMs: nowMs + lifeMs });
  }

  answered(challenge: string): void {
    this.#forget(challenge);
  }

  /** Nobody will answer it any more. */
  giveUp(challenge: string): void {
    const begun = this.#forget(challenge);
    if (begun !== undefined) this.#guard.firstFactorFailed(begun.ip, begun.user);
  }

  #forget(challenge: string): Begun | undefined {
    const begun = this.#begun.get(challenge);
    if (begun === undefined) return undefined;
    this.#begun.delete(challenge);
    const ofSource = this.#bySource.get(begun.source);
    ofSource?.delete(challenge);
    if (ofSource?.size === 0) this.#bySource.delete(begun.source);
    return begun;
  }
}
