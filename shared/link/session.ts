/**
 * One control connection from hello to close, the same for both ends: agrees on a version, watches the peer's pulse
 * and clock, and hands checked messages on. Any breach closes it.
 *
 * Trust: messages come from the peer and pass the codec before anything looks at them.
 */
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { Asker } from './asker.ts';
import {
  decodeMessage,
  encodeError,
  encodeEvent,
  encodeHeartbeat,
  encodeHello,
  encodeResult,
  type AnyEvent,
  type AnyRequest,
} from './codec.ts';
import { controlQueuedBytesMax, heartbeatIntervalMs, heartbeatTimeoutMs, helloTimeoutMs } from './limits.ts';
import type { EventBody, EventName, Hello, Params, Result, Verb } from './messages.ts';
import type { MessageTransport } from './message-transport.ts';
import { IncomingRequests, OutgoingRequests, type RequestOptions } from './requests.ts';
import type { LaneSide } from './streams.ts';

type OwnHello = Omit<Hello, 'nowMs'>;

export interface ControlSessionOptions {
  readonly side: LaneSide;
  readonly transport: MessageTransport;
  /** What this end says first; as a function it is said in answer to the peer's hello. `nowMs` is filled in. */
  readonly hello: OwnHello | ((peer: Hello) => OwnHello);
  readonly clock: Clock;
  /** The peer's hello was good: the link is open. Throwing closes it as a breach. */
  readonly onOpen: (hello: Hello) => void;
  /** Main only. Its rejection is the answer's error. */
  readonly onRequest?: (request: AnyRequest, asker: Asker) => Promise<unknown>;
  readonly onEvent: (event: AnyEvent) => void;
  /** Once. `breach`: the peer broke the protocol. */
  readonly onClose: (reason: string, breach: boolean) => void;
  /** A fault of our own that the peer sees as `internal`. */
  readonly onFailure: (error: SallyportError) => void;
}

export class ControlSession {
  readonly #options: ControlSessionOptions;
  readonly #outgoing: OutgoingRequests;
  readonly #incoming: IncomingRequests;
  #peer: Hello | undefined;
  #closed = false;
  #helloTimer: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #heardAt: number;
  #pings = 0;
  #pingSentAt = 0;
  #rttMs: number | undefined;
  #skewMs: number | undefined;

  constructor(options: ControlSessionOptions) {
    this.#options = options;
    this.#heardAt = options.clock.monotonic();
    this.#incoming = new IncomingRequests(options.clock);
    this.#outgoing = new OutgoingRequests((message) => this.#send(message));
  }

