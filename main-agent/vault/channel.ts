import type { Duplex } from 'node:stream';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import { z } from 'zod';
import {
  slowVerbs,
  vaultCalls,
  type AnswerOf,
  type AskVault,
  type VaultHandlers,
  type VaultVerb,
} from './calls.ts';
import { answerMs, awayRetryMs, callsMax, frameBytesMax } from './limits.ts';

/**
 * Both ends of the channel between main and its vault: a length of four octets, then JSON. Each end ends the channel at
 * the first octet that is not what it must be; the process ends with it.
 *
 * Trust: main may have been broken into, so the process takes nothing but rows of `vaultCalls`; and what the process
 * says is held against the same rows, and can only answer what was asked.
 */

const id = z.number().int().positive();
const verb = z.custom<VaultVerb>((name) => typeof name === 'string' && Object.hasOwn(vaultCalls, name));
const askedSchema = z.strictObject({ id, verb, request: z.unknown() });
/** Of an error what main can act on; what a handler did not foresee is `internal`. */
const toldError = z.strictObject({
  code: z.enum([
    'config',
    'internal',
    'busy',
    'bad-request',
    'conflict',
    'not-found',
    'exists',
    'precondition-failed',
    'io-error',
  ]),
  message: z.string().max(1024),
  detail: z.string().max(65_536).optional(),
  hint: z.string().max(1024).optional(),
});
const answeredSchema = z.union([
  z.strictObject({ id, answer: z.unknown() }),
  z.strictObject({ id, error: toldError }),
]);
type ToldError = z.output<typeof toldError>;

const lengthBytes = 4;

function frame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message), 'utf8');
  const whole = Buffer.allocUnsafe(lengthBytes + body.length);
  whole.writeUInt32BE(body.length);
  body.copy(whole, lengthBytes);
  return whole;
}

/** Calls `take` with each whole message. Throws at a length that none has, and at what is not JSON. */
function readFrames(take: (message: unknown) => void): (octets: Buffer) => void {
  let pieces: Buffer[] = [];
  let have = 0;
  let needed = lengthBytes;
  return (octets) => {
    pieces.push(octets);
    have += octets.length;
    // Put together once all of it is there: a large one comes in thousands of pieces.
    if (have < needed) return;
    let rest = pieces.length === 1 ? octets : Buffer.concat(pieces);
    needed = lengthBytes;
    while (rest.length >= lengthBytes) {
      const length = rest.readUInt32BE();
      if (length > frameBytesMax) throw new Error(`a message of ${length} octets`);
      needed = lengthBytes + length;
      if (rest.length < needed) break;
      const message: unknown = JSON.parse(rest.toString('utf8', lengthBytes, needed));
      rest = rest.subarray(needed);
      needed = lengthBytes;
      take(message);
    }
    pieces = rest.length === 0 ? [] : [rest];
    have = rest.length;
  };
}

/** Main's end. */
export class VaultChannel {
  readonly #stream: Duplex;
  readonly #asked = new Map<number, Asked>();
  readonly #timer: NodeJS.Timeout;
  #lastId = 0;
  #isOver = false;

