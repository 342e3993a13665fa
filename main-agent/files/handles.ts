/**
 * What sessions have open. A handle is a random number that only means something together with the session it was given
 * to (S-04); everything of a session ends with the session.
 */
import { randomInt } from 'node:crypto';
import { SallyportError } from '#shared/error.ts';
import type { Caller } from './caller.ts';
import { badHandle } from './storage/file-error.ts';
import { handlesMax, handlesPerSessionMax } from './limits.ts';
import type { FolderPages } from './folder-pages.ts';
import type { ReadHandle } from './read-handle.ts';
import type { WriteHandle } from './write-handle.ts';

export type Handle = ReadHandle | WriteHandle | FolderPages;

interface OpenResumable {
  readonly sessionKey: string;
  readonly number: number;
  readonly handle: WriteHandle;
}

export interface Opened {
  readonly session: Caller;
  readonly number: number;
  readonly handle: Handle;
}

/** Numbers are random so that none comes again after a restart; JSON keeps integers of 48 bits exactly. */
const numberMax = 2 ** 48 - 1;

export class HandleTable {
  readonly #bySession = new Map<string, Map<number, Opened>>();
  #count = 0;
  #reserved = 0;

  newNumber(): number {
    return randomInt(1, numberMax);
  }

  /** Rejects `too-many` before anything is opened. Call the returned function when the opening is over. */
  reserve(session: Caller): () => void {
    const own = this.#bySession.get(session.key)?.size ?? 0;
    if (own >= handlesPerSessionMax || this.#count + this.#reserved >= handlesMax) {
      throw new SallyportError('too-many', 'Too many files are open', {
        detail: `${own} of this session, ${this.#count} in all`,
      });
    }
    this.#reserved += 1;
    return () => {
      this.#reserved -= 1;
    };
  }

  /** Throws when the session, or the process it was opened through, ended while the thing was being opened: then it is the caller's to end. */
  add(session: Caller, number: number, handle: Handle): void {
    if (session.ended.aborted) throw new SallyportError('no-session', 'The session is over');
    if (session.processGone.aborted)
      throw new SallyportError('link-down', 'The connection to the inside is down');
    let own = this.#bySession.get(session.key);
    if (own === undefined) this.#bySession.set(session.key, (own = new Map()));
    if (own.size >= handlesPerSessionMax) throw new SallyportError('too-many', 'Too many files are open');
    own.set(number, { session, number, handle });
    this.#count += 1;
  }

  find(session: Caller, number: number): Handle | undefined {
    return this.#bySession.get(session.key)?.get(number)?.handle;
  }

  require(session: Caller, number: number): Handle {
    const handle = this.find(session, number);
    if (handle === undefined) throw badHandle('no such handle in this session');
    return handle;
  }

  /** It is no longer reachable; ending it is the caller's. */
  take(session: { readonly key: string }, number: number): Handle | undefined {
    const own = this.#bySession.get(session.key);
    const handle = own?.get(number)?.handle;
    if (own === undefined || handle === undefined) return undefined;
    own.delete(number);
    this.#count -= 1;
    if (own.size === 0) this.#bySession.delete(session.key);
    return handle;
  }

  /** The user's resumable uploads that are open, in whatever session. */
  *openResumables(username: string): Iterable<OpenResumable> {
    for (const [sessionKey, own] of this.#bySession) {
      for (const [number, { handle }] of own) {
        if (handle.kind !== 'write') continue;
        const { user, resumable } = handle.upload.record;
        if (user === username && resumable !== undefined) yield { sessionKey, number, handle };
      }
    }
  }

  /** Oldest first. */
  uploadsOf(session: Caller): readonly WriteHandle[] {
    const own = this.#bySession.get(session.key)?.values() ?? [];
    return [...own].flatMap(({ handle }) => (handle.kind === 'write' ? [handle] : []));
  }

  /** The id of the upload that this session opened with an operation of that number. */
  uploadBegunBy(session: Caller, operation: number): string | undefined {
    const own = this.uploadsOf(session).find(({ upload }) => upload.record.operation === operation);
    return own?.upload.record.id;
  }

  takeAllOf(sessionKey: string): readonly Handle[] {
    const own = [...(this.#bySession.get(sessionKey)?.values() ?? [])].map(({ handle }) => handle);
    this.#bySession.delete(sessionKey);
    this.#count -= own.length;
    return own;
  }

  /** All that was opened through a process of a node, whatever the session. */
  takeAllThrough(processGone: AbortSignal): readonly Opened[] {
    const own = [...this.list()].filter(({ session }) => session.processGone === processGone);
    for (const { session, number } of own) this.take(session, number);
    return own;
  }

  *list(): Generator<Opened> {
    for (const own of this.#bySession.values()) yield* own.values();
  }

  takeAll(): readonly Handle[] {
    return [...this.#bySession.keys()].flatMap((session) => this.takeAllOf(session));
  }
}
