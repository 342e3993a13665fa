import type { Socket } from 'node:net';
import { Counter, type Registry } from 'prom-client';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { Protocol } from '#shared/login.ts';
import { parseProxyHeader, proxyHeaderBytesMax, type Endpoint, type ProxyHeader } from './proxy-header.ts';
import { Networks, plainAddress } from '#shared/networks.ts';

/**
 * Says of each connection of a door who it really comes from (D-68): the peer of the socket, or, behind a balancer, the
 * client that the balancer names in a PROXY header. That address is then *the* address: nobody above asks the socket.
 *
 * The header is required from the listed peers and nobody else may send one: a door that took it from anybody would let
 * a client choose its own address, and one that took its absence from a balancer would let a client behind it be the
 * balancer.
 *
 * Trust: everything before the header comes from whoever can reach the port.
 */
export interface RealClientsOptions {
  readonly protocol: Protocol;
  /** Balancers, as addresses and networks; undefined or empty: clients connect by themselves. */
  readonly proxiesFrom?: readonly string[] | undefined;
  readonly registry?: Registry | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** For tests; the defaults are below. */
  readonly headerTimeoutMs?: number | undefined;
  readonly waitingMax?: number | undefined;
}

interface RealClients {
  /**
   * `socket`: as the listener has it, before a byte of it was read. `admit` is called once, with the header read off and
   * none of the client's own bytes taken; never for a connection that is cut.
   */
  accept(socket: Socket, admit: (client: Endpoint) => void): void;
  /** Ends what has not yet said who it is. */
  close(): void;
}

/** A balancer sends its header at once; five seconds are for one whose first packet was lost and sent again. */
const headerTimeoutMs = 5_000;
/**
 * Connections that wait for their header. Each costs a socket and at most 4 KiB; the oldest goes when there are more, so
 * that a balancer under attack keeps passing on new clients.
 */
const waitingMax = 4_096;
/** One log line per peer and reason a minute: each refusal costs a stranger one packet. */
const tellEveryMs = 60_000;
/** Peers whose last line is remembered. */
const toldMax = 1_024;

type Refusal = 'unlisted-peer' | 'invalid-header' | 'late-header' | 'too-many-waiting';

export function buildRealClients(options: RealClientsOptions): RealClients {
  const { protocol, clock, log } = options;
  const proxies = options.proxiesFrom ?? [];
  const balancers = new Networks(proxies);
  const isBehindBalancer = proxies.length > 0;
  const waiting = new Map<Socket, () => void>();
  const toldAt = new BoundedMap<number>(toldMax);
  const refusals = isBehindBalancer ? countRefusals(options.registry) : undefined;

  function refuse(socket: Socket, reason: Refusal, why: string): void {
    const peer = plainAddress(socket.remoteAddress ?? '');
    socket.destroy();
    refusals?.inc({ door: protocol, reason });
    const key = `${peer} ${reason}`;
    const now = clock.monotonic();
    if (now - (toldAt.get(key) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    toldAt.set(key, now);
    log.warn({ peer, door: protocol, reason, why }, 'a connection without the PROXY header it needs was cut');
  }

  /** The header, and not a byte more, is taken from the socket. */
  function readHeader(socket: Socket, peer: Endpoint, admit: (client: Endpoint) => void): void {
    let taken: Buffer = Buffer.alloc(0);
    const late = setTimeout(
      () => end('late-header', 'no whole header in time'),
      options.headerTimeoutMs ?? headerTimeoutMs,
    );
    const stop = (): void => {
      clearTimeout(late);
      waiting.delete(socket);
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('close', stop);
    };
    const end = (reason: Refusal, why: string): void => {
      stop();
      refuse(socket, reason, why);
    };
    // A balancer looks whether the port is open and hangs up: its health check.
    const onEnd = (): void => {
      if (taken.length > 0) end('invalid-header', 'ended inside the header');
      else {
        stop();
        socket.destroy();
      }
    };
    const onReadable = (): void => {
      for (let bytes = read(socket); bytes !== null; bytes = read(socket)) {
        taken = taken.length === 0 ? bytes : Buffer.concat([taken, bytes]);
        const header: ProxyHeader = parseProxyHeader(taken);
        if (header.state === 'invalid') return end('invalid-header', header.why);
        if (header.state === 'incomplete') {
          if (taken.length >= proxyHeaderBytesMax) return end('invalid-header', 'too long');
          continue;
        }
        stop();
        const rest = taken.subarray(header.bytes);
        if (rest.length > 0) socket.unshift(rest);
        admit(header.client ?? peer);
        return;
      }
    };
    waiting.set(socket, () => end('too-many-waiting', 'many connections without a header'));
    const [oldest] = waiting.values();
    if (waiting.size > (options.waitingMax ?? waitingMax)) oldest?.();
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.on('close', stop);
  }

  return {
    accept(socket, admit) {
      // Whoever goes away shows as 'close'.
      socket.on('error', () => undefined);
      const ip = socket.remoteAddress;
      if (ip === undefined) {
        socket.destroy();
        return;
      }
      const peer = { ip: plainAddress(ip), port: socket.remotePort ?? 0 };
      if (!isBehindBalancer) admit(peer);
      else if (balancers.has(peer.ip)) readHeader(socket, peer, admit);
      else refuse(socket, 'unlisted-peer', 'not in proxy_protocol.from');
    },

    close() {
      for (const socket of waiting.keys()) socket.destroy();
    },
  };
}

function read(socket: Socket): Buffer | null {
  const bytes: unknown = socket.read();
  return Buffer.isBuffer(bytes) ? bytes : null;
}

const refusalsName = 'sallyport_proxy_protocol_refused_total';

/** One counter for both doors. */
function countRefusals(registry: Registry | undefined): Counter | undefined {
  if (registry === undefined) return undefined;
  const present = registry.getSingleMetric(refusalsName);
  if (present instanceof Counter) return present;
  return new Counter({
    name: refusalsName,
    help: 'Connections cut because a PROXY header was missing, wrong or from a peer that may send none',
    labelNames: ['door', 'reason'],
    registers: [registry],
  });
}
