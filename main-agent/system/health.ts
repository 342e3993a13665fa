import { X509Certificate } from 'node:crypto';
import type { Doctor } from '#main-agent/doctor/doctor.ts';
import { registerMetrics, type Measured } from '#main-agent/metrics.ts';
import { measureRoom, measureState } from '#main-agent/places.ts';
import { buildHealthServer, buildMetricsRegistry } from '#shared/health/health-server.ts';
import type { Clock } from '#shared/clock.ts';
import { resolveListen } from '#shared/process/inherited-sockets.ts';
import type { Ground } from './ground.ts';
import type { Logins } from './logins.ts';
import type { People } from './people.ts';
import type { Readers } from './readers.ts';
import type { Records } from './records.ts';
import type { startAdministration } from './administration.ts';

interface Parts {
  readonly records: Records;
  readonly people: People;
  readonly logins: Logins;
  readonly readers: Readers;
  readonly administration: Awaited<ReturnType<typeof startAdministration>>;
  readonly doctor: Doctor;
}

/** What a monitor may ask: checks and metrics. */
export async function startHealth(ground: Ground, parts: Parts) {
  const { config, around, part, closing } = ground;
  const registry = buildMetricsRegistry({ main: config.name });
  registerMetrics(registry, measure(ground, parts));
  if (config.health.listen === undefined) return;
  const health = buildHealthServer({
    listen: resolveListen(config.health.listen, around.inherited),
    examine: () => parts.doctor.examine('kept'),
    registry,
    log: part('health'),
  });
  closing.defer(() => health.close());
  await health.start();
}

/** How old an answer may be that takes a look at many users. */
const usersFreshMs = 5 * 60_000;

function measure({ config, around: { clock } }: Ground, parts: Parts): Measured {
  const { records, people, logins, readers, administration, doctor } = parts;
  const { login, bans, nodes } = logins;
  return {
    auditCounts: records.auditCounts,
    links: nodes.links,
    sessions: () => login.sessions.list().length,
    capacity: () => login.admin.capacity(),
    deliveries: people.deliveries,
    transfers: () => people.files.transferCounts(),
    audit: async () => ({
      last: (await records.state.read('audit-extent')).last,
      file: records.feed.head().sequence,
      readers: readers.positions(),
    }),
    bans: () => [
      { by: 'main', count: bans.list().length },
      { by: 'node', count: bans.listEdge().length },
    ],
    users: () => {
      const all = [...people.users.list()];
      return (['active', 'disabled'] as const).map((status) => ({
        status,
        count: all.filter((user) => user.status === status).length,
      }));
    },
    passwordAlone: keepFresh(clock, async () => (await login.admin.passwordAlone()).count),
    factors: keepFresh(clock, () => login.admin.factorCounts()),
    problems: async () =>
      (await doctor.examine('kept')).findings.filter(({ state }) => state === 'bad').length,
    room: () => measureRoom(config),
    stateBytes: () => measureState(config),
    certificateEndsAtMs: () => {
      const pem = administration.certificatePem();
      return pem === undefined ? undefined : new X509Certificate(pem).validToDate.getTime();
    },
  };
}

/** Asks again when the last answer is too old. */
function keepFresh<T>(clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let last: { readonly atMs: number; readonly answer: Promise<T> } | undefined;
  return () => {
    const nowMs = clock.monotonic();
    if (last === undefined || nowMs - last.atMs > usersFreshMs) last = { atMs: nowMs, answer: ask() };
    return last.answer;
  };
}
