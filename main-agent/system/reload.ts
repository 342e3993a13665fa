import type { MainAgentConfig } from '#main-agent/config.ts';
import { newestOf } from '#shared/config/file-path.ts';
import { describeReload, isBelow, isFrozen } from '#shared/config/reload.ts';
import type { startAdministration } from './administration.ts';
import type { Ground } from './ground.ts';
import type { Logins } from './logins.ts';
import type { People } from './people.ts';

/** What main takes without a restart, by section or key of main-agent.yaml; users are looked at besides. */
const taken = ['log.level', 'bans', 'dmz_nodes', 'admin.certificate', 'admin.key'];

interface Parts {
  readonly people: People;
  readonly logins: Logins;
  readonly administration: Awaited<ReturnType<typeof startAdministration>>;
}

/** Rejects when something of it can't be taken; what could is in force then, and is told by the next one. */
export async function reload(
  { config, around }: Ground,
  { people, logins, administration }: Parts,
): Promise<void> {
  const { log, configFile, credentials } = around;
  const { config: now, changed, take } = await around.reread();
  await administration.renewCertificate(now);
  log.level = now.log.level;
  config.log = now.log;
  config.bans = now.bans;
  if (changed.includes('dmz_nodes')) await takeNodes(logins, now.dmzNodes);
  config.dmzNodes = now.dmzNodes;
  logins.nodes.links.pushPolicy();
  const changedUsers = await lookAtUsers(people);
  const effective = changed.filter((key) => isBelow(key, taken));
  take(effective);
  const told = {
    changed: [...(changedUsers > 0 ? ['users'] : []), ...effective],
    restart: changed.filter((key) => !effective.includes(key)),
    frozen: [
      ...(configFile !== undefined && isFrozen(newestOf(configFile, around), credentials)
        ? ['main-agent.yaml']
        : []),
      ...(isFrozen(now.admin.certificate, credentials) ? ['admin.certificate', 'admin.key'] : []),
    ],
  };
  log.info(told, describeReload(told));
}

/** Their folder is followed anyway; how many were not in force before. */
async function lookAtUsers({ users }: People): Promise<number> {
  const found = new Set<string>();
  const stop = users.onChange((names) => {
    for (const name of names) found.add(name);
  });
  try {
    await users.refresh();
  } finally {
    stop();
  }
  return found.size;
}

/** Links of those that stay as they are stay up. */
async function takeNodes(
  { known, nodes: { admin, links }, login }: Logins,
  configured: MainAgentConfig['dmzNodes'],
): Promise<void> {
  const before = new Map(known.list().map((node) => [node.name, JSON.stringify(node)]));
  await known.configure(configured);
  admin.watchOverlaps();
  for (const name of before.keys()) {
    if (configured.some((node) => node.name === name)) continue;
    links.closeNode(name, 'not in the configuration any more');
    await login.admin.endNode(name, 'the node is not in the configuration any more');
  }
  for (const node of known.trusted()) if (before.get(node.name) !== JSON.stringify(node)) links.addNode(node);
}
