import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { parseRotationLine } from '#shared/pairing/rotation-line.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import type { KnownNodes } from './known-nodes.ts';
import type { MainLinks } from './links.ts';

/** What admins may do to nodes: see them, trust them no more, trust them again, give them new keys. */

export interface NodeAdmin {
  list(): readonly NodeReport[];
  /** For good: its links end now, its sessions and leases with them, and a restart does not dial it. Sessions ended. */
  revoke(name: string, why: AdminReason): Promise<number>;
  /** Takes a revocation back. */
  unrevoke(name: string, why: AdminReason): Promise<void>;
  /** New keys by a line that the node's present key signed; both are good for `overlapMs`. */
  rotate(
    line: string,
    overlapMs: number,
    why: AdminReason,
  ): Promise<{ readonly name: string; readonly identity: string }>;
}

/** One DMZ node as main sees it now. */
export interface NodeReport {
  readonly name: string;
  readonly address: string;
  readonly state: 'up' | 'down' | 'revoked';
  readonly identity: string;
  readonly signingKey: string;
  readonly revoked?: { readonly atMs: number; readonly by: string; readonly reason: string };
  readonly rotation?: { readonly oldIdentity: string; readonly untilMs: number };
  readonly links: readonly {
    readonly worker: number;
    readonly up: boolean;
    readonly sinceMs?: number;
    readonly epoch: number;
    readonly lanes?: number;
    readonly software?: string;
    readonly clockSkewMs?: number;
    readonly rttMs?: number;
    readonly configHash?: string;
    /** Why it is down. */
    readonly problem?: string;
  }[];
}

export function buildNodeAdmin(parts: {
  readonly known: KnownNodes;
  readonly links: Pick<MainLinks, 'states' | 'closeNode' | 'addNode'>;
  /** Sessions, leases and logins of a node. */
  readonly endNode: (node: string, reason: string) => Promise<number>;
  readonly clock: Clock;
  readonly log: Log;
}): NodeAdmin & {
  start(): Promise<void>;
  /** After another configuration: the overlaps of the nodes that are known now, and of no others. */
  watchOverlaps(): void;
  close(): void;
} {
  const { clock, endNode, known, links, log } = parts;
  const overlaps = new Map<string, NodeJS.Timeout>();

  /** When the old key dies, so does a link that stands on it. */
  function watchOverlap(name: string): void {
    clearTimeout(overlaps.get(name));
    const rotation = known.rotationOf(name);
    if (rotation === undefined) return;
    const timer = setTimeout(() => {
      overlaps.delete(name);
      log.warn({ node: name, identity: rotation.oldIdentity }, 'the old key of a node is dead');
      // It may be revoked or not be configured any more by now.
      const node = known.trusted().find((one) => one.name === name);
      if (node !== undefined) links.addNode(node);
    }, rotation.overlapUntilMs - clock.now());
    overlaps.set(name, timer.unref());
  }

  function watchOverlaps(): void {
    for (const timer of overlaps.values()) clearTimeout(timer);
    overlaps.clear();
    for (const { name } of known.list()) watchOverlap(name);
  }

  return {
    list: () => known.list().map(({ name }) => report(name, known, links)),

    async revoke(name, why) {
      await known.revoke(name, why);
      log.error({ node: name, by: why.actor }, 'node revoked');
      links.closeNode(name, 'revoked');
      return endNode(name, 'the node is revoked');
    },

    async unrevoke(name, why) {
      links.addNode(await known.unrevoke(name, why));
    },

    async rotate(line, overlapMs, why) {
      const { id, identity } = await known.rotate(parseRotationLine(line), overlapMs, why);
      watchOverlap(id);
      return { name: id, identity };
    },

    /** What a crash between a revocation and its ends left behind. */
    async start() {
      for (const { name } of known.list())
        if (known.revocationOf(name) !== undefined) await endNode(name, 'the node is revoked');
      watchOverlaps();
    },

    watchOverlaps,

    close() {
      for (const timer of overlaps.values()) clearTimeout(timer);
    },
  };
}

function report(name: string, known: KnownNodes, links: Pick<MainLinks, 'states'>): NodeReport {
  const { address, ...node } = known.require(name);
  const { identity, signingKey } = known.keysOf(name) ?? node;
  const own = links.states().filter((one) => one.node === name);
  const revocation = known.revocationOf(name);
  const rotation = known.rotationOf(name);
  const isUp = own.some((one) => one.up);
  return {
    name,
    address: `${address.host}:${address.port}`,
    state: revocation === undefined ? (isUp ? 'up' : 'down') : 'revoked',
    identity,
    signingKey,
    ...(revocation !== undefined && {
      revoked: { atMs: revocation.createdAtMs, by: revocation.createdBy, reason: revocation.reason },
    }),
    ...(rotation !== undefined && {
      rotation: { oldIdentity: rotation.oldIdentity, untilMs: rotation.overlapUntilMs },
    }),
    links: own.map(
      ({ worker, up, sinceMs, epoch, lanes, software, skewMs, rttMs, configHash, lastError }) => ({
        worker,
        up,
        sinceMs,
        epoch,
        lanes,
        ...(software !== undefined && { software }),
        ...(skewMs !== undefined && { clockSkewMs: skewMs }),
        ...(rttMs !== undefined && { rttMs }),
        ...(configHash !== undefined && { configHash }),
        ...(lastError !== undefined && { problem: lastError }),
      }),
    ),
  };
}
