/**
 * The inner listener (D-01): the only place where the node and main meet. Main dials it; the node never dials (S-06).
 * Every connection's peer is proven to hold main's pinned key before anything it says is looked at.
 *
 * Trust: TLS handshakes of anybody who reaches the inner interface; after `requirePeer`, main's bytes.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Clock } from '#shared/clock.ts';
import { requireFingerprint } from '#shared/identity/fingerprint.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import {
  acceptOptions,
  buildLinkIdentity,
  controlProtocol,
  exporterOf,
  laneProtocol,
  requirePeer,
} from '#shared/link/link-tls.ts';
import { SocketTransport } from '#shared/link/socket-transport.ts';
import { ControlAcceptor } from '#shared/link/ws-transport.ts';
import type { Log } from '#shared/log.ts';
import type { ListenAt } from '#shared/process/inherited-sockets.ts';
import type { Secret } from '#shared/secret.ts';
import { handshakeTimeoutMs, linkConnectionsMax } from './limits.ts';
import type { EdgeReport } from './edge-reports.ts';
import { LinkClient, type LinkWaiting } from './link-client.ts';
import type { MainHolder, MainLink } from './main-link.ts';

export interface LinkListenerOptions {
  readonly listen: ListenAt;
  readonly identityKeyPem: Secret;
  /** Signs what this node reports. */
  readonly signingKeyPem: Secret;
  /** Fingerprint of main's key. */
  readonly mainIdentity: string;
  readonly nodeName: string;
  readonly validatedLogins: boolean;
  /** SHA-256 of the configuration, for main's list of nodes. */
  readonly configHash?: string;
  /** It has none of its own for its HTTPS door. Default false: main keeps its own to itself. */
  readonly wantsCertificate?: boolean;
  /** It has no SSH host keys of its own. */
  readonly wantsHostKeys?: boolean;
  /** Which worker this is; default 0. */
  readonly worker?: number;
  /** Link port of each worker, given this listener's own; default that alone. */
  readonly workerPorts?: (own: number) => readonly number[];
  /** As `LinkClient` has them. */
  readonly heldElsewhere?: () => MainHolder | undefined;
  readonly onHeld?: (by: MainHolder | undefined) => void;
  readonly onReport?: (report: EdgeReport) => void;
  /** How long file operations wait for a link that is down; default 60 s. */
  readonly parkForMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LinkListener {
  /** What the front doors use. */
  readonly link: MainLink;
  /** Bound port; 0 before `start`. */
  readonly port: number;
  /** How much waits, and for what. */
  readonly waiting: LinkWaiting;
  start(): Promise<void>;
  /** Ends the link: parked and running requests fail with `link-down`. */
  close(): Promise<void>;
}

const otherMainCure =
  "`sallyport nodes enrol` on main prints main's line: `sallyport node trust '<main's line>'` here takes it, then restart " +
  'the node. If main was restored with another key, or this box with an older dmz.yaml, that is why; else a stranger dials';
const ownKeyCure =
  'if it was main, it knows another key of this node: if this box or main was restored from a backup of before `node rotate`: `sallyport node show` here prints its line, ' +
  "`sallyport nodes enrol '<line>' --replace` on main takes it; then restart main-agent";

export function buildLinkListener(options: LinkListenerOptions): LinkListener {
  return new TlsLinkListener(options);
}

class TlsLinkListener implements LinkListener {
  readonly #options: LinkListenerOptions;
  readonly #mainIdentity: string;
  readonly #server: Server;
  /** Bounded by the server's `maxConnections`. */
  readonly #sockets = new Set<Socket>();
  readonly #client: LinkClient;
  readonly #control: ControlAcceptor;

  constructor(options: LinkListenerOptions) {
    this.#options = options;
    this.#mainIdentity = requireFingerprint(options.mainIdentity);
    const { nodeName, worker = 0, workerPorts, validatedLogins, configHash, parkForMs, clock, log } = options;
    this.#client = new LinkClient({
      nodeName,
      worker,
      workerPorts: () => workerPorts?.(this.port) ?? [this.port],
      validatedLogins,
      signingKey: parseIdentityKey(options.signingKeyPem).privateKey,
      ...(configHash !== undefined && { configHash }),
      ...(options.wantsCertificate !== undefined && { wantsCertificate: options.wantsCertificate }),
      ...(options.wantsHostKeys !== undefined && { wantsHostKeys: options.wantsHostKeys }),
      ...(parkForMs !== undefined && { parkForMs }),
      ...(options.heldElsewhere !== undefined && { heldElsewhere: options.heldElsewhere }),
      ...(options.onHeld !== undefined && { onHeld: options.onHeld }),
      ...(options.onReport !== undefined && { onReport: options.onReport }),
      clock,
      log,
    });
    this.#control = new ControlAcceptor((transport, socket) =>
      this.#client.acceptControl(transport, exporterOf(socket), socket.remoteAddress ?? 'unknown'),
    );
    const identity = buildLinkIdentity(options.identityKeyPem, nodeName);
    this.#server = createServer(acceptOptions(identity, handshakeTimeoutMs));
    this.#server.maxConnections = linkConnectionsMax;
    this.#server.on('error', (error) => log.error({ err: error }, 'link: the inner listener failed'));
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('secureConnection', (socket) => this.#accept(socket));
    this.#server.on('tlsClientError', (error, socket) => {
      // Main hangs up so when our key is not the one that it knows; who it was can't be told.
      const hint = 'code' in error && error.code === 'ECONNRESET' ? { hint: ownKeyCure } : {};
      log.warn({ err: error, peer: socket.remoteAddress, ...hint }, 'link: handshake failed');
      socket.destroy();
    });
  }

  get link(): MainLink {
    return this.#client;
  }

  get waiting(): LinkWaiting {
    return this.#client.waiting;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async start(): Promise<void> {
    this.#server.listen(this.#options.listen);
    await once(this.#server, 'listening');
  }

  async close(): Promise<void> {
    this.#client.close();
    if (!this.#server.listening) return;
    this.#server.close();
    // Those in the middle of a handshake or an upgrade belong to nobody yet, and would be waited for.
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #accept(socket: TLSSocket): void {
    const { clock, log } = this.#options;
    // Each user of the socket adds its own; an error must never be nobody's.
    socket.on('error', () => undefined);
    try {
      const protocol = requirePeer(
        socket,
        {
          fingerprints: [this.#mainIdentity],
          protocols: [controlProtocol, laneProtocol],
          cure: otherMainCure,
        },
        clock,
      );
      if (protocol === controlProtocol) this.#control.accept(socket);
      else this.#client.acceptLane(new SocketTransport(socket));
    } catch (error) {
      log.warn({ err: error, peer: socket.remoteAddress }, 'link: a stranger on the inner listener');
      socket.destroy();
    }
  }
}
