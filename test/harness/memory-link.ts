/**
 * A node and main joined without sockets: the real MainLink of the node, main's real dispatcher, the real codec, lanes
 * and streams between them. For tests of the front doors (give handlers, use `link`) and of main's services (use the
 * handlers through `link`, as a node would).
 */
import { generateKeyPairSync } from 'node:crypto';
import { LinkClient } from '#dmz/link/link-client.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import type {
  FileHandlers,
  LoginHandlers,
  SessionHandlers,
  AccountHandlers,
  StreamHandler,
} from '#main-agent/link/handlers.ts';
import { laneDialRate, nodeRequestsMax, nodeRequestsPerSessionMax } from '#main-agent/link/limits.ts';
import { NodeConnection } from '#main-agent/link/node-connection.ts';
import { OperationLog } from '#main-agent/link/operations.ts';
import type { SessionRegistry } from '#main-agent/sessions/session.ts';
import { systemClock, type Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { lanesPerLink } from '#shared/link/limits.ts';
import { buildMemoryBytes, buildMemoryMessages } from '#test/harness/memory-transport.ts';
import type { EventBody, Policy } from '#shared/link/messages.ts';
import { recordBytes, recordMessages, type LinkTap } from '#test/harness/recording-transport.ts';
import { RequestCounts } from '#shared/link/requests.ts';
import { buildLog, type Log } from '#shared/log.ts';
import { Rate } from '#shared/rate.ts';
import { randomId } from '#shared/random-id.ts';

/** What the node signs its events with. */
export const memorySigningKey = generateKeyPairSync('ed25519');

export interface MemoryLinkOptions {
  /** What main answers; a verb without a handler is answered `unsupported`. */
  readonly login?: Partial<LoginHandlers>;
  readonly session?: Partial<SessionHandlers>;
  readonly account?: Partial<AccountHandlers>;
  readonly files?: Partial<FileHandlers>;
  readonly onStream?: StreamHandler;
  /** Default: no session exists. */
  readonly sessions?: SessionRegistry;
  readonly policy?: () => Policy;
  readonly onEdgeEvent?: (event: EventBody<'edge.event'>) => void;
  readonly onChallengesShown?: (shown: EventBody<'acme.shown'>) => void;
  readonly onAuditKnown?: (head: EventBody<'audit.known'>) => void;
  readonly node?: string;
  readonly worker?: number;
  readonly mainName?: string;
  readonly parkForMs?: number;
  readonly clock?: Clock;
  readonly log?: Log;
  /** Sees every byte main sends. */
  readonly tap?: LinkTap;
}

export interface MemoryLink {
  /** The node's side. */
  readonly link: MainLink;
  /** Main's side of the present connection. */
  connection(): NodeConnection;
  /** Cuts control and lanes, as a lost network does. */
  cut(reason?: string): void;
  /** Joins again under the next epoch; resolves when the link is up with all its lanes. */
  join(): Promise<void>;
  close(): void;
}

/** Resolves when the link is up with all its lanes. */
export async function buildMemoryLink(options: MemoryLinkOptions = {}): Promise<MemoryLink> {
  const clock = options.clock ?? systemClock;
  const log = options.log ?? buildLog('silent', {});
  const worker = options.worker ?? 0;
  const pool = new FramePool();
  const operations = new OperationLog(clock);
  const atWork = new RequestCounts({ inAllMax: nodeRequestsMax, perSessionMax: nodeRequestsPerSessionMax });
  const client = new LinkClient({
    nodeName: options.node ?? 'dmz1',
    worker,
    workerPorts: () => [8444],
    validatedLogins: true,
    wantsCertificate: true,
    signingKey: memorySigningKey.privateKey,
    ...(options.parkForMs !== undefined && { parkForMs: options.parkForMs }),
    clock,
    log,
  });
  const boot = randomId();
  let epoch = 0;
  let connection: NodeConnection | undefined;

  const join = async (): Promise<void> => {
    epoch += 1;
    const [nodeEnd, mainEnd] = buildMemoryMessages();
    const exporter = randomId();
    const joined = new NodeConnection({
      node: options.node ?? 'dmz1',
      worker,
      epoch,
      exporter,
      transport: options.tap === undefined ? mainEnd : recordMessages(mainEnd, options.tap),
      mainName: options.mainName ?? 'main1',
      boot,
      validatedLogins: true,
      handlers: {
        hostKeys: withDefaults({}),
        login: withDefaults(options.login),
        session: withDefaults(options.session),
        account: withDefaults(options.account),
        files: withDefaults(options.files),
        onStream: options.onStream ?? ((_header, stream) => stream.reset(unsupported('stream'))),
        sessions: options.sessions ?? noSessions,
      },
      operations,
      atWork,
      // A new one each time: a test cuts links faster than its clock goes, and is no node that has main dial without end.
      laneDials: new Rate(laneDialRate, clock.monotonic()),
      pool,
      policy: options.policy ?? (() => defaultPolicy),
      missedEndings: () => [],
      dialLane: async () => {
        const [nodeLane, mainLane] = buildMemoryBytes();
        client.acceptLane(nodeLane);
        return options.tap === undefined ? mainLane : recordBytes(mainLane, options.tap);
      },
      onOpen: () => new AbortController().signal,
      onEdgeEvent: options.onEdgeEvent ?? (() => undefined),
      onChallengesShown: options.onChallengesShown ?? (() => undefined),
      onAuditKnown: options.onAuditKnown ?? (() => undefined),
      onClose: () => undefined,
      clock,
      log,
    });
    connection = joined;
    client.acceptControl(nodeEnd, exporter, '127.0.0.1');
    joined.start();
    // Everything between the two ends moves in microtasks.
    for (let turn = 0; turn < 1000 && !(client.isUp && client.laneCount === lanesPerLink); turn += 1)
      await Promise.resolve();
    if (!client.isUp || client.laneCount !== lanesPerLink) throw new Error('the memory link did not come up');
  };

  await join();
  return {
    link: client,
    connection: () => {
      if (connection === undefined) throw new Error('never joined');
      return connection;
    },
    cut: (reason = 'cut') => connection?.close(reason),
    join,
    close: () => {
      client.close();
      connection?.close('closed');
    },
  };
}

const defaultPolicy: Policy = {
  validatedLogins: true,
  branding: { name: 'Sallyport' },
  neverBan: [],
  bans: [],
};

const noSessions: SessionRegistry = {
  require: () => {
    throw new SallyportError('no-session', 'No such session');
  },
  list: () => [],
  end: async () => false,
  endAllOf: async () => 0,
};

function unsupported(name: string): SallyportError {
  return new SallyportError('unsupported', 'Not supported', {
    detail: `no handler for ${name} in this test`,
  });
}

/** The given handlers; any other rejects `unsupported`. */
function withDefaults<T extends object>(handlers: Partial<T> | undefined): T {
  return new Proxy((handlers ?? {}) as T, {
    get: (target, name) =>
      Reflect.get(target, name) ??
      (() => Promise.reject(unsupported(typeof name === 'string' ? name : 'it'))),
  });
}
