/**
 * Where requests wait for the next link, in the order they came. A session that ended takes its waiting requests
 * along: nothing of it may be sent when the link comes back.
 */
import { SallyportError } from '#shared/error.ts';
import { parkedRequestsMax } from './limits.ts';

interface Parked<T> {
  readonly sessionKey: string | undefined;
  readonly settle: (outcome: { readonly link: T } | { readonly error: SallyportError }) => void;
}

export class Parking<T> {
  readonly #parkForMs: number;
  readonly #parked = new Set<Parked<T>>();

  constructor(parkForMs: number) {
    this.#parkForMs = parkForMs;
  }

  get size(): number {
    return this.#parked.size;
  }

  /** Resolves with the next link. Rejects `link-down` after the wait, `busy` when full, `no-session`, `deadline`. */
  wait(sessionKey: string | undefined, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#parked.size >= parkedRequestsMax)
        throw new SallyportError('busy', 'Too busy, try again in a moment');
      const settle: Parked<T>['settle'] = (outcome) => {
        if (!this.#parked.delete(parked)) return;
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        if ('link' in outcome) resolve(outcome.link);
        else reject(outcome.error);
      };
      const parked: Parked<T> = { sessionKey, settle };
      const abort = (): void => settle({ error: new SallyportError('deadline', 'Cancelled') });
      const timer = setTimeout(() => {
        settle({ error: new SallyportError('link-down', 'The connection to the inside is down') });
      }, this.#parkForMs);
      this.#parked.add(parked);
      if (signal?.aborted === true) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
  }

  resume(link: T): void {
    for (const parked of this.#parked) parked.settle({ link });
  }

  dropSession(sessionKey: string, error: SallyportError): void {
    for (const parked of this.#parked) if (parked.sessionKey === sessionKey) parked.settle({ error });
  }

  dropAll(error: SallyportError): void {
    for (const parked of this.#parked) parked.settle({ error });
  }
}
