/**
 * Makes a re-sent mutation harmless: after a cut link the DMZ sends again what it did not hear an answer to, under the
 * same operation number, and gets the first run's outcome, also while that run is still going on.
 */
import { operationsPerSessionMax } from './limits.ts';

export class Operations {
  readonly #bySession = new Map<string, Map<string, Promise<unknown>>>();

  once<T>(session: string, verb: string, operation: number, act: () => Promise<T>): Promise<T> {
    let own = this.#bySession.get(session);
    if (own === undefined) this.#bySession.set(session, (own = new Map()));
    const key = `${operation} ${verb}`;
    const known = own.get(key);
    // The verb is part of the key, so what stands under it was made by the same handler.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    if (known !== undefined) return known as Promise<T>;
    const outcome = act();
    own.set(key, outcome);
    outcome.catch(() => undefined);
    if (own.size > operationsPerSessionMax) {
      const oldest = own.keys().next();
      if (oldest.done !== true) own.delete(oldest.value);
    }
    return outcome;
  }

  forget(session: string): void {
    this.#bySession.delete(session);
  }
}
