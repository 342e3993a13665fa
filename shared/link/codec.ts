/**
 * The only parser of control messages, and of the JSON inside lane frames. Bytes in, checked values out: a message
 * that is not exactly one of the table's shapes is a breach (S-05).
 *
 * Errors cross the link by their public half alone.
 *
 * Trust: `decodeMessage`, `decodeOpen`, `decodeTrailer`, `decodeReset`, `decodeResult` are fed by the peer.
 */
import { parseStrictJson } from '#shared/json.ts';
import { z } from 'zod';
import { isErrorCode, type ErrorCode } from '#shared/error-codes.ts';
import { SallyportError, weaknesses } from '#shared/error.ts';
import { controlMessageBytesMax, longRequestTimeoutMs } from './limits.ts';
import {
  eventSchemas,
  helloSchema,
  requestSchemas,
  streamHeaderSchema,
  type EventBody,
  type EventName,
  type Hello,
  type Params,
  type Result,
  type StreamHeader,
  type Verb,
} from './messages.ts';
import type { LaneSide } from './streams.ts';

const publicMessageCharactersMax = 512;

const wireErrorSchema = z.strictObject({
  code: z.custom<ErrorCode>(isErrorCode),
  message: z.string().max(publicMessageCharactersMax),
  reference: z.string().max(64).optional(),
  data: z
    .strictObject({
      retryAfterMs: z.number().finite().optional(),
      attemptsLeft: z.number().int().optional(),
      driftSeconds: z.number().finite().optional(),
      weakness: z.enum(weaknesses).optional(),
      minimum: z.number().int().optional(),
      bait: z.literal(true).optional(),
      throttled: z.enum(['name', 'source']).optional(),
      unserved: z.number().int().optional(),
    })
    .optional(),
});
type WireError = z.output<typeof wireErrorSchema>;

const messageId = z.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const moment = z.number().finite();

/** The envelope: `kind` says which. Params, results and bodies are checked by their own schema in a second step. */
const envelopeSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('hello'), hello: helloSchema }),
  z.strictObject({
    kind: z.literal('request'),
    id: messageId,
    verb: z.string().max(64),
    params: z.unknown(),
    patienceMs: z.number().finite().nonnegative().max(longRequestTimeoutMs).optional(),
  }),
  z.strictObject({ kind: z.literal('cancel'), id: messageId }),
  z.strictObject({ kind: z.literal('result'), id: messageId, result: z.unknown() }),
  z.strictObject({ kind: z.literal('error'), id: messageId, error: wireErrorSchema }),
  z.strictObject({ kind: z.literal('event'), name: z.string().max(64), body: z.unknown() }),
  z.strictObject({ kind: z.literal('ping'), id: messageId, nowMs: moment }),
  z.strictObject({ kind: z.literal('pong'), id: messageId, nowMs: moment }),
]);

const trailerSchema = z.record(z.string(), z.unknown());

/** Which end sends which event. */
const eventSender: Readonly<Record<EventName, LaneSide>> = {
  policy: 'main',
  'session.ended': 'main',
  'file.changing': 'main',
  'lane.grant': 'dmz',
  'audit.head': 'main',
  'audit.known': 'dmz',
  'door.asked': 'main',
  'door.standing': 'dmz',
  'main.turned-away': 'dmz',
  'node.health': 'dmz',
  'acme.challenges': 'main',
  'acme.shown': 'dmz',
  'https.certificate': 'main',
  hostkeys: 'main',
  'edge.taken': 'main',
  'edge.event': 'dmz',
};

export type AnyRequest = { readonly [V in Verb]: { readonly verb: V; readonly params: Params<V> } }[Verb];
export type AnyEvent = {
  readonly [E in EventName]: { readonly name: E; readonly body: EventBody<E> };
}[EventName];

type Message =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | {
      readonly kind: 'request';
      readonly id: number;
      readonly request: AnyRequest;
      readonly patienceMs: number | undefined;
    }
  /** Whoever asked this does not wait for the answer any more. */
  | { readonly kind: 'cancel'; readonly id: number }
  /** Checked by `decodeResult`, once the pending request tells the verb. */
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: SallyportError }
  | { readonly kind: 'event'; readonly event: AnyEvent }
  | { readonly kind: 'ping' | 'pong'; readonly id: number; readonly nowMs: number };

