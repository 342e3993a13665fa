/**
 * Main's links to all its nodes: one dialer per worker, what main answers over them, what it tells them. The node's
 * first worker is dialled at the configured address; its hello names the ports of the others, on the same host.
 */
import type { Judgement } from '#main-agent/restored/starts.ts';
import type { Clock } from '#shared/clock.ts';
import { requireFingerprint } from '#shared/identity/fingerprint.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { buildLinkIdentity, type LinkIdentity } from '#shared/link/link-tls.ts';
import type {
  DoorFinding,
  DoorQuestion,
  EventBody,
  EventName,
  Hello,
  OtherMain,
  Policy,
} from '#shared/link/messages.ts';
import { RequestCounts } from '#shared/link/requests.ts';
import type { Log } from '#shared/log.ts';
import { Rate } from '#shared/rate.ts';
import { randomId } from '#shared/random-id.ts';
import type { Secret } from '#shared/secret.ts';
import type { LinkHandlers } from './dispatch.ts';
import type { Fault } from './faults.ts';
import {
  laneDialRate,
  missedEndingsMax,
  nodeRequestsMax,
  nodeRequestsPerSessionMax,
  otherMainRetryMs,
  workersMax,
} from './limits.ts';
import { NodeConnection } from './node-connection.ts';
import { NodeProcesses } from './node-processes.ts';
import { OperationLog } from './operations.ts';
import { WorkerDialer } from './worker-dialer.ts';

export interface DmzNode {
  readonly name: string;
  readonly address: { readonly host: string; readonly port: number };
  /** Fingerprint of the node's link key. */
  readonly identity: string;
}

