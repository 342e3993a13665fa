import { ApiProblem, parseProblem } from '#dmz/web/api/problem.ts';
import { requestTimeoutMs } from '#dmz/web/limits.ts';

/** The one place that talks to the server with `fetch`. Bytes of uploads go through `upload.ts`. */

interface ApiCall {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export class Http {
  readonly #fetch: typeof fetch;
  readonly #onAnswer: () => void;
  readonly #onProblem: (problem: ApiProblem, askedAtMs: number) => void;

  /** `onProblem` sees every refusal before the caller does: a dead session is noticed wherever it shows. */
  constructor(options: {
    fetch: typeof fetch;
    onAnswer: () => void;
    onProblem: (problem: ApiProblem, askedAtMs: number) => void;
  }) {
    this.#fetch = options.fetch;
    this.#onAnswer = options.onAnswer;
    this.#onProblem = options.onProblem;
  }

  /**
   * The parsed JSON of an answer, undefined without one. Rejects ApiProblem, or the caller's own abort.
   * `T` is what our own server promises for this call; what a broken answer could do is show nonsense in this tab.
   */
  call<T = void>(call: ApiCall): Promise<T> {
    return this.#watched(call, async (response) => {
      const body = await response.text();
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
      return (body === '' ? undefined : JSON.parse(body)) as T;
    });
  }

  /** Of an answer without a body. */
  headers(call: ApiCall): Promise<Headers> {
    return this.#watched(call, (response) => Promise.resolve(response.headers));
  }

  /** The body as it is. */
  bytes(call: ApiCall): Promise<Blob> {
    return this.#watched(call, (response) => response.blob());
  }

  async #watched<T>(call: ApiCall, read: (response: Response) => Promise<T>): Promise<T> {
    const askedAtMs = performance.now();
    try {
      return await read(await this.#send(call));
    } catch (thrown) {
      if (call.signal?.aborted === true) throw thrown;
      const problem = thrown instanceof ApiProblem ? thrown : new ApiProblem(0);
      this.#onProblem(problem, askedAtMs);
      throw problem;
    }
  }

  async #send({ method, path, json, headers, signal }: ApiCall): Promise<Response> {
    const timeout = AbortSignal.timeout(requestTimeoutMs);
    const response = await this.#fetch(path, {
      method,
      headers: {
        Accept: 'application/json',
        ...(json !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: json === undefined ? null : JSON.stringify(json),
      cache: 'no-store',
      credentials: 'same-origin',
      redirect: 'error',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    if (response.ok) {
      this.#onAnswer();
      return response;
    }
    throw parseProblem(response.status, response.headers.get('Retry-After'), await response.text());
  }
}
