import { HashQueue, type Turn } from '#main-agent/passwords/hash-queue.ts';
import type { Clock } from '#shared/clock.ts';

/**
 * One answer to a sealed login of a name at a time, whatever it is and whoever has the name (D-171). Answers in parallel
 * would wait for each other at a user's codes, where only those with a right password go: told by the number of them,
 * however evenly each one ends. So each holds the turn to its whole step of time.
 *
 * Turns go round as at the hash, so that tries from many places do not hold up who signs in from a known one.
 */
export class SealedTurns {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #lines = new Map<string, { readonly queue: HashQueue; users: number }>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Rejects as `HashQueue.run`: then nobody looked at the answer. */
  async run<T>(name: string, turn: Turn, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(name) ?? {
      queue: new HashQueue({ atOnceMax: 1, clock: this.#clock }),
      users: 0,
    };
    this.#lines.set(name, line);
    line.users += 1;
    try {
      return await line.queue.run(turn, work);
    } finally {
      line.users -= 1;
      if (line.users === 0) this.#lines.delete(name);
    }
  }
}
