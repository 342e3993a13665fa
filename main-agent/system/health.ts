import { findDisagreements } from '#main-agent/doctor/problems.ts';
import { registerMetrics } from '#main-agent/metrics.ts';
import { buildHealthServer, buildMetricsRegistry } from '#shared/health/health-server.ts';
import { resolveListen } from '#shared/process/inherited-sockets.ts';
import type { Ground } from './ground.ts';
import type { Logins } from './logins.ts';
import type { People } from './people.ts';
import type { Records } from './records.ts';

/** What a monitor may ask: checks and metrics. */
export async function startHealth(ground: Ground, { feed }: Records, people: People, logins: Logins) {
  const { config, around, part, closing } = ground;
  const { login, known, nodes } = logins;
  const { links } = nodes;
  const registry = buildMetricsRegistry({ main: config.name });
  registerMetrics(registry, {
    links,
    sessions: () => login.sessions.list().length,
    capacity: () => login.admin.capacity(),
    deliveries: people.deliveries,
    transfers: () => people.files.transferCounts(),
  });
  if (config.health.listen === undefined) return;
  const health = buildHealthServer({
    listen: resolveListen(config.health.listen, around.inherited),
    checks: () => [
      { name: 'audit', affects: 'health', ...toCheck(feed.problem()) },
      {
        name: 'validated-logins-agree',
        affects: 'health',
        ...toCheck(findDisagreements(config, links)[0]),
      },
      ...known.trusted().map(({ name }) => ({
        name: `link-${name}`,
        affects: 'ready' as const,
        ...toCheck(links.states().some((one) => one.node === name && one.up) ? undefined : 'not connected'),
      })),
    ],
    registry,
    log: part('health'),
  });
  closing.defer(() => health.close());
  await health.start();
}

function toCheck(problem: string | undefined): { ok: boolean; detail?: string } {
  return problem === undefined ? { ok: true } : { ok: false, detail: problem };
}