function breach(detail: string): never {
  throw new SallyportError('protocol-violation', 'Bad message', { detail });
}

/** Where a value failed, without the value: it may be a password (S-11). */
function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.map(String).join('.')}: ${issue.code}`)
    .join('; ');
}

function parseJson(bytes: Buffer): unknown {
  try {
    return parseStrictJson(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Bytes from `peer` → Message, or `protocol-violation`. */
export function decodeMessage(bytes: Buffer, peer: LaneSide): Message {
  if (bytes.length > controlMessageBytesMax) breach('message over the bound');
  const envelope = envelopeSchema.safeParse(parseJson(bytes));
  if (!envelope.success) return breach(describeIssues(envelope.error));
  const message = envelope.data;
  switch (message.kind) {
    case 'request':
      if (peer !== 'dmz') return breach('a request from main');
      return {
        kind: 'request',
        id: message.id,
        request: decodeRequest(message.verb, message.params),
        patienceMs: message.patienceMs,
      };
    case 'cancel':
      if (peer !== 'dmz') return breach('a cancel from main');
      return message;
    case 'event':
      return { kind: 'event', event: decodeEvent(message.name, message.body, peer) };
    case 'result':
    case 'error':
      if (peer !== 'main') return breach('an answer from the node');
      return message.kind === 'result'
        ? { kind: 'result', id: message.id, result: message.result }
        : { kind: 'error', id: message.id, error: fromWireError(message.error) };
    case 'hello':
      return { kind: 'hello', hello: message.hello };
    case 'ping':
    case 'pong':
      return message;
  }
}

function decodeRequest(verb: string, params: unknown): AnyRequest {
  if (!isVerb(verb)) return breach('unknown verb');
  const parsed = requestSchemas[verb].params.safeParse(params);
  if (!parsed.success) return breach(`${verb}: ${describeIssues(parsed.error)}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the schema of `verb` made the params of `verb`; the compiler can't follow the pair
  return { verb, params: parsed.data } as AnyRequest;
}

