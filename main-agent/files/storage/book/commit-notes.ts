/**
 * Which commits a staging folder still has notes of. A note answers a commit that is sent again because main was killed
 * before its answer arrived; it is of no use once that can't happen any more, and a busy client would leave thousands.
 */
import { requestsPerSessionMax } from '#shared/link/limits.ts';
import type { Clock } from '#shared/clock.ts';
import { commitNotesMax, committedMs } from '../../limits.ts';

interface Note {
  readonly session: string;
  readonly atMs: number;
}

export class CommitNotes {
  readonly #clock: Clock;
  /** By upload id, oldest first. */
  readonly #notes = new Map<string, Note>();
  /** Ids of each session, oldest first. */
  readonly #bySession = new Map<string, Set<string>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns the ids whose notes have had their time. */
  add(id: string, session: string): readonly string[] {
    const nowMs = this.#clock.monotonic();
    this.#notes.set(id, { session, atMs: nowMs });
    const own = this.#bySession.get(session) ?? new Set();
    this.#bySession.set(session, own.add(id));
    const gone: string[] = [];
    // A session has no more than these unanswered at once, and answers come back in the order they were given.
    for (const old of own) {
      if (own.size <= requestsPerSessionMax) break;
      this.#forget(old);
      gone.push(old);
    }
    for (const [old, { atMs }] of this.#notes) {
      if (this.#notes.size <= commitNotesMax && nowMs - atMs <= committedMs) break;
      this.#forget(old);
      gone.push(old);
    }
    return gone;
  }

  #forget(id: string): void {
    const session = this.#notes.get(id)?.session ?? '';
    this.#notes.delete(id);
    const own = this.#bySession.get(session);
    own?.delete(id);
    if (own?.size === 0) this.#bySession.delete(session);
  }
}
