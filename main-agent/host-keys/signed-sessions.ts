import type { Clock } from '#shared/clock.ts';
import { sessionIdLifeMs, sessionIdsMax } from './limits.ts';

/**
 * Session ids that main signed, of each process of a node: only in such a session a key may sign a user in on that node.
 * What a user signed for another server names the session of that one.
 *
 * Of the process, not of the link: a connection outlives a cut link, and its client can not sign for another session.
 */
export class SignedSessions {
  readonly #clock: Clock;
  /** By what aborts when the process is gone: when each was signed, the oldest first. */
  readonly #ofProcess = new WeakMap<AbortSignal, Map<string, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(process: AbortSignal, sessionId: Buffer): void {
    const signed = this.#ofProcess.get(process) ?? new Map<string, number>();
    this.#ofProcess.set(process, signed);
    const now = this.#clock.monotonic();
    for (const [id, at] of signed) {
      if (signed.size < sessionIdsMax && now - at < sessionIdLifeMs) break;
      signed.delete(id);
    }
    signed.set(sessionId.toString('base64url'), now);
  }

  has(process: AbortSignal, sessionId: Buffer): boolean {
    const at = this.#ofProcess.get(process)?.get(sessionId.toString('base64url'));
    return at !== undefined && this.#clock.monotonic() - at < sessionIdLifeMs;
  }
}