function decodeEvent(name: string, body: unknown, peer: LaneSide): AnyEvent {
  if (!isEventName(name)) return breach('unknown event');
  if (eventSender[name] !== peer) return breach(`event ${name} from the wrong side`);
  const parsed = eventSchemas[name].safeParse(body);
  if (!parsed.success) return breach(`${name}: ${describeIssues(parsed.error)}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above, for events
  return { name, body: parsed.data } as AnyEvent;
}

function isVerb(name: string): name is Verb {
  return Object.hasOwn(requestSchemas, name);
}

function isEventName(name: string): name is EventName {
  return Object.hasOwn(eventSchemas, name);
}

/** An answer's value → the verb's result, or `protocol-violation`. */
export function decodeResult<V extends Verb>(verb: V, untrusted: unknown): Result<V> {
  const parsed = requestSchemas[verb].result.safeParse(untrusted);
  if (!parsed.success) return breach(`result of ${verb}: ${describeIssues(parsed.error)}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above, for results
  return parsed.data as Result<V>;
}

/**
 * Params of our own caller, checked before they are sent: a value a stranger made too long must cost that stranger an
 * error, not everybody the link. Throws `bad-request`.
 */
export function requireParams(verb: Verb, params: unknown): void {
  const parsed = requestSchemas[verb].params.safeParse(params);
  if (!parsed.success) {
    throw new SallyportError('bad-request', 'That request cannot be served', {
      detail: `${verb}: ${describeIssues(parsed.error)}`,
    });
  }
}

function encode(message: Record<string, unknown>): string {
  const text = JSON.stringify(message);
  // Three bytes is the most a UTF-16 unit takes: most messages need no count.
  if (text.length * 3 > controlMessageBytesMax && Buffer.byteLength(text) > controlMessageBytesMax) {
    throw new SallyportError('too-many', 'That is too much for one answer', {
      detail: `a ${String(message['kind'])} message over ${controlMessageBytesMax} bytes`,
    });
  }
  return text;
}

export function encodeHello(hello: Hello): string {
  return encode({ kind: 'hello', hello });
}

/** `patienceMs`: how long its asker waits for the answer. */
export function encodeRequest(id: number, verb: Verb, params: unknown, patienceMs: number): string {
  return encode({ kind: 'request', id, verb, params, patienceMs });
}

export function encodeCancel(id: number): string {
  return encode({ kind: 'cancel', id });
}

/** Checks the result first: what main's handler returned beyond the table never leaves (S-02). */
export function encodeResult(id: number, verb: Verb, result: unknown): string {
  const parsed = requestSchemas[verb].result.safeParse(result);
  if (!parsed.success) {
    throw new SallyportError('internal', 'Something went wrong on our side', {
      detail: `our own result of ${verb}: ${describeIssues(parsed.error)}`,
    });
  }
  return encode({ kind: 'result', id, result });
}

export function encodeError(id: number, error: SallyportError): string {
  return encode({ kind: 'error', id, error: toWireError(error) });
}

/** Throws when the body is not of the event's shape: our own fault. */
export function encodeEvent<E extends EventName>(name: E, body: EventBody<E>): string {
  const parsed = eventSchemas[name].safeParse(body);
  if (!parsed.success) throw new Error(`our own event ${name}: ${describeIssues(parsed.error)}`);
  return encode({ kind: 'event', name, body });
}

export function encodeHeartbeat(kind: 'ping' | 'pong', id: number, nowMs: number): string {
  return encode({ kind, id, nowMs });
}

// — JSON inside lane frames —

/** Throws `bad-request`: as `requireParams`, for a stream's header. */
export function encodeOpen(header: StreamHeader): Buffer {
  const parsed = streamHeaderSchema.safeParse(header);
  if (!parsed.success) {
    throw new SallyportError('bad-request', 'That request cannot be served', {
      detail: `stream: ${describeIssues(parsed.error)}`,
    });
  }
  return Buffer.from(JSON.stringify(header));
}

export function decodeOpen(bytes: Buffer): StreamHeader | undefined {
  return streamHeaderSchema.safeParse(parseJson(bytes)).data;
}

/** Facts for the stream's owner, who checks what it uses. Empty payload: none. */
export function decodeTrailer(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  if (bytes.length === 0) return {};
  return trailerSchema.safeParse(parseJson(bytes)).data;
}

export function encodeReset(error: SallyportError): Buffer {
  return Buffer.from(JSON.stringify(toWireError(error)));
}

export function decodeReset(bytes: Buffer): SallyportError | undefined {
  const parsed = wireErrorSchema.safeParse(parseJson(bytes));
  return parsed.success ? fromWireError(parsed.data) : undefined;
}

function toWireError(error: SallyportError): WireError {
  return {
    code: error.code,
    message: error.publicMessage.slice(0, publicMessageCharactersMax),
    ...(error.reference !== undefined && { reference: error.reference.slice(0, 64) }),
    ...(error.data !== undefined && { data: error.data }),
  };
}

function fromWireError(error: WireError): SallyportError {
  const { retryAfterMs, attemptsLeft, driftSeconds, weakness, minimum, bait, throttled, unserved } =
    error.data ?? {};
  return new SallyportError(error.code, error.message, {
    ...(error.reference !== undefined && { reference: error.reference }),
    ...(error.data !== undefined && {
      data: {
        ...(retryAfterMs !== undefined && { retryAfterMs }),
        ...(attemptsLeft !== undefined && { attemptsLeft }),
        ...(driftSeconds !== undefined && { driftSeconds }),
        ...(weakness !== undefined && { weakness }),
        ...(minimum !== undefined && { minimum }),
        ...(bait !== undefined && { bait }),
        ...(throttled !== undefined && { throttled }),
        ...(unserved !== undefined && { unserved }),
      },
    }),
  });
}
