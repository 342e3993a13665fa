import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Registry } from 'prom-client';
import { isHandedOver, type DoorListen } from '#dmz/guard/door-listen.ts';
import type { Guard } from '#dmz/guard/guard.ts';
import type { Endpoint } from '#dmz/guard/proxy-header.ts';
import { buildRealClients } from '#dmz/guard/real-clients.ts';
import type { LoginService } from '#dmz/login/login-service.ts';
import { Connection } from '#dmz/sftp/connection.ts';
import { sweepMs } from '#dmz/sftp/limits.ts';
import type { AlgorithmProfile } from '#dmz/sftp/transport/algorithms.ts';
import { buildTransportSetup, type HostKeySource, type TransportSetup } from '#dmz/sftp/transport/setup.ts';
import type { Clock } from '#shared/clock.ts';
import { sshServerVersion, type ClientAddress } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';

/**
 * The SFTP door: listens, asks the guard about each connection before a byte of it is read, and runs the deadlines.
 *
 * Trust: whoever can reach the port.
 */
export interface SftpServerOptions {
  readonly listen: DoorListen;
  /** Balancers that say in a PROXY header whose connection it is. */
  readonly proxiesFrom?: readonly string[] | undefined;
  readonly hostKeys: HostKeySource;
  readonly login: LoginService;
  readonly guard: Pick<Guard, 'admitConnection' | 'malformed'>;
  /** Where users set up two-factor authentication. */
  readonly publicUrl: string;
  /** Shown before authentication; asked for each connection because main may change it. */
  readonly banner?: () => string | undefined;
  readonly profile?: AlgorithmProfile;
  /** Part of what every login signs. */
  readonly listener?: string;
  /** A client asked for a shell, a port forwarding or the like. */
  readonly onRefused?: (what: string, client: ClientAddress) => void;
  readonly registry?: Registry | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SftpServer {
  start(): Promise<void>;
  /** Stops accepting; ends what is there after at most `drainMs`. */
  close(drainMs?: number): Promise<void>;
  /** Of its own listening socket. */
  address(): AddressInfo;
  /** For the metrics. */
  counts(): { readonly connections: number; readonly authenticated: number };
}

const ident = sshServerVersion.slice('SSH-2.0-'.length);
/** A socket that says nothing for this long is asked by the kernel whether it still is there. */
const keepAliveMs = 60_000;

export function buildSftpServer(options: SftpServerOptions): SftpServer {
  const { guard, clock, log } = options;
  const connections = new Set<Connection>();
  const onAllGone = new Set<() => void>();
  let server: Server | undefined;
  let sweeper: NodeJS.Timeout | undefined;

  function accept(socket: Socket, { ip, port }: Endpoint, setup: TransportSetup): void {
    // Without a word: who is dropped makes room at once.
    const admission = guard.admitConnection(ip, 'sftp', () => socket.destroy());
    if (!admission.admitted) {
      log.debug({ ip, reason: admission.reason }, 'ssh connection not admitted');
      socket.destroy();
      return;
    }
    socket.setKeepAlive(true, keepAliveMs);
    const connection: Connection = new Connection({
      socket,
      peer: { ip, port },
      setup,
      ident,
      admission,
      guard,
      login: options.login,
      listener: options.listener ?? 'sftp',
      publicUrl: options.publicUrl,
      banner: options.banner ?? (() => undefined),
      onRefused: options.onRefused ?? (() => undefined),
      clock,
      log,
      onClosed: () => {
        connections.delete(connection);
        if (connections.size === 0) for (const done of onAllGone) done();
      },
    });
    connections.add(connection);
  }

  return {
    async start() {
      const setup = await buildTransportSetup(options.hostKeys, options.profile ?? 'strict');
      const clients = buildRealClients({ ...options, protocol: 'sftp' });
      const arrive = (socket: Socket): void =>
        clients.accept(socket, (client) => accept(socket, client, setup));
      sweeper = setInterval(() => {
        for (const connection of connections) connection.sweep();
      }, sweepMs);
      sweeper.unref();
      if (isHandedOver(options.listen)) {
        options.listen.onConnection((socket) => {
          socket.setNoDelay(true);
          arrive(socket);
        });
        return;
      }
      const { listen } = options;
      // A client may end its side once it has asked; its answers still go out.
      const listening = createServer({ pauseOnConnect: false, noDelay: true }, arrive);
      listening.on('error', (error) => log.error({ err: error }, 'sftp listener'));
      listening.on('close', () => clients.close());
      await new Promise<void>((resolve, reject) => {
        listening.once('error', reject);
        listening.listen(listen, resolve);
      });
      server = listening;
    },

    async close(drainMs = 0) {
      const listening = server;
      server = undefined;
      const stopped = new Promise<void>((resolve) => {
        if (listening === undefined) resolve();
        else listening.close(() => resolve());
      });
      const allGone = () =>
        new Promise<void>((resolve) => {
          if (connections.size === 0) resolve();
          else onAllGone.add(resolve);
        });
      for (const connection of connections)
        if (drainMs === 0 || !connection.isAuthenticated) connection.disconnect('The server is going down');
      await waitAtMost(allGone(), drainMs);
      for (const connection of connections) connection.disconnect('The server is going down');
      await waitAtMost(allGone(), goodbyeMs);
      for (const connection of connections) connection.destroy();
      // Main may be away, and then it can't be told which uploads to keep; it finds that out by itself.
      await waitAtMost(
        Promise.all([allGone(), stopped]).then(() => undefined),
        farewellMs,
      );
      clearInterval(sweeper);
    },

    address() {
      const address = server?.address();
      if (address === null || address === undefined || typeof address === 'string')
        throw new Error('the sftp server is not listening');
      return address;
    },

    counts: () => ({
      connections: connections.size,
      authenticated: [...connections].filter((connection) => connection.isAuthenticated).length,
    }),
  };
}

/** For clients to read why they are being disconnected. */
const goodbyeMs = 500;
/** For main to be told that sessions and uploads end. */
const farewellMs = 1_000;

async function waitAtMost(what: Promise<void>, ms: number): Promise<void> {
  if (ms <= 0) return;
  let timer: NodeJS.Timeout | undefined;
  const elapsed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([what, elapsed]);
  clearTimeout(timer);
}
