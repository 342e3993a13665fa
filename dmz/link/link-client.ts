/**
 * The node's one view of main (`MainLink`), kept over all the connections that come and go below it (D-16). Knows no
 * socket: the listener hands it connections whose peer is proven to be the pinned main.
 *
 * A link is up when main has said hello and pushed its policy; main tells before that which sessions died meanwhile,
 * so that nothing of them is sent again. File and session requests wait for the next link and are sent again on it,
 * in order; login requests are bound to their link and fail with it.
 *
 * One main holds the link for as long as its heart beats. Another process that shows main's key, by mistake or because
 * the key was copied, is told who holds the link and turned away; a main that was started anew waits for the old one's
 * connection to end, and takes over.
 */
import type { KeyObject } from 'node:crypto';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { ByteTransport } from '#shared/link/byte-transport.ts';
import type { AnyEvent } from '#shared/link/codec.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { Lane } from '#shared/link/lane.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { laneJoinTimeoutMs, wireVersions } from '#shared/link/limits.ts';
import type {
  DoorFinding,
  DoorQuestion,
  EventBody,
  EventName,
  Hello,
  OtherMain,
  Params,
  Policy,
  Result,
  StreamHeader,
  Verb,
} from '#shared/link/messages.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import { defaultTimeoutMs, type RequestOptions } from '#shared/link/requests.ts';
import type { Log } from '#shared/log.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import { version } from '#shared/version.ts';
import { EdgeReports, type EdgeReport } from './edge-reports.ts';
import { JoinedLink } from './joined-link.ts';
import {
  doorFindingsMax,
  otherMainShownForMs,
  otherMainToldEveryMs,
  parkForMsDefault,
  pendingConnectionsMax,
  turnedAwayMs,
} from './limits.ts';
import type { LinkBinding, MainHolder, MainLink } from './main-link.ts';
import { Parking } from './parking.ts';
import { TlsFromMain } from './tls-from-main.ts';

interface LinkClientOptions {
  readonly nodeName: string;
  readonly worker: number;
  /** Link port of each worker, for main to dial; asked at each hello. */
  readonly workerPorts: () => readonly number[];
  readonly validatedLogins: boolean;
  /** Signs what this node reports. */
  readonly signingKey: KeyObject;
  readonly configHash?: string;
  /** It has none of its own for its HTTPS door. Default false: main keeps its own to itself. */
  readonly wantsCertificate?: boolean;
  /** It has no SSH host keys of its own. */
  readonly wantsHostKeys?: boolean;
  /** Which main another worker of this node has; it is the only one for this one, too. */
  readonly heldElsewhere?: () => MainHolder | undefined;
  /** Told of each change; undefined: the link is down. */
  readonly onHeld?: (by: MainHolder | undefined) => void;
  /** Told of each report, also of one that is only counted for main. */
  readonly onReport?: (report: EdgeReport) => void;
  /** How long file operations wait for a link. */
  readonly parkForMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** In force until main has spoken: nobody may skip a code, nobody is exempt from bans. */
const strictPolicy: Policy = {
  validatedLogins: true,
  branding: { name: 'Sallyport' },
  neverBan: [],
  bans: [],
};

/** Requests that wait for main's answer or for a link, transfers for a lane, and events of the doors for main's audit. */
export type LinkWaiting = Readonly<Record<'answer' | 'link' | 'lane' | 'audit', number>>;

type Unsubscribe = () => void;
type BoundVerb =
  `login.${string}` | `enrol.${string}` | Exclude<Extract<Verb, `account.${string}`>, 'account.view'>;
type SurvivingVerb = Exclude<Verb, BoundVerb>;

/**
 * Reads are idempotent, file changes carry an operation number: these may be sent again on the next link. What a person
 * waits for in front of a form is told at once.
 */
function survivesLink(verb: Verb): verb is SurvivingVerb {
  return verb === 'account.view' || !/^(login|enrol|account)\./.test(verb);
}

export class LinkClient implements MainLink {
  readonly #options: LinkClientOptions;
  readonly #boot = randomId();
  readonly #pool = new FramePool();
  readonly #parking: Parking<JoinedLink>;
  /** Transfers that wait for a lane. */
  readonly #laneParking: Parking<void>;
  /** Connected, but main has not spoken fully. */
  readonly #joining = new Set<JoinedLink>();
  /** Second mains that were told so, until they hang up. */
  readonly #turnedAway = new Set<JoinedLink>();
  #toldOfOtherAt = -Infinity;
  /** Data connections before their JOIN frame. */
  readonly #joiningLanes = new Set<Lane>();
  #current: JoinedLink | undefined;
  #policy: Policy = strictPolicy;
  readonly tls = new TlsFromMain();
  #hostKeys: EventBody<'hostkeys'>['keys'] = [];
  readonly #reports: EdgeReports;
  #auditHead: EventBody<'audit.head'> | undefined;
  #health: EventBody<'node.health'> | undefined;
  #otherMain: { readonly from: string; readonly atMs: number } | undefined;
  #closed = false;
  readonly #upListeners = new Set<() => void>();
  readonly #downListeners = new Set<() => void>();
  readonly #policyListeners = new Set<(policy: Policy) => void>();
  readonly #doorAnswers = new Set<(question: DoorQuestion) => readonly DoorFinding[]>();
  readonly #endListeners = new Set<(key: string, reason: string) => void>();
  /** By handle: whose content was told. */
  readonly #contentHolders = new Map<number, () => void>();
  /** Came in the same read as the content, before whoever waits for that could take it. */
  readonly #changingAtOnce = new Set<number>();