  /** `onBroken` is told once, and why: the other end said what it must not, hangs, or is gone. */
  constructor(stream: Duplex, onBroken: (why: string) => void) {
    this.#stream = stream;
    const over = (why: string): void => {
      if (this.#isOver) return;
      this.end();
      onBroken(why);
    };
    const read = readFrames((message) => this.#take(message));
    stream.on('data', (octets: Buffer) => {
      try {
        if (!this.#isOver) read(octets);
      } catch (error) {
        // Not the error's text: it quotes what was said.
        over(`it said what it must not (${error instanceof Error ? error.name : 'unknown'})`);
      }
    });
    stream.on('error', (error) => over(`its channel: ${error.message}`));
    stream.on('end', () => over('its channel is closed'));
    stream.on('close', () => over('its channel is closed'));
    this.#timer = setInterval(() => {
      const oldest = Iterator.from(this.#asked.values()).find(({ isSlow }) => !isSlow);
      if (oldest !== undefined && performance.now() - oldest.atMs > answerMs) over('it does not answer');
    }, answerMs / 4);
    this.#timer.unref();
  }

  readonly ask: AskVault = async (name, request) => {
    if (this.#isOver) throw away('the vault is away');
    if (this.#asked.size >= callsMax) throw away(`${callsMax} calls of the vault are under way`);
    const octets = frame({ id: (this.#lastId += 1), verb: name, request });
    if (octets.length > frameBytesMax)
      throw new SallyportError('internal', 'Something went wrong on our side', {
        detail: `a ${name} of ${octets.length} octets`,
      });
    const { promise, resolve, reject } = Promise.withResolvers<AnswerOf<typeof name>>();
    const schema = vaultCalls[name].answer;
    this.#asked.set(this.#lastId, {
      atMs: performance.now(),
      isSlow: slowVerbs.has(name),
      reject,
      answer: (answer) => {
        const parsed = schema.parse(answer);
        return () => resolve(parsed);
      },
    });
    this.#stream.write(octets);
    return promise;
  };

  /** The calls under way reject `busy`; none is taken any more. */
  end(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#stream.destroy();
    for (const asked of this.#asked.values())
      asked.reject(away('the vault went away before it had answered'));
    this.#asked.clear();
  }

  #take(message: unknown): void {
    const told = answeredSchema.parse(message);
    const asked = this.#asked.get(told.id);
    if (asked === undefined) throw new Error('an answer to nothing');
    // Held against its row before it counts as answered: one that fits none breaks the channel, and rejects with it.
    const settle = 'error' in told ? () => asked.reject(asError(told.error)) : asked.answer(told.answer);
    this.#asked.delete(told.id);
    settle();
  }
}

interface Asked {
  readonly atMs: number;
  readonly isSlow: boolean;
  reject(this: void, error: SallyportError): void;
  /** Holds it against its row; what it gives back settles the call. */
  answer(this: void, answer: unknown): () => void;
}

/** Nobody has looked at what was asked. */
export function away(detail: string, retryAfterMs: number = awayRetryMs): SallyportError {
  return new SallyportError('busy', 'Nobody can be signed in at the moment; try again in a moment', {
    detail,
    data: { retryAfterMs },
  });
}

function asError({ code, message, detail, hint }: ToldError): SallyportError {
  return new SallyportError(code, message, {
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
  });
}

/** The process's end. `onOver`: main is gone, or said what it must not. */
export function serveVault(stream: Duplex, handlers: VaultHandlers, onOver: () => void): void {
  let underWay = 0;
  const read = readFrames((message) => {
    const { id: call, verb: asked, request } = askedSchema.parse(message);
    if (underWay >= callsMax) throw new Error('more calls than main makes');
    underWay += 1;
    void answerTo(handlers, asked, request)
      .then((told) => stream.write(frame({ id: call, ...told })))
      .finally(() => {
        underWay -= 1;
      });
  });
  stream.on('data', (octets: Buffer) => {
    try {
      read(octets);
    } catch {
      onOver();
    }
  });
  stream.on('error', onOver);
  stream.on('end', onOver);
  stream.on('close', onOver);
}

async function answerTo(
  handlers: VaultHandlers,
  asked: VaultVerb,
  request: unknown,
): Promise<{ readonly answer: unknown } | { readonly error: ToldError }> {
  try {
    return { answer: await carryOut(handlers, asked, request) };
  } catch (thrown) {
    const { code, publicMessage, detail, hint } = toSallyportError(thrown);
    const told = toldError.safeParse({ code, message: publicMessage, detail, hint });
    // Not its text: who knows what stands in it.
    if (isSallyportError(thrown) && told.success) return { error: told.data };
    return {
      error: { code: 'internal', message: 'Something went wrong on our side', detail: `${asked} failed` },
    };
  }
}

/** Rejects `bad-request` for what its row does not have. */
async function carryOut<V extends VaultVerb>(handlers: VaultHandlers, name: V, request: unknown) {
  const asked = vaultCalls[name].request.safeParse(request);
  if (!asked.success)
    throw new SallyportError('bad-request', 'Something went wrong on our side', {
      detail: `${name}: ${asked.error.issues.map(({ path }) => path.join('.')).join(', ')}`,
    });
  return handlers[name](asked.data);
}

/** The same table without a process, for programs that end soon, and tests. */
export function askLocally(handlers: VaultHandlers): AskVault {
  return async (name, request) => {
    const told = await answerTo(handlers, name, JSON.parse(JSON.stringify(request)));
    if ('error' in told) throw asError(told.error);
    return vaultCalls[name].answer.parse(told.answer);
  };
}
