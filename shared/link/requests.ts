/** Requests in flight, seen from the end that asks and from the end that answers: ids, deadlines, bounds. */
import { SallyportError } from '#shared/error.ts';
import { decodeResult, encodeRequest, requireParams, type AnyRequest } from './codec.ts';
import {
  longRequestTimeoutMs,
  requestsInFlightMax,
  requestsPerSessionMax,
  requestTimeoutMs,
} from './limits.ts';
import type { Params, Result, Verb } from './messages.ts';

/** Verbs whose work grows with the file or the tree. */
const longVerbs: ReadonlySet<Verb> = new Set([
  'fs.hash',
  'fs.survey',
  'fs.copy',
  'fs.copy-range',
  'fs.commit',
  'fs.sync',
  'fs.remove-folder',
  'fs.open',
]);

export function defaultTimeoutMs(verb: Verb): number {
  return longVerbs.has(verb) ? longRequestTimeoutMs : requestTimeoutMs;
}

interface Pending {
  /** Checks the answer and resolves with it. Throws `protocol-violation`. */
  readonly resolve: (untrusted: unknown) => void;
  readonly reject: (error: SallyportError) => void;
}

/** The asking end. */
export class OutgoingRequests {
  readonly #send: (message: string) => void;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #closedBy: SallyportError | undefined;

  constructor(send: (message: string) => void) {
    this.#send = send;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** Resolves with the checked result. Rejects with the peer's error, `busy`, `deadline`, `link-down`, `bad-request`. */
  request<V extends Verb>(
    verb: V,
    params: Params<V>,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Result<V>> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy !== undefined) throw this.#closedBy;
      if (this.#pending.size >= requestsInFlightMax)
        throw new SallyportError('busy', 'Too busy, try again in a moment');
      if (options.signal?.aborted === true) throw cancelled(verb);
      requireParams(verb, params);
      const id = this.#lastId + 1;
      const message = encodeRequest(id, verb, params);
      this.#lastId = id;
      const forget = (): void => {
        this.#pending.delete(id);
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', abort);
      };
      const fail = (error: SallyportError): void => {
        forget();
        reject(error);
      };
      const timer = setTimeout(() => {
        fail(new SallyportError('deadline', 'The inside did not answer in time', { detail: verb }));
      }, options.timeoutMs);
      const abort = (): void => {
        // The answer, when it comes, finds nobody and is dropped.
        fail(cancelled(verb));
      };
      options.signal?.addEventListener('abort', abort, { once: true });
      this.#pending.set(id, {
        resolve: (untrusted) => {
          const result = decodeResult(verb, untrusted);
          forget();
          resolve(result);
        },
        reject: fail,
      });
      this.#send(message);
    });
  }

  /** An answer from the peer. Throws `protocol-violation`. */
  receiveResult(id: number, untrusted: unknown): void {
    this.#find(id)?.resolve(untrusted);
  }

  receiveError(id: number, error: SallyportError): void {
    this.#find(id)?.reject(error);
  }

  /** Rejects everything in flight, and all to come. */
  close(error: SallyportError): void {
    this.#closedBy = error;
    for (const pending of this.#pending.values()) pending.reject(error);
  }

  /** Undefined: the asker gave up before. An id never used is a breach. */
  #find(id: number): Pending | undefined {
    if (id > this.#lastId) {
      throw new SallyportError('protocol-violation', 'Bad message', { detail: 'an answer to nothing' });
    }
    return this.#pending.get(id);
  }
}

function cancelled(verb: Verb): SallyportError {
  return new SallyportError('deadline', 'Cancelled', { detail: `${verb} was aborted` });
}

/** How many requests are being answered, in all and of each session. */
export class RequestCounts {
  readonly #limits: { readonly inAllMax: number; readonly perSessionMax: number };
  readonly #perSession = new Map<string, number>();
  #inAll = 0;

  constructor(limits: { readonly inAllMax: number; readonly perSessionMax: number }) {
    this.#limits = limits;
  }

  get inAll(): number {
    return this.#inAll;
  }

  /** Call the returned function once when the request is answered. Throws `busy` over a bound. */
  enter(request: AnyRequest): () => void {
    const session = 'session' in request.params ? request.params.session : undefined;
    const ofSession = session === undefined ? 0 : (this.#perSession.get(session) ?? 0);
    if (this.#inAll >= this.#limits.inAllMax || ofSession >= this.#limits.perSessionMax)
      throw new SallyportError('busy', 'Too busy, try again in a moment');
    this.#inAll += 1;
    if (session !== undefined) this.#perSession.set(session, ofSession + 1);
    return () => {
      this.#inAll -= 1;
      if (session === undefined) return;
      const left = (this.#perSession.get(session) ?? 1) - 1;
      if (left === 0) this.#perSession.delete(session);
      else this.#perSession.set(session, left);
    };
  }
}

/** The answering end: counts, and refuses what goes over. */
export class IncomingRequests {
  readonly #counts = new RequestCounts({
    inAllMax: requestsInFlightMax,
    perSessionMax: requestsPerSessionMax,
  });
  #lastId = 0;

  get inFlight(): number {
    return this.#counts.inAll;
  }

  /** Admits a request, as `RequestCounts`. Throws `protocol-violation` too, for an id that does not rise. */
  begin(id: number, request: AnyRequest): () => void {
    if (id <= this.#lastId) {
      throw new SallyportError('protocol-violation', 'Bad message', { detail: 'a request id used again' });
    }
    this.#lastId = id;
    return this.#counts.enter(request);
  }
}
