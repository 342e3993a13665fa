/**
 * Main's end of one joined control link, with its data lanes. Knows no socket: the dialer hands it a connection whose
 * peer is proven to be the pinned node.
 *
 * Trust: the node's messages and frames; a hostile node ends its own link, with an alarm, and nothing else.
 */
import type { Judgement } from '#main-agent/restored/starts.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { ByteTransport } from '#shared/link/byte-transport.ts';
import type { AnyEvent, AnyRequest } from '#shared/link/codec.ts';
import type { FramePool } from '#shared/link/frame-pool.ts';
import { Lane } from '#shared/link/lane.ts';
import { lanesPerLinkMax, wireVersions } from '#shared/link/limits.ts';
import type {
  DoorFinding,
  DoorQuestion,
  EventBody,
  EventName,
  Hello,
  OtherMain,
  Policy,
} from '#shared/link/messages.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import type { RequestCounts } from '#shared/link/requests.ts';
import type { Rate } from '#shared/rate.ts';
import { ControlSession } from '#shared/link/session.ts';
import { areStreamsFull } from '#shared/link/stream-bounds.ts';
import type { Log } from '#shared/log.ts';
import { version } from '#shared/version.ts';
import { Dispatcher, type LinkHandlers } from './dispatch.ts';
import { DoorQuestions } from './door-questions.ts';
import { noteFault, type Fault } from './faults.ts';
import type { NodeLink } from './handlers.ts';
import type { OperationLog } from './operations.ts';
import { describeHolder } from './other-mains.ts';
import { fitPolicy } from './policy.ts';

/** Nobody writes it down. */
const noted = Promise.resolve();

