import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { AggregatorRegistry, Counter, type MetricObjectWithValues, type MetricValue } from 'prom-client';
import { z } from 'zod';
import type { DmzConfig } from '#dmz/config.ts';
import type { DoorName } from '#dmz/guard/door-listen.ts';
import { defaultGuardLimits } from '#dmz/guard/limits.ts';
import { mergeExaminations, nothing, type Examination } from '#shared/health/check.ts';
import { examinationSchema } from '#shared/health/report.ts';
import { buildHealthServer, buildMetricsRegistry } from '#shared/health/health-server.ts';
import type { Reread } from '#shared/config/reload.ts';
import type { Log } from '#shared/log.ts';
import { resolveListen, type InheritedSockets, type ListenAt } from '#shared/process/inherited-sockets.ts';
import { startOrClose, type System } from '#shared/process/node-process.ts';
import { tellReload, withReloaded } from '#dmz/reload.ts';
import { linkName } from './count.ts';
import { forkWorker } from './fork.ts';
import { WorkerPool } from './pool.ts';

interface Surroundings {
  readonly configFile: string;
  readonly watched?: string;
  readonly workers: number;
  readonly env: NodeJS.ProcessEnv;
  readonly inherited: InheritedSockets;
  readonly reread: () => Promise<Reread<DmzConfig>>;
  /** As `DmzSurroundings` has them. */
  readonly credentials?: string;
  readonly renewed?: string;
  readonly log: Log;
}

/** A monitor waits five seconds. */
const askTimeoutMs = 2_000;
/** A certificate and a key are read from a disk. */
const reloadTimeoutMs = 10_000;

const metricsOf = z.custom<MetricObjectWithValues<MetricValue<string>>[]>(Array.isArray);

/**
 * The node's process when there are workers: has the listening sockets, hands each connection to the worker that its
 * source belongs to, and tells how all of them are. It reads no byte of a stranger's.
 */
export function startWorkers(config: DmzConfig, around: Surroundings): Promise<System> {
  return startOrClose(around.log, (closing) => startAll(config, around, closing));
}

async function startAll(
  config: DmzConfig,
  around: Surroundings,
  closing: AsyncDisposableStack,
): Promise<System> {
  const { configFile, watched, workers, env, inherited, reread, log } = around;
  let present = config;
  const registry = buildMetricsRegistry({ node: config.node });
  const pool = new WorkerPool({
    workers,
    startProcess: (...start) => forkWorker(env, ...start),
    seat: (worker) => ({ config: present, configFile, watched, link: linkOf(config, worker, inherited) }),
    awaitingCodePerUserMax: defaultGuardLimits.awaitingCodePerUserMax,
    bansMax: defaultGuardLimits.bansMax,
    log: log.child({ part: 'workers' }),
  });
  registry.registerMetric(
    new Counter({
      name: 'sallyport_worker_restarts_total',
      help: 'Workers that were started again after they had died or hung',
      registers: [],
      collect() {
        this.reset();
        this.inc(pool.restarts);
      },
    }),
  );
  const health =
    config.health.listen === undefined
      ? undefined
      : buildHealthServer({
          listen: resolveListen(config.health.listen, inherited),
          examine: async () => mergeWorkers(await pool.ask('checks', askTimeoutMs)),
          registry: {
            contentType: registry.contentType,
            metrics: async () => {
              const told = await pool.ask('metrics', askTimeoutMs);
              const all = told.flatMap((one) =>
                one.status === 'fulfilled' ? [metricsOf.parse(one.value)] : [],
              );
              return AggregatorRegistry.aggregate([await registry.getMetricsAsJSON(), ...all]).metrics();
            },
          },
          log: log.child({ part: 'health' }),
        });

  closing.defer(async () => health?.close());
  closing.defer(() => pool.stop());
  await pool.start();
  const listens = { https: config.https.listen, sftp: config.sftp.listen, plain: config.https.plainListen };
  for (const door of ['https', 'sftp', 'plain'] as const) {
    const listen = listens[door];
    if (listen === undefined) continue;
    const server = await openDoor(door, resolveListen(listen, inherited), pool, log);
    // Not awaited: Node would ask the workers, which have a stop of their own.
    closing.defer(() => void server.close());
  }
  await health?.start();
  log.info({ workers }, 'started');

  return {
    async reload() {
      const now = await reread();
      const failed = (await pool.ask('reload', reloadTimeoutMs)).find(({ status }) => status === 'rejected');
      if (failed?.status === 'rejected') throw failed.reason;
      // A worker that is started again is as the others are now.
      present = withReloaded(config, now.config);
      tellReload(now, config, around);
    },
    async close() {
      log.info('stopping');
      await closing.disposeAsync();
    },
  };
}

function linkOf({ link }: DmzConfig, worker: number, inherited: InheritedSockets): ListenAt {
  const { listen } = link;
  if (listen.type === 'tcp') return { host: listen.host, port: listen.port === 0 ? 0 : listen.port + worker };
  return resolveListen({ ...listen, name: linkName(listen.name, worker) }, inherited);
}

async function openDoor(door: DoorName, listen: ListenAt, pool: WorkerPool, log: Log): Promise<Server> {
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const { remoteAddress: ip } = socket;
    if (ip === undefined) socket.destroy();
    else pool.hand(door, ip, socket);
  });
  server.listen(listen);
  await once(server, 'listening');
  server.on('error', (error) => log.error({ err: error, door }, 'the listening socket failed'));
  return server;
}

/** What all workers say is the node's; what one says is that one's. */
function mergeWorkers(told: readonly PromiseSettledResult<unknown>[]): Examination {
  const answered = told.map((one) =>
    one.status === 'fulfilled' ? examinationSchema.safeParse(one.value).data : undefined,
  );
  const silent = answered.flatMap((one, worker) => (one === undefined ? [worker] : []));
  const key = ({ check, state, detail }: Examination['findings'][number]): string =>
    JSON.stringify([check, state, detail]);
  const said = answered.map((one) => new Set(one?.findings.map(key)));
  const everywhere = (finding: Examination['findings'][number]): boolean =>
    said.every((keys, worker) => keys.has(key(finding)) || silent.includes(worker));
  return mergeExaminations([
    {
      findings: [
        silent.length === 0
          ? { check: 'workers', state: 'good', affects: 'both', detail: 'all answer' }
          : {
              check: 'workers',
              state: 'bad',
              affects: 'both',
              detail: `workers do not answer: ${silent.join(', ')}`,
              hint: 'they are started again by themselves; journalctl -u dmz says why',
            },
      ],
      unlooked: [],
    },
    ...answered.map((one, worker): Examination => {
      if (one === undefined) return nothing;
      const findings = one.findings.map((finding) =>
        finding.state === 'good' || everywhere(finding)
          ? finding
          : { ...finding, detail: `worker ${worker}: ${finding.detail}` },
      );
      return { findings, unlooked: one.unlooked };
    }),
  ]);
}
