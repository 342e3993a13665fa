import { mkdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { loadDmzConfig, type DmzConfig } from '#dmz/config.ts';
import { Parking } from '#dmz/link/parking.ts';
import { startDmz } from '#dmz/system.ts';
import { startWorkers } from '#dmz/workers/node.ts';
import { loadMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { HandleTable } from '#main-agent/files/handles.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { findFreePort, holdPort } from '#scripts/demonstration/free-port.ts';
import { provisionSite } from '#scripts/demonstration/provision.ts';
import { type SiteFiles, siteFiles } from '#scripts/demonstration/site-files.ts';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { type Clock, systemClock } from '#shared/clock.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { Lane } from '#shared/link/lane.ts';
import { IncomingRequests, OutgoingRequests } from '#shared/link/requests.ts';
import { buildLog } from '#shared/log.ts';
import { waitUntil } from './product.ts';
import { unchanged } from './unchanged.ts';

/**
 * Both nodes in this process (workers have their own), with real doors, link and disk: for tests that break something below them and count what
 * is held afterwards. One at a time.
 */
export interface WholeProduct {
  readonly files: SiteFiles;
  readonly https: string;
  readonly sftpPort: number;
  password(user: string): string;
  /** Audit records, oldest first. */
  audit(): Promise<readonly Record<string, unknown>[]>;
  /** What a monitor gets from `/metrics`. */
  metrics(of: 'dmz' | 'main'): Promise<string>;
  /** And from `/healthz`. */
  health(of: 'dmz' | 'main'): Promise<string>;
  /** What either node holds now for its clients. */
  held(): Promise<Held>;
  close(): Promise<void>;
}

export interface Held {
  /** Of the whole process, sockets too. */
  readonly descriptors: number;
  /** Names in main's staging folder that are neither its journal nor notes of commits. */
  readonly staging: readonly string[];
  readonly handles: number;
  /** At both ends. */
  readonly streams: number;
  /** Buffers of lanes that are given out. */
  readonly frames: number;
  /** Under way at both ends, or waiting for a link. */
  readonly requests: number;
}

export interface WholeProductOptions {
  readonly users: readonly DemoUser[];
  /** Where everything of it lies; a new folder if absent. */
  readonly folder?: string;
  /** The node's, where it is one process. */
  readonly clock?: Clock;
  /** Processes of the node. */
  readonly workers?: number;
  readonly changeMain?: (config: MainAgentConfig) => MainAgentConfig;
  readonly changeDmz?: (config: DmzConfig) => DmzConfig;
}

/** Where a watch would leave what it found. */
export function watchedBeside(config: string): string {
  return join(dirname(config), 'watched');
}

/** Starting takes a second or two; a machine under load may need many more. */
const upMs = 60_000;

export async function startWholeProduct({
  users,
  folder,
  clock = systemClock,
  workers = 1,
  changeMain = (config) => config,
  changeDmz = (config) => config,
}: WholeProductOptions): Promise<WholeProduct> {
  const base = folder ?? (await mkdtemp(join(tmpdir(), 'sallyport-whole-')));
  const files = siteFiles(join(base, 'site'));
  const [httpsPort, sftpPort] = [findFreePort(), findFreePort()];
  const secrets = await provisionSite(files, { httpsPort, sftpPort, users });
  mkdirSync(dirname(files.main.socket), { recursive: true });
  const tables = watchTables();
  const log = buildLog('silent', {});
  const [oneDmz, oneMain] = [
    await loadDmzConfig(files.dmz.config),
    await loadMainAgentConfig(files.main.config),
  ];
  const linkPort = findPortsInARow(workers);
  const dmzConfig = changeDmz({
    ...oneDmz,
    link: { ...oneDmz.link, listen: { type: 'tcp', host: '127.0.0.1', port: linkPort } },
  });
  const mainConfig = changeMain({
    ...oneMain,
    dmzNodes: oneMain.dmzNodes.map((node) => ({ ...node, address: { host: '127.0.0.1', port: linkPort } })),
  });
  const inherited = new Map();
  const around = {
    configFile: files.dmz.config,
    watched: watchedBeside(files.dmz.config),
    log,
    inherited,
    reread: async () => unchanged(dmzConfig),
  };
  const dmz =
    workers === 1
      ? await startDmz(dmzConfig, { ...around, clock })
      : await startWorkers(dmzConfig, { ...around, workers, env: process.env });
  const main = await startMainAgent(mainConfig, {
    clock: systemClock,
    log,
    inherited,
    watched: watchedBeside(files.main.config),
    reread: async () => unchanged(mainConfig),
    onStateFailure: () => undefined,
  });
  const monitorOf = (of: 'dmz' | 'main'): string => {
    const { listen } = { dmz: dmzConfig, main: mainConfig }[of].health;
    if (listen?.type !== 'tcp') throw new Error(`${of} has no port for monitors`);
    return `http://127.0.0.1:${listen.port}`;
  };
  await waitUntil(async () => (await fetch(`${monitorOf('dmz')}/readyz`)).ok, upMs);
  return {
    files,
    https: `https://localhost:${httpsPort}`,
    sftpPort,
    password: (user) => secrets.users[user]?.password ?? '',
    async audit() {
      const lines = (await readFile(files.main.audit, 'utf8')).split('\n');
      return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    metrics: async (of) => (await fetch(`${monitorOf(of)}/metrics`)).text(),
    health: async (of) => (await fetch(`${monitorOf(of)}/healthz`)).text(),
    async held() {
      const staging = await readdir(join(files.files, '.sallyport-staging'));
      return {
        descriptors: (await readdir('/proc/self/fd')).length,
        staging: staging.filter((name) => !/\.journal$|\.done$/.test(name)).sort(),
        ...tables.count(),
      };
    },
    async close() {
      tables.unwatch();
      await main.close();
      await dmz.close();
      if (folder === undefined) await rm(base, { recursive: true, force: true });
    },
  };
}

/** Each worker's link has the port after the one before it. */
function findPortsInARow(count: number): number {
  for (let tries = 0; tries < 32; tries += 1) {
    const port = findFreePort();
    try {
      for (let more = 1; more < count; more += 1) holdPort(port + more, 'a worker');
      return port;
    } catch {
      // Somebody has one of them.
    }
  }
  throw new Error(`no ${count} ports in a row are free`);
}

/** All tables that are made from here on, by the methods that fill them. */
function watchTables() {
  const made = { handles: new Set<HandleTable>(), lanes: new Set<Lane>(), pools: new Set<FramePool>() };
  const [outgoing, incoming] = [new Set<OutgoingRequests>(), new Set<IncomingRequests>()];
  const parked = new Set<Parking<unknown>>();
  const unwatch = [
    noteThis(HandleTable.prototype, 'reserve', made.handles),
    noteThis(Lane.prototype, 'start', made.lanes),
    noteThis(FramePool.prototype, 'acquire', made.pools),
    noteThis(OutgoingRequests.prototype, 'request', outgoing),
    noteThis(IncomingRequests.prototype, 'begin', incoming),
    noteThis(Parking.prototype, 'wait', parked),
  ];
  return {
    count: () => ({
      handles: sum(made.handles, (table) => [...table.list()].length),
      streams: sum(made.lanes, (lane) => lane.streamCount),
      frames: sum(made.pools, (pool) => pool.lent),
      requests:
        sum(outgoing, (one) => one.inFlight) +
        sum(incoming, (one) => one.inFlight) +
        sum(parked, (one) => one.size),
    }),
    unwatch: () => {
      for (const stop of unwatch) stop();
    },
  };
}

/** `method` by its name, so that a method that is gone is a failure of the compiler. */
function noteThis<M extends string, T extends Readonly<Record<M, unknown>>>(
  prototype: T,
  method: M,
  found: Set<T>,
): () => void {
  const original = Reflect.get(prototype, method) as (...args: unknown[]) => unknown;
  Reflect.set(prototype, method, function (this: T, ...args: unknown[]) {
    found.add(this);
    return Reflect.apply(original, this, args);
  });
  return () => void Reflect.set(prototype, method, original);
}

function sum<T>(all: ReadonlySet<T>, count: (one: T) => number): number {
  let total = 0;
  for (const one of all) total += count(one);
  return total;
}