export interface NodeConnectionOptions {
  readonly node: string;
  readonly worker: number;
  readonly epoch: number;
  readonly exporter: string;
  readonly transport: MessageTransport;
  readonly mainName: string;
  readonly boot: string;
  readonly validatedLogins: boolean;
  readonly handlers: LinkHandlers;
  readonly operations: OperationLog;
  /** What the node has main do now, over all its links, those that are gone included. */
  readonly atWork: RequestCounts;
  /** How often main dials a lane of this node, over all its links. */
  readonly laneDials: Rate;
  readonly pool: FramePool;
  readonly policy: () => Policy;
  /** Sessions that ended while the node was away, told before the policy makes the link good. */
  readonly missedEndings: () => readonly EventBody<'session.ended'>[];
  /** Dials a data connection to the same worker, its peer proven. */
  readonly dialLane: () => Promise<ByteTransport>;
  /** Gives what aborts when the process that said this hello is no more. */
  readonly onOpen: (hello: Hello) => AbortSignal;
  readonly onEdgeEvent: (event: EventBody<'edge.event'>) => void;
  /** The node may be told things now. */
  readonly onJoined?: () => void;
  readonly onChallengesShown?: (shown: EventBody<'acme.shown'>) => void;
  readonly onAuditKnown?: (head: EventBody<'audit.known'>) => void;
  /** What the node was told by main: is it main's own word, and does the state know of it? */
  readonly judgeHead?: (head: EventBody<'audit.known'>) => Judgement['kind'];
  /** Another process with our key holds the link, and we are out; or it wanted it, and was turned away. */
  /** Something of ours failed; resolves when it is written down, never rejects. */
  readonly onFault?: (fault: Fault) => Promise<void>;
  /** What the node finds wrong with itself. */
  readonly onHealth?: (health: EventBody<'node.health'>) => void;
  readonly onOtherMain?: (other: OtherMain, isHolder: boolean) => void;
  readonly onClose: (reason: string, breach: boolean) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class NodeConnection implements NodeLink {
  readonly node: string;
  readonly worker: number;
  readonly epoch: number;
  readonly exporter: string;
  readonly #options: NodeConnectionOptions;
  readonly #session: ControlSession;
  readonly #dispatcher: Dispatcher;
  readonly #lanes = new Set<Lane>();
  #dialing = 0;
  readonly #doors = new DoorQuestions((asked) => this.send('door.asked', asked));
  #processGone: AbortSignal | undefined;
  /** Aborts with the link: what listens to a session on its behalf goes with it. */
  readonly #gone = new AbortController();
  /** Sessions whose end is being watched for their streams. */
  readonly #watched = new WeakSet<AbortSignal>();

  constructor(options: NodeConnectionOptions) {
    this.#options = options;
    this.node = options.node;
    this.worker = options.worker;
    this.epoch = options.epoch;
    this.exporter = options.exporter;
    this.#dispatcher = new Dispatcher({
      handlers: {
        ...options.handlers,
        onStream: (header, stream, session, link) => {
          this.#watch(header.session, session.ended);
          options.handlers.onStream(header, stream, session, link);
        },
      },
      link: this,
      operations: options.operations,
      clock: options.clock,
      onTooManyStrays: () => this.#session.closeAsBreach('too many requests without a session'),
    });
    this.#session = new ControlSession({
      side: 'main',
      transport: options.transport,
      clock: options.clock,
      hello: {
        versions: [...wireVersions],
        name: options.mainName,
        software: `sallyport ${version}`,
        boot: options.boot,
        validatedLogins: options.validatedLogins,
      },
      onOpen: (hello) => this.#open(hello),
      onRequest: (request, asker) => this.#answer(request, asker),
      onEvent: (event) => this.#receive(event),
      onClose: (reason, breach) => this.#closed(reason, breach),
      onFailure: (error) => options.log.error({ err: error, node: options.node }, 'link: our own failure'),
    });
  }

  start(): void {
    this.#session.start();
  }

  get isOpen(): boolean {
    return this.#session.isOpen;
  }

  get validatedLogins(): boolean {
    return this.#session.peer?.validatedLogins ?? true;
  }

  get wantsHostKeys(): boolean {
    return this.#session.peer?.wantsHostKeys ?? false;
  }

  get processGone(): AbortSignal {
    // Before its hello a node can ask for nothing that would live longer than the link.
    return this.#processGone ?? this.#gone.signal;
  }

  get skewMs(): number | undefined {
    return this.#session.skewMs;
  }

  get rttMs(): number | undefined {
    return this.#session.rttMs;
  }

  get software(): string | undefined {
    return this.#session.peer?.software;
  }

  get configHash(): string | undefined {
    return this.#session.peer?.configHash;
  }

  get laneCount(): number {
    return this.#lanes.size;
  }

  send<E extends EventName>(event: E, body: EventBody<E>): void {
    if (!this.isOpen) return;
    // A private key goes nowhere where it is not served.
    if (event === 'https.certificate' && this.#session.peer?.wantsCertificate !== true) return;
    if (event === 'session.ended') this.#dispatcher.allowStrays();
    this.#session.sendEvent(event, body);
  }

  /** How an address stands at this worker's doors; undefined: it does not say. */
  askDoors(question: DoorQuestion): Promise<readonly DoorFinding[] | undefined> {
    return this.isOpen ? this.#doors.ask(question) : Promise.resolve(undefined);
  }

  sendPolicy(): void {
    if (this.isOpen) this.#session.sendEvent('policy', fitPolicy(this.#options.policy(), this.#options.log));
  }

  close(reason: string): void {
    this.#session.close(reason);
  }

  #open(hello: Hello): void {
    const { worker, onOpen, missedEndings } = this.#options;
    if (hello.worker !== worker) {
      throw new SallyportError('protocol-violation', 'Bad message', {
        detail: `worker ${String(hello.worker)} answered on the port of worker ${worker}`,
      });
    }
    if (hello.otherMain !== undefined) {
      this.#options.onOtherMain?.(hello.otherMain, true);
      this.#session.close(describeHolder(hello.otherMain));
      return;
    }
    if (hello.auditHead !== undefined && !this.#fits(hello.auditHead)) return;
    this.#processGone = onOpen(hello);
    // What the node kept for this link may be of sessions it does not know to be over.
    this.#dispatcher.allowStrays();
    for (const ending of missedEndings()) this.send('session.ended', ending);
    this.sendPolicy();
    this.#options.onJoined?.();
  }

  async #answer(request: AnyRequest, asker: Asker): Promise<unknown> {
    const finish = this.#options.atWork.enter(request);
    try {
      return await this.#dispatcher.answer(request, asker);
    } catch (error) {
      throw await noteFault(error, this, request, (fault) => this.#options.onFault?.(fault) ?? noted);
    } finally {
      finish();
    }
  }

  #receive(event: AnyEvent): void {
    if (event.name === 'edge.event') this.#options.onEdgeEvent(event.body);
    else if (event.name === 'node.health') this.#options.onHealth?.(event.body);
    else if (event.name === 'door.standing') this.#doors.receive(event.body);
    else if (event.name === 'audit.known') {
      if (this.#fits(event.body)) this.#options.onAuditKnown?.(event.body);
    } else if (event.name === 'main.turned-away') this.#options.onOtherMain?.(event.body, false);
    else if (event.name === 'acme.shown') this.#options.onChallengesShown?.(event.body);
    else if (event.name === 'lane.grant') void this.#joinLane(event.body.token);
  }

  /** A node that makes main's words up is hostile; one that knows more than main has nothing to ask of it. */
  #fits(head: EventBody<'audit.known'>): boolean {
    const kind = this.#options.judgeHead?.(head) ?? 'fits';
    if (kind === 'forged') this.#session.closeAsBreach('a head of the audit that main did not sign');
    if (kind === 'contradicts') this.#session.close('the node knows more than the state');
    return kind === 'fits';
  }

  async #joinLane(token: string): Promise<void> {
    // More grants than a link has lanes, or than break by themselves: not worth a dial. An honest node grants anew.
    if (this.#lanes.size + this.#dialing >= lanesPerLinkMax) return;
    if (!this.#options.laneDials.take(this.#options.clock.monotonic())) return;
    this.#dialing += 1;
    try {
      const transport = await this.#options.dialLane();
      if (!this.isOpen) {
        transport.close('the control link is gone');
        return;
      }
      this.#startLane(transport, token);
    } catch (error) {
      // The node grants anew when the token was not used.
      this.#options.log.warn({ err: error, node: this.node, worker: this.worker }, 'link: lane not joined');
    } finally {
      this.#dialing -= 1;
    }
  }

  #startLane(transport: ByteTransport, token: string): void {
    const lane: Lane = new Lane({
      side: 'main',
      transport,
      pool: this.#options.pool,
      roundTrip: { now: () => this.#options.clock.monotonic(), rttMs: () => this.#session.rttMs },
      onOpen: (header, stream) => {
        if (areStreamsFull(this.#lanes, header.session, 0))
          stream.reset(new SallyportError('busy', 'Too many transfers at once'));
        else this.#dispatcher.openStream(header, stream);
      },
      onClose: (reason, breach) => {
        this.#lanes.delete(lane);
        if (breach) this.#session.closeAsBreach(reason);
      },
      onFailure: (error) => {
        this.#options.log.error({ err: error, node: this.node }, 'link: a stream handler failed');
      },
    });
    this.#lanes.add(lane);
    lane.start();
    lane.join(token);
  }

  /** Ends the streams of a session with it, whatever their owner does. */
  #watch(sessionId: string, ended: AbortSignal): void {
    if (this.#watched.has(ended)) return;
    this.#watched.add(ended);
    const end = (): void => {
      const error = new SallyportError('no-session', 'The session has ended');
      for (const lane of this.#lanes) lane.abortSession(sessionId, error);
    };
    ended.addEventListener('abort', end, { once: true, signal: this.#gone.signal });
  }

  #closed(reason: string, breach: boolean): void {
    this.#gone.abort();
    this.#doors.close();
    for (const lane of this.#lanes) lane.close(reason);
    this.#options.onClose(reason, breach);
  }
}