  constructor(options: LinkClientOptions) {
    this.#options = options;
    this.#parking = new Parking(options.parkForMs ?? parkForMsDefault);
    this.#laneParking = new Parking(options.parkForMs ?? parkForMsDefault);
    this.#reports = new EdgeReports({
      node: options.nodeName,
      worker: options.worker,
      boot: this.#boot,
      signingKey: options.signingKey,
      clock: options.clock,
      send: (event) => this.#sendEvent('edge.event', event),
    });
  }

  // — what the front doors use —

  get isUp(): boolean {
    return this.#current !== undefined;
  }

  /** Data lanes of the present link. */
  get laneCount(): number {
    return this.#current?.laneCount ?? 0;
  }

  /** For the metrics: how much waits, and for what. */
  get waiting(): LinkWaiting {
    return {
      answer: this.#current?.session.inFlight ?? 0,
      link: this.#parking.size,
      lane: this.#laneParking.size,
      audit: this.#reports.size,
    };
  }

  get policy(): Policy {
    return this.#policy;
  }

  get hostKeys(): EventBody<'hostkeys'>['keys'] {
    return this.#hostKeys;
  }

  async request<V extends Verb>(
    verb: V,
    params: Params<V> | ((binding: LinkBinding) => Promise<Params<V>>),
    options: Partial<RequestOptions> = {},
  ): Promise<Result<V>> {
    const sendOptions = { ...options, timeoutMs: options.timeoutMs ?? defaultTimeoutMs(verb) };
    if (typeof params === 'function') {
      const link = this.#requireLink();
      const bound = await params(link.binding);
      return link.session.request(verb, bound, sendOptions);
    }
    if (!survivesLink(verb) || this.#closed)
      return this.#requireLink().session.request(verb, params, sendOptions);
    const key = 'session' in params ? sessionKey(params.session) : undefined;
    for (;;) {
      const link = this.#current ?? (await this.#parking.wait(key, options.signal));
      try {
        return await link.session.request(verb, params, sendOptions);
      } catch (error) {
        // A link that says so itself, while it is up, would have us ask for ever.
        if (this.#closed || link === this.#current || !isSallyportError(error, 'link-down')) throw error;
      }
    }
  }

  openStream(header: StreamHeader): LaneStream {
    return this.#requireLink().openStream(header);
  }

  async waitForLane(session: string): Promise<void> {
    if (this.#closed) this.#requireLink();
    while (this.laneCount === 0) await this.#laneParking.wait(sessionKey(session), undefined);
  }

  report(report: EdgeReport): void {
    this.#options.onReport?.(report);
    this.#reports.add(report);
  }

  tellHealth(findings: EventBody<'node.health'>['findings']): void {
    this.#health = { findings };
    this.#sendEvent('node.health', this.#health);
  }

  get otherMain(): string | undefined {
    const seen = this.#otherMain;
    if (seen === undefined || this.#options.clock.monotonic() - seen.atMs > otherMainShownForMs)
      return undefined;
    return seen.from;
  }

  onDoorAsked(answer: (question: DoorQuestion) => readonly DoorFinding[]): Unsubscribe {
    return subscribe(this.#doorAnswers, answer);
  }

  onUp(listener: () => void): Unsubscribe {
    return subscribe(this.#upListeners, listener);
  }

  onDown(listener: () => void): Unsubscribe {
    return subscribe(this.#downListeners, listener);
  }

  onPolicy(listener: (policy: Policy) => void): Unsubscribe {
    return subscribe(this.#policyListeners, listener);
  }

  holdContent(handle: number, onChanging: () => void): Unsubscribe {
    this.#contentHolders.set(handle, onChanging);
    if (this.#changingAtOnce.has(handle)) this.#changing(handle);
    return () => void this.#contentHolders.delete(handle);
  }

  onSessionEnded(listener: (key: string, reason: string) => void): Unsubscribe {
    return subscribe(this.#endListeners, listener);
  }

  // — what the listener hands over —

  /** A control connection of the pinned main, from `address`. `exporter`: its TLS exporter value, base64url. */
  acceptControl(transport: MessageTransport, exporter: string, address: string): void {
    if (this.#closed || this.#joining.size + this.#turnedAway.size >= pendingConnectionsMax) {
      transport.close('too many connections');
      return;
    }
    const { nodeName, worker, workerPorts, validatedLogins, configHash, clock, log } = this.#options;
    const { wantsCertificate, wantsHostKeys } = this.#options;
    const from = { from: address, sinceMs: clock.now() };
    const link: JoinedLink = new JoinedLink(exporter, from, {
      side: 'dmz',
      transport,
      clock,
      hello: (main) => {
        const otherMain = this.#turnAway(link, main);
        return {
          versions: [...wireVersions],
          name: nodeName,
          software: `sallyport ${version}`,
          boot: this.#boot,
          worker,
          workerPorts: [...workerPorts()],
          validatedLogins,
          ...(configHash !== undefined && { configHash }),
          ...(wantsCertificate !== undefined && { wantsCertificate }),
          ...(wantsHostKeys !== undefined && { wantsHostKeys }),
          ...(otherMain !== undefined && { otherMain }),
          ...(this.#auditHead !== undefined && { auditHead: this.#auditHead }),
        };
      },
      onOpen: () => undefined,
      onEvent: (event) => this.#receive(link, event),
      onClose: (reason, breach) => this.#linkClosed(link, reason, breach),
      onFailure: (error) => log.error({ err: error }, 'link: our own failure'),
    });
    this.#joining.add(link);
    link.session.start();
  }

  /** A data connection of the pinned main. Its first frame must show a token of a link that is alive. */
  acceptLane(transport: ByteTransport): void {
    if (this.#closed || this.#joiningLanes.size >= pendingConnectionsMax) {
      transport.close('too many connections');
      return;
    }
    const timer = setTimeout(() => lane.close('no join in time'), laneJoinTimeoutMs);
    let owner: JoinedLink | undefined;
    const lane: Lane = new Lane({
      side: 'dmz',
      transport,
      pool: this.#pool,
      roundTrip: { now: () => this.#options.clock.monotonic(), rttMs: () => owner?.session.rttMs },
      onJoin: (token) => {
        clearTimeout(timer);
        this.#joiningLanes.delete(lane);
        const links = this.#current === undefined ? [...this.#joining] : [this.#current, ...this.#joining];
        owner = links.find((link) => link.joinLane(token, lane));
        if (owner !== undefined && owner === this.#current) this.#laneParking.resume();
        return owner !== undefined;
      },
      onClose: (reason, breach) => {
        clearTimeout(timer);
        this.#joiningLanes.delete(lane);
        if (breach) this.#options.log.warn({ reason }, 'link: lane closed for a breach of the protocol');
        owner?.laneClosed(lane, reason, breach);
      },
      onFailure: (error) => this.#options.log.error({ err: error }, 'link: a stream handler failed'),
    });
    this.#joiningLanes.add(lane);
    lane.start();
  }

  close(): void {
    this.#closed = true;
    this.#reports.close();
    for (const lane of this.#joiningLanes) lane.close('shutting down');
    for (const link of [...this.#joining, ...this.#turnedAway]) link.session.close('shutting down');
    this.#current?.session.close('shutting down');
    for (const parking of [this.#parking, this.#laneParking])
      parking.dropAll(new SallyportError('link-down', 'Shutting down'));
  }

  #requireLink(): JoinedLink {
    if (this.#current === undefined)
      throw new SallyportError('link-down', 'The connection to the inside is down');
    return this.#current;
  }

  /** Who holds the link, if it is another process than the one that said this hello; the link is out then. */
  #turnAway(link: JoinedLink, { boot }: Hello): OtherMain | undefined {
    const here =
      this.#current ?? [...this.#joining].find((one) => one !== link && one.session.peer !== undefined);
    const holder = here === undefined ? this.#options.heldElsewhere?.() : holderOf(here);
    if (holder === undefined || holder.boot === boot) return undefined;
    this.#joining.delete(link);
    this.#turnedAway.add(link);
    setTimeout(() => link.session.close('another main holds the link'), turnedAwayMs).unref();
    const { clock, log } = this.#options;
    this.#otherMain = { from: link.from.from, atMs: clock.monotonic() };
    if (clock.monotonic() - this.#toldOfOtherAt >= otherMainToldEveryMs) {
      this.#toldOfOtherAt = clock.monotonic();
      log.error(
        { alarm: 'other-main', from: link.from.from, held: holder.from },
        'link: another main with the same key was turned away; stop one of the two',
      );
      here?.session.sendEvent('main.turned-away', link.from);
    }
    return holder.from;
  }

  #receive(link: JoinedLink, event: AnyEvent): void {
    if (this.#turnedAway.has(link)) return;
    switch (event.name) {
      case 'policy':
        this.#policy = event.body;
        if (this.#joining.delete(link)) this.#becomeCurrent(link);
        this.#notify(this.#policyListeners, (listener) => listener(event.body));
        return;
      case 'session.ended':
        this.#endSession(event.body.sessionKey, event.body.reason);
        return;
      case 'file.changing':
        this.#changing(event.body.handle);
        return;
      case 'audit.head':
        this.#rememberHead(link, event.body);
        return;
      case 'edge.taken':
        this.#reports.taken(event.body.boot, event.body.sequence);
        return;
      case 'door.asked':
        this.#answerDoor(link, event.body.id, event.body.question);
        return;
      case 'acme.challenges':
        this.tls.takeAnswers(event.body);
        link.session.sendEvent('acme.shown', { number: event.body.number });
        return;
      case 'https.certificate':
        this.tls.takeCertificate(event.body);
        return;
      case 'hostkeys':
        this.#hostKeys = event.body.keys;
        return;
      case 'door.standing':
      case 'lane.grant':
      case 'edge.event':
      case 'audit.known':
      case 'main.turned-away':
      case 'node.health':
      case 'acme.shown':
        // The codec lets none of these through from main.
        return;
    }
  }

  #answerDoor(link: JoinedLink, id: string, question: DoorQuestion): void {
    const findings = [...this.#doorAnswers].flatMap((answer) => answer(question)).slice(0, doorFindingsMax);
    link.session.sendEvent('door.standing', { id, findings });
  }

  #becomeCurrent(link: JoinedLink): void {
    const older = this.#current;
    this.#current = link;
    // The older one's requests are rejected here and wait below; then all go out on the new link in their order.
    older?.session.close('replaced by a newer link of main');
    this.#options.onHeld?.(holderOf(link));
    this.#options.log.info({ main: link.binding.mainName }, 'link: up');
    this.#parking.resume(link);
    if (link.laneCount > 0) this.#laneParking.resume();
    this.#reports.sendAgain();
    if (this.#health !== undefined) this.#sendEvent('node.health', this.#health);
    // After what was parked: it came first.
    queueMicrotask(() => this.#notify(this.#upListeners, (listener) => listener()));
  }

  #linkClosed(link: JoinedLink, reason: string, breach: boolean): void {
    const { log } = this.#options;
    this.#joining.delete(link);
    if (this.#turnedAway.delete(link)) return;
    if (breach) log.error({ reason }, 'link: main broke the protocol, link closed');
    else log.warn({ reason }, 'link: closed');
    if (this.#current !== link) return;
    this.#current = undefined;
    // What main says from now on is not heard.
    for (const handle of this.#contentHolders.keys()) this.#changing(handle);
    this.#options.onHeld?.(undefined);
    this.#notify(this.#downListeners, (listener) => listener());
  }

  #changing(handle: number): void {
    const onChanging = this.#contentHolders.get(handle);
    this.#contentHolders.delete(handle);
    if (onChanging !== undefined) {
      onChanging();
      return;
    }
    if (this.#changingAtOnce.size === 0) setImmediate(() => this.#changingAtOnce.clear());
    this.#changingAtOnce.add(handle);
  }

  #endSession(key: string, reason: string): void {
    const error = new SallyportError('no-session', 'The session has ended', { detail: reason });
    for (const parking of [this.#parking, this.#laneParking]) parking.dropSession(key, error);
    for (const lane of this.#current?.lanes() ?? []) {
      for (const session of lane.sessions())
        if (sessionKey(session) === key) lane.abortSession(session, error);
    }
    this.#notify(this.#endListeners, (listener) => listener(key, reason));
  }

  /** Never goes back. A main that does not fit what the hello said never gets to tell a head. */
  #rememberHead(link: JoinedLink, head: EventBody<'audit.head'>): void {
    const known = this.#auditHead;
    if (
      known === undefined ||
      head.start > known.start ||
      (head.start === known.start && head.sequence > known.sequence)
    )
      this.#auditHead = head;
    link.session.sendEvent('audit.known', this.#auditHead ?? head);
  }

  #sendEvent<E extends EventName>(name: E, body: EventBody<E>): void {
    try {
      this.#current?.session.sendEvent(name, body);
    } catch (error) {
      this.#options.log.error({ err: error }, `link: ${name} could not be sent`);
    }
  }

  #notify<L>(listeners: ReadonlySet<L>, call: (listener: L) => void): void {
    for (const listener of listeners) {
      try {
        call(listener);
      } catch (error) {
        this.#options.log.error({ err: error }, 'link: a listener failed');
      }
    }
  }
}

function holderOf({ session, from }: JoinedLink): MainHolder | undefined {
  return session.peer === undefined ? undefined : { boot: session.peer.boot, from };
}

function subscribe<L>(listeners: Set<L>, listener: L): Unsubscribe {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