  start(): void {
    const { transport, hello, clock } = this.#options;
    this.#helloTimer = setTimeout(() => this.#close('no hello in time', false), helloTimeoutMs);
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatIntervalMs);
    this.#heardAt = clock.monotonic();
    transport.start({
      onMessage: (message) => this.#receive(message),
      onClose: (reason) => this.#close(reason, false),
    });
    if (typeof hello !== 'function') this.#sayHello(hello);
  }

  #sayHello(hello: OwnHello): void {
    this.#send(encodeHello({ ...hello, nowMs: this.#options.clock.now() }));
  }

  /** The peer's hello; undefined before it. */
  get peer(): Hello | undefined {
    return this.#peer;
  }

  get isOpen(): boolean {
    return this.#peer !== undefined && !this.#closed;
  }

  /** Peer's clock minus ours, from the latest heartbeat. */
  get skewMs(): number | undefined {
    return this.#skewMs;
  }

  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  request<V extends Verb>(verb: V, params: Params<V>, options: RequestOptions): Promise<Result<V>> {
    return this.#outgoing.request(verb, params, options);
  }

  /** Requests of ours that are not answered yet. */
  get inFlight(): number {
    return this.#outgoing.inFlight;
  }

  sendEvent<E extends EventName>(name: E, body: EventBody<E>): void {
    this.#send(encodeEvent(name, body));
  }

  /** Not a breach of the peer's; `closeAsBreach` is. */
  close(reason: string): void {
    this.#close(reason, false);
  }

  closeAsBreach(detail: string): void {
    this.#close(detail, true);
  }

  #send(message: string): void {
    if (this.#closed) return;
    this.#options.transport.send(message);
    if (this.#options.transport.queuedBytes > controlQueuedBytesMax)
      this.#close('the peer does not read', true);
  }

  #receive(bytes: Buffer): void {
    if (this.#closed) return;
    this.#heardAt = this.#options.clock.monotonic();
    try {
      this.#handle(bytes);
    } catch (error) {
      const failure = toSallyportError(error);
      this.#close(failure.detail ?? failure.code, isSallyportError(error, 'protocol-violation'));
      if (failure.code === 'internal') this.#options.onFailure(failure);
    }
  }

  #handle(bytes: Buffer): void {
    const { side, clock } = this.#options;
    const message = decodeMessage(bytes, side === 'main' ? 'dmz' : 'main');
    if (this.#peer === undefined) {
      if (message.kind !== 'hello') throw breach(`${message.kind} before the hello`);
      this.#open(message.hello);
      return;
    }
    switch (message.kind) {
      case 'hello':
        throw breach('a second hello');
      case 'ping':
        this.#send(encodeHeartbeat('pong', message.id, clock.now()));
        return;
      case 'pong':
        this.#receivePong(message.id, message.nowMs);
        return;
      case 'event':
        this.#options.onEvent(message.event);
        return;
      case 'result':
        this.#outgoing.receiveResult(message.id, message.result);
        return;
      case 'error':
        this.#outgoing.receiveError(message.id, message.error);
        return;
      case 'request':
        this.#answer(message.id, message.request, message.patienceMs);
        return;
      case 'cancel':
        this.#incoming.cancel(message.id);
        return;
    }
  }

  #open(hello: Hello): void {
    const { hello: ours } = this.#options;
    const answer = typeof ours === 'function' ? ours(hello) : ours;
    const [lowest, highest] = answer.versions;
    const version = Math.min(highest, hello.versions[1]);
    if (version < Math.max(lowest, hello.versions[0])) {
      throw breach(`the peer speaks wire versions ${hello.versions.join(' to ')}`);
    }
    clearTimeout(this.#helloTimer);
    this.#peer = hello;
    if (typeof ours === 'function') this.#sayHello(answer);
    this.#skewMs = hello.nowMs - this.#options.clock.now();
    this.#options.onOpen(hello);
    this.#beat();
  }

  #answer(id: number, request: AnyRequest, patienceMs: number | undefined): void {
    const { onRequest } = this.#options;
    if (onRequest === undefined) throw breach('a request to an end that answers none');
    let admitted: ReturnType<IncomingRequests['begin']>;
    try {
      admitted = this.#incoming.begin(id, request, patienceMs);
    } catch (error) {
      if (!isSallyportError(error, 'busy')) throw error;
      this.#send(encodeError(id, error));
      return;
    }
    const { asker, finish } = admitted;
    void this.#respond(id, request, () => onRequest(request, asker)).finally(finish);
  }

  async #respond(id: number, request: AnyRequest, answer: () => Promise<unknown>): Promise<void> {
    let message: string;
    try {
      message = encodeResult(id, request.verb, await answer());
    } catch (error) {
      const failure = toSallyportError(error);
      if (failure.code === 'internal') this.#options.onFailure(failure);
      message = encodeError(id, failure);
    }
    this.#send(message);
  }

  #receivePong(id: number, nowMs: number): void {
    // An answer to an older ping would measure a wrong time.
    if (id !== this.#pings) return;
    const { clock } = this.#options;
    this.#rttMs = clock.monotonic() - this.#pingSentAt;
    this.#skewMs = nowMs + this.#rttMs / 2 - clock.now();
  }

  #beat(): void {
    const now = this.#options.clock.monotonic();
    if (now - this.#heardAt > heartbeatTimeoutMs) {
      this.#close('nothing heard from the peer', false);
      return;
    }
    if (this.#peer === undefined) return;
    this.#pings += 1;
    this.#pingSentAt = now;
    this.#send(encodeHeartbeat('ping', this.#pings, this.#options.clock.now()));
  }

  #close(reason: string, isBreach: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#helloTimer);
    clearInterval(this.#heartbeat);
    this.#options.transport.close(reason);
    this.#incoming.close();
    this.#outgoing.close(
      new SallyportError('link-down', 'The connection to the inside is down', { detail: reason }),
    );
    this.#options.onClose(reason, isBreach);
  }
}

function breach(detail: string): SallyportError {
  return new SallyportError('protocol-violation', 'Bad message', { detail });
}