export interface MainLinksOptions extends LinkHandlers {
  readonly nodes: readonly DmzNode[];
  /** The keys a node may show now; by default the one of its `identity`. */
  readonly identitiesOf?: (node: string) => readonly string[];
  readonly identityKeyPem: Secret;
  readonly mainName: string;
  readonly validatedLogins: boolean;
  /** Names this process in each hello. */
  readonly boot?: string;
  readonly policy: () => Policy;
  readonly onEdgeEvent: (node: string, worker: number, event: EventBody<'edge.event'>) => void;
  /** A worker's link is up, and it may be told things. */
  readonly onJoined?: (node: string, worker: number) => void;
  /** The highest audit head a worker was ever told. */
  readonly onChallengesShown?: (node: string, worker: number, shown: EventBody<'acme.shown'>) => void;
  readonly onAuditKnown?: (node: string, worker: number, head: EventBody<'audit.known'>) => void;
  /** Of what a worker says it was told: is it main's own word, and does the state know of it? */
  readonly judgeHead?: (node: string, head: EventBody<'audit.known'>) => Judgement['kind'];
  /** Another process with our key is about: `isHolder`: it has the node's link, and we do not. */
  readonly onOtherMain?: (node: string, other: OtherMain, isHolder: boolean) => void;
  /** A request failed by a fault of ours; resolves when that is written down, never rejects. */
  readonly onFault?: (fault: Fault) => Promise<void>;
  /** What a worker finds wrong with its node. */
  readonly onHealth?: (node: string, worker: number, health: EventBody<'node.health'>) => void;
  /** A node broke the protocol and its link was closed: for the audit and the admins. */
  readonly onAlarm?: (node: string, worker: number, reason: string) => void;
  /** A worker joined again as another process: what lived in the old one is gone. */
  readonly onWorkerRestart?: (node: string, worker: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** One worker's link as it is now. */
export interface LinkState {
  readonly node: string;
  readonly worker: number;
  readonly up: boolean;
  /** When it went up, or down. */
  readonly sinceMs: number;
  readonly epoch: number;
  readonly lanes: number;
  /** The node's clock minus main's. */
  readonly skewMs: number | undefined;
  readonly rttMs: number | undefined;
  readonly software: string | undefined;
  /** The node's own switch, as its hello said; undefined while the link is down. */
  readonly validatedLogins: boolean | undefined;
  /** It has no SSH host keys of its own; undefined while the link is down. */
  readonly wantsHostKeys: boolean | undefined;
  /** Of the node's configuration. */
  readonly configHash: string | undefined;
  /** Why it is down. */
  readonly lastError: string | undefined;
}

/** What one worker says of an address; without findings it could not be asked. */
export interface DoorStanding {
  readonly node: string;
  readonly worker: number;
  readonly findings: readonly DoorFinding[] | undefined;
}

export interface MainLinks {
  start(): void;
  close(): Promise<void>;
  /** To every worker of the node. A `session.ended` for a node that is away is told when it comes back. */
  sendToNode<E extends EventName>(node: string, event: E, body: EventBody<E>): void;
  /** The present policy, to everybody. */
  pushPolicy(): void;
  states(): readonly LinkState[];
  /** How an address stands at the doors: of that node, or of all. */
  askDoors(question: DoorQuestion, node?: string): Promise<readonly DoorStanding[]>;
  /** Revocation: the node's links end now and are not dialled again. False: no such node. */
  closeNode(node: string, reason: string): boolean;
  /** A node enrolled while main runs; also one that was closed. Replaces the node of that name. */
  addNode(node: DmzNode): void;
}

export function buildMainLinks(options: MainLinksOptions): MainLinks {
  return new Links(options);
}

/** One node's dialers, and what is kept for it between links. */
interface Registered {
  readonly node: DmzNode;
  readonly dialers: Map<number, WorkerDialer>;
  readonly operations: OperationLog;
  readonly atWork: RequestCounts;
  readonly laneDials: Rate;
  readonly epochs: Map<number, number>;
  readonly processes: NodeProcesses;
  /** Endings each worker has not been told of. */
  readonly missed: Map<number, EventBody<'session.ended'>[]>;
}

class Links implements MainLinks {
  readonly #options: MainLinksOptions;
  readonly #identity: LinkIdentity;
  readonly #boot: string;
  readonly #pool = new FramePool();
  readonly #nodes = new Map<string, Registered>();
  #started = false;

  constructor(options: MainLinksOptions) {
    this.#options = options;
    this.#boot = options.boot ?? randomId();
    this.#identity = buildLinkIdentity(options.identityKeyPem, options.mainName);
    for (const node of options.nodes) this.#register(node);
  }

  start(): void {
    this.#started = true;
    for (const registered of this.#nodes.values())
      this.#dialWorker(registered, 0, registered.node.address.port);
  }

  async close(): Promise<void> {
    this.#started = false;
    for (const name of this.#nodes.keys()) this.closeNode(name, 'main is shutting down');
  }

  sendToNode<E extends EventName>(node: string, event: E, body: EventBody<E>): void {
    const registered = this.#nodes.get(node);
    if (registered === undefined) return;
    for (const dialer of registered.dialers.values()) {
      if (dialer.connection !== undefined) dialer.connection.send(event, body);
      else if ('sessionKey' in body) this.#keepEnding(registered, dialer.worker, body);
    }
  }

  pushPolicy(): void {
    for (const { dialers } of this.#nodes.values())
      for (const dialer of dialers.values()) dialer.connection?.sendPolicy();
  }

  states(): readonly LinkState[] {
    return [...this.#nodes.values()].flatMap(({ node, dialers, epochs }) =>
      [...dialers.values()].map((dialer) => ({
        node: node.name,
        worker: dialer.worker,
        up: dialer.connection !== undefined,
        sinceMs: dialer.sinceMs,
        epoch: epochs.get(dialer.worker) ?? 0,
        lanes: dialer.connection?.laneCount ?? 0,
        skewMs: dialer.connection?.skewMs,
        rttMs: dialer.connection?.rttMs,
        software: dialer.connection?.software,
        validatedLogins: dialer.connection?.validatedLogins,
        wantsHostKeys: dialer.connection?.wantsHostKeys,
        configHash: dialer.connection?.configHash,
        lastError: dialer.lastError,
      })),
    );
  }

  askDoors(question: DoorQuestion, only?: string): Promise<readonly DoorStanding[]> {
    const asked = [...this.#nodes.values()].filter(({ node }) => only === undefined || node.name === only);
    return Promise.all(
      asked
        .flatMap(({ node, dialers }) => [...dialers.values()].map((dialer) => ({ node, dialer })))
        .map(async ({ node, dialer }) => ({
          node: node.name,
          worker: dialer.worker,
          findings: await dialer.connection?.askDoors(question),
        })),
    );
  }

  closeNode(node: string, reason: string): boolean {
    const registered = this.#nodes.get(node);
    if (registered === undefined) return false;
    this.#nodes.delete(node);
    for (const dialer of registered.dialers.values()) dialer.stop(reason);
    registered.processes.close();
    return true;
  }

  addNode(node: DmzNode): void {
    this.closeNode(node.name, 'replaced');
    const registered = this.#register(node);
    if (this.#started) this.#dialWorker(registered, 0, node.address.port);
  }

  #register(node: DmzNode): Registered {
    requireFingerprint(node.identity);
    const registered: Registered = {
      node,
      dialers: new Map(),
      operations: new OperationLog(this.#options.clock),
      atWork: new RequestCounts({ inAllMax: nodeRequestsMax, perSessionMax: nodeRequestsPerSessionMax }),
      laneDials: new Rate(laneDialRate, this.#options.clock.monotonic()),
      epochs: new Map(),
      processes: new NodeProcesses(),
      missed: new Map(),
    };
    this.#nodes.set(node.name, registered);
    return registered;
  }

  #dialWorker(registered: Registered, worker: number, port: number): void {
    const { node, dialers, epochs, processes, operations, atWork, laneDials, missed } = registered;
    const { clock, log, mainName, validatedLogins, policy, onEdgeEvent, onAlarm, onWorkerRestart } =
      this.#options;
    const dialer = new WorkerDialer({
      node: node.name,
      worker,
      host: node.address.host,
      port,
      identity: this.#identity,
      fingerprints: () => this.#options.identitiesOf?.(node.name) ?? [node.identity],
      clock,
      log,
      connect: ({ transport, exporter, dialLane, onClose }) => {
        const epoch = (epochs.get(worker) ?? 0) + 1;
        epochs.set(worker, epoch);
        return new NodeConnection({
          node: node.name,
          worker,
          epoch,
          exporter,
          transport,
          dialLane,
          mainName,
          boot: this.#boot,
          validatedLogins,
          handlers: this.#options,
          operations,
          atWork,
          laneDials,
          pool: this.#pool,
          policy,
          missedEndings: () => {
            const endings = missed.get(worker) ?? [];
            missed.delete(worker);
            return endings;
          },
          onOpen: (hello) => {
            dialer.markUp();
            log.info({ node: node.name, worker, epoch, software: hello.software }, 'link: up');
            const { gone, replaced } = processes.join(worker, hello.boot);
            if (replaced) onWorkerRestart?.(node.name, worker);
            if (worker === 0) this.#followWorkers(registered, hello);
            return gone;
          },
          onEdgeEvent: (event) => onEdgeEvent(node.name, worker, event),
          onJoined: () => this.#options.onJoined?.(node.name, worker),
          judgeHead: (head) => this.#options.judgeHead?.(node.name, head) ?? 'fits',
          onOtherMain: (other, isHolder) => {
            if (isHolder) dialer.waitNext(otherMainRetryMs);
            this.#options.onOtherMain?.(node.name, other, isHolder);
          },
          onChallengesShown: (shown) => this.#options.onChallengesShown?.(node.name, worker, shown),
          ...(this.#options.onFault !== undefined && { onFault: this.#options.onFault }),
          onHealth: (health) => this.#options.onHealth?.(node.name, worker, health),
          onAuditKnown: (head) => this.#options.onAuditKnown?.(node.name, worker, head),
          onClose: (reason, breach) => {
            if (breach) {
              log.error(
                { node: node.name, worker, reason },
                'link: the node broke the protocol, link closed',
              );
              onAlarm?.(node.name, worker, reason);
            } else {
              log.warn({ node: node.name, worker, reason }, 'link: closed');
            }
            onClose(reason);
            processes.lose(worker);
          },
          clock,
          log,
        });
      },
    });
    dialers.set(worker, dialer);
    dialer.start();
  }

  /** Dials the workers that the first one names, and lets go of those it names no more. */
  #followWorkers(registered: Registered, hello: Hello): void {
    const ports = (hello.workerPorts ?? []).slice(0, workersMax);
    for (const [worker, dialer] of registered.dialers) {
      if (worker === 0 || ports[worker] === dialer.port) continue;
      dialer.stop('the node has no such worker any more');
      registered.dialers.delete(worker);
      registered.processes.drop(worker);
    }
    for (const [worker, port] of ports.entries()) {
      if (worker > 0 && !registered.dialers.has(worker)) this.#dialWorker(registered, worker, port);
    }
  }

  #keepEnding(registered: Registered, worker: number, ending: EventBody<'session.ended'>): void {
    const endings = registered.missed.get(worker) ?? [];
    endings.push(ending);
    if (endings.length > missedEndingsMax) endings.shift();
    registered.missed.set(worker, endings);
  }
}
