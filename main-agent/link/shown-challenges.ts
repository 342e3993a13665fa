import type { ChallengeAnswers } from '#main-agent/acme/order.ts';
import type { EventBody } from '#shared/link/messages.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { challengesShownWithinMs } from './limits.ts';

interface ShownChallengesOptions {
  /** The joined workers of all nodes, each by a name of its own. */
  readonly joined: () => readonly string[];
  /** To all of them. */
  readonly send: (body: EventBody<'acme.challenges'>) => void;
  readonly log: Log;
}

/**
 * What the nodes' port 80 answers an authority. The nodes are told the whole list each time, numbered, and say which they
 * have, so that the authority is called only when each that it may come to can answer. A silent one is not waited for
 * for ever: the authority may come to another, and the order fails by itself when it does not.
 */
export class ShownChallenges implements ChallengeAnswers {
  readonly #options: ShownChallengesOptions;
  readonly #answers = new Map<string, string>();
  #number = 0;
  /** Workers that have not said that they have the present list, and who waits for that. */
  #missing = new Set<string>();
  #onShown: (() => void) | undefined;

  constructor(options: ShownChallengesOptions) {
    this.#options = options;
  }

  /** Rejects `link-down` without a node, and `deadline` when none says in time that it has it. */
  async show(token: string, keyAuthorization: string): Promise<void> {
    const joined = this.#options.joined();
    if (joined.length === 0)
      throw new SallyportError('link-down', 'No node is connected', {
        detail: 'no node is connected that could answer the authority',
      });
    this.#answers.set(token, keyAuthorization);
    this.#missing = new Set(joined);
    const shown = Promise.withResolvers<void>();
    this.#onShown = () => shown.resolve();
    const tooLate = setTimeout(() => {
      const silent = [...this.#missing];
      const detail = `no word that port 80 answers from ${silent.join(', ')}`;
      if (silent.length < joined.length) {
        this.#options.log.warn({ detail }, 'a node did not answer in time: the order goes on without it');
        return shown.resolve();
      }
      shown.reject(new SallyportError('deadline', 'A node did not answer in time', { detail }));
    }, challengesShownWithinMs);
    try {
      this.#tell();
      await shown.promise;
    } finally {
      clearTimeout(tooLate);
      this.#onShown = undefined;
    }
  }

  hide(token: string): void {
    if (this.#answers.delete(token)) this.#tell();
  }

  /** The present list, for who has just joined. */
  present(): EventBody<'acme.challenges'> {
    const answers = [...this.#answers].map(([token, keyAuthorization]) => ({ token, keyAuthorization }));
    return { number: this.#number, answers };
  }

  /** A worker says what it has. */
  take(worker: string, { number }: EventBody<'acme.shown'>): void {
    if (number !== this.#number) return;
    this.#missing.delete(worker);
    if (this.#missing.size === 0) this.#onShown?.();
  }

  #tell(): void {
    this.#number += 1;
    this.#options.send(this.present());
  }
}
