/**
 * Remembers what a node's changes came to, so that one sent again over a new link is answered and not done twice.
 * While the first is still being done, the second waits for it: main never does both.
 *
 * One log per node: what one node sends can't push out another's. In memory only: an agent that was killed has no
 * answers, and the file service then recognises a repeated change by what it finds.
 */
import { hash } from 'node:crypto';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { operationLifeMs, operationsMax } from './limits.ts';

interface Operation {
  /** Of verb and params: a number used for something else is a fault of the node's. */
  readonly digest: string;
  readonly outcome: Promise<unknown>;
  readonly startedAt: number;
  settled: boolean;
}

export class OperationLog {
  readonly #clock: Clock;
  /** By session key and number; oldest first. */
  readonly #operations = new Map<string, Operation>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#operations.size;
  }

  /** Does it, or gives the outcome of the same operation done before. Throws `bad-request` for a number used twice. */
  run(
    session: string,
    request: { readonly verb: string; readonly params: { readonly op: number } },
    action: () => Promise<unknown>,
  ): Promise<unknown> {
    const name = `${session}:${request.params.op}`;
    const digest = hash('sha256', `${request.verb}\n${JSON.stringify(request.params)}`, 'base64url');
    const known = this.#operations.get(name);
    if (known !== undefined) {
      if (known.digest === digest) return known.outcome;
      throw new SallyportError('bad-request', 'That request cannot be served', {
        detail: `operation ${request.params.op} was something else before`,
      });
    }
    this.#prune();
    const outcome = action();
    const operation: Operation = { digest, outcome, startedAt: this.#clock.monotonic(), settled: false };
    const settle = (): void => {
      operation.settled = true;
    };
    outcome.then(settle, (error: unknown) => {
      settle();
      // Nothing of it was begun: whoever asks again is not told what became of an asker who gave up.
      if (isSallyportError(error, 'deadline') && this.#operations.get(name) === operation)
        this.#operations.delete(name);
    });
    this.#operations.set(name, operation);
    return outcome;
  }

  /** Drops what is too old or too much; what is still being done stays (the link bounds how many can be). */
  #prune(): void {
    const oldest = this.#clock.monotonic() - operationLifeMs;
    let looked = 0;
    for (const [name, operation] of this.#operations) {
      looked += 1;
      const isDue = operation.startedAt < oldest || this.#operations.size >= operationsMax;
      // A few each time keep up with one new one each time.
      if (!isDue || looked > 8) return;
      this.#operations.delete(name);
      if (!operation.settled) this.#operations.set(name, operation);
    }
  }
}
