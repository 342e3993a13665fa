/** Requests in flight, seen from the end that asks and from the end that answers: ids, deadlines, bounds. */
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { Asker } from './asker.ts';
import { decodeResult, encodeCancel, encodeRequest, requireParams, type AnyRequest } from './codec.ts';
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
  'fs.write',
]);

export function defaultTimeoutMs(verb: Verb): number {
  return longVerbs.has(verb) ? longRequestTimeoutMs : requestTimeoutMs;
}

interface Pending {
  /** Checks the answer and resolves with it. Throws `protocol-violation`. */
  readonly resolve: (untrusted: unknown) => void;
  readonly reject: (error: SallyportError) => void;
}

export interface RequestOptions {
  readonly timeoutMs: number;
  /** The caller gives up: rejects at once. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whoever it is for has gone: it need not be begun any more. What became of it is still the answer, because a wrong
   * password counts although nobody stayed to hear so.
   */
  readonly gone?: AbortSignal | undefined;
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
  request<V extends Verb>(verb: V, params: Params<V>, options: RequestOptions): Promise<Result<V>> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy !== undefined) throw this.#closedBy;
      if (this.#pending.size >= requestsInFlightMax)
        throw new SallyportError('busy', 'Too busy, try again in a moment');
      if (options.signal?.aborted === true || options.gone?.aborted === true) throw cancelled(verb);
      requireParams(verb, params);
      const id = this.#lastId + 1;
      const message = encodeRequest(id, verb, params, options.timeoutMs);
      this.#lastId = id;
      const forget = (): void => {
        this.#pending.delete(id);
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', abort);
        options.gone?.removeEventListener('abort', cancel);
      };
      const fail = (error: SallyportError): void => {
        forget();
        reject(error);
      };
      /** The answer, when it comes, finds nobody and is dropped; what is not begun yet need not be. */
      const cancel = (): void => this.#send(encodeCancel(id));
      const giveUp = (error: SallyportError): void => {
        fail(error);
        cancel();
      };
      const timer = setTimeout(() => {
        giveUp(new SallyportError('deadline', 'The inside did not answer in time', { detail: verb }));
      }, options.timeoutMs);
      const abort = (): void => giveUp(cancelled(verb));
      options.signal?.addEventListener('abort', abort, { once: true });
      options.gone?.addEventListener('abort', cancel, { once: true });
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
    if (id > this.#lastId) throw breach('an answer to nothing');
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

/** The answering end: counts, refuses what goes over, and knows who still waits. */
export class IncomingRequests {
  readonly #clock: Clock;
  readonly #askers = new Map<number, { readonly asker: Asker; readonly isAskedAgain: boolean }>();
  readonly #counts = new RequestCounts({
    inAllMax: requestsInFlightMax,
    perSessionMax: requestsPerSessionMax,
  });
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get inFlight(): number {
    return this.#counts.inAll;
  }

  /**
   * Admits a request, as `RequestCounts`; call `finish` once when it is answered. Throws `protocol-violation` too, for
   * an id that does not rise.
   */
  begin(
    id: number,
    request: AnyRequest,
    patienceMs: number = defaultTimeoutMs(request.verb),
  ): { readonly asker: Asker; readonly finish: () => void } {
    if (id <= this.#lastId) throw breach('a request id used again');
    this.#lastId = id;
    const leave = this.#counts.enter(request);
    const asker = new Asker(this.#clock, patienceMs);
    this.#askers.set(id, { asker, isAskedAgain: 'op' in request.params });
    return {
      asker,
      finish: () => {
        this.#askers.delete(id);
        leave();
      },
    };
  }

  /** Its asker gave up; too late is no fault. Throws `protocol-violation` for an id that was never asked. */
  cancel(id: number): void {
    if (id > this.#lastId) throw breach('a cancel of nothing');
    this.#askers.get(id)?.asker.giveUp();
  }

  /**
   * The link is gone. Nobody hears the answers; what changes a file is asked again by its number on the next link,
   * waits for this answer there, and goes on.
   */
  close(): void {
    for (const { asker, isAskedAgain } of this.#askers.values()) if (!isAskedAgain) asker.giveUp();
  }
}

function breach(detail: string): SallyportError {
  return new SallyportError('protocol-violation', 'Bad message', { detail });
}
