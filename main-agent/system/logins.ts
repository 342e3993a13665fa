import { Bans, type EdgeBan } from '#main-agent/bans/bans.ts';
import { buildLogin, type Login } from '#main-agent/build-login.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { KnownNodes } from '#main-agent/link/known-nodes.ts';
import { readLogo } from '#main-agent/logo.ts';
import { describeDeliveryProblem } from '#main-agent/notify/deliveries.ts';
import { buildOwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { VaultAccess } from '#main-agent/vault/calls.ts';
import type { Log } from '#shared/log.ts';
import type { Ground } from './ground.ts';
import { startHostKeys } from './host-keys.ts';
import { buildNodes, type Nodes } from './nodes.ts';
import type { People } from './people.ts';
import type { Records } from './records.ts';

/** Logins, bans and nodes, which know each other: a ban ends sessions, an ended session is told to its node. */
export async function buildLogins(ground: Ground, records: Records, people: People, vault: VaultAccess) {
  const { config, around, part, closing, reloads } = ground;
  const { clock } = around;
  const { state, enrolments } = records;
  const { users, directory, departures, notify, deliveries, files, renames } = people;
  const known = new KnownNodes({ configured: config.dmzNodes, state, clock });
  await known.start();
  const bans = new Bans({
    state,
    neverBan: () => config.bans.neverBan,
    push: () => nodes.links.pushPolicy(),
    endMatching: (matches, reason) => login.admin.endMatching(matches, reason),
    clock,
  });
  await bans.start();
  const hostKeys = await startHostKeys(ground, records, {
    known,
    ask: vault.ask,
    tell: (node) => nodes.tellHostKeys(node),
  });
  const login: Login = buildLogin({
    config,
    users,
    departures,
    enrolments,
    credentials: buildOwnCredentials(directory),
    state,
    vault,
    isSessionOf: (link, sessionId) => hostKeys.signatures.isSessionOf(link, sessionId),
    delivery: deliveries,
    notifier: notify.notifier,
    sendPasswordLink: notify.sendPasswordLink,
    findSigningKey: (kid) => known.findSigningKey(kid),
    findBan: (username, clientIp) => renames.findHold(username) ?? bans.find(username, clientIp),
    sendToNode: (node, event, body) => nodes.links.sendToNode(node, event, body),
    usedBytes: (username) => files.usedBytes(username),
    explained: {
      originsOf: (username) => directory.origins(username),
      askDoors: (question, node) => nodes.links.askDoors(question, node),
      findEdgeBan: (clientIp) => describeEdgeBan(bans.findEdge(clientIp)),
      findDeliveryProblem: (transport) => describeDeliveryProblem(deliveries.last(transport)),
      nodeValidatedLogins: (node) =>
        nodes.links.states().find((one) => one.node === node && one.up)?.validatedLogins,
    },
    clock,
    log: part('login'),
  });
  closing.defer(() => login.close());
  let logo = await readLogo(config.branding.logo);
  const nodes: Nodes = buildNodes(ground, records, people, {
    known,
    bans,
    login,
    hostKeys,
    logo: () => logo,
  });
  const parts = { known, bans, login, nodes, hostKeys: hostKeys.keys };
  reloads.on(['dmz_nodes'], async (next) => {
    const takeHostKeys = await hostKeys.keys.prepare(next.dmzNodes);
    return async () => {
      takeHostKeys();
      await takeNodes(parts, next.dmzNodes, part('login'));
    };
  });
  reloads.on(['bans'], () => () => nodes.links.pushPolicy());
  reloads.on(['branding'], async (next) => {
    const read = await readLogo(next.branding.logo);
    return () => {
      logo = read;
      nodes.links.pushPolicy();
    };
  });
  return parts;
}

/**
 * Links of those that stay as they are stay up. Can not fail: all links are what they are to be before anything is waited
 * for, and the sessions of nodes that are gone can't be used without them.
 */
async function takeNodes(
  { known, nodes: { admin, links }, login }: Pick<Logins, 'known' | 'nodes' | 'login'>,
  configured: MainAgentConfig['dmzNodes'],
  log: Log,
): Promise<void> {
  const before = new Map(known.list().map((node) => [node.name, JSON.stringify(node)]));
  known.configure(configured);
  const gone = [...before.keys()].filter((name) => !configured.some((node) => node.name === name));
  for (const name of gone) links.closeNode(name, 'not in the configuration any more');
  for (const node of known.trusted()) if (before.get(node.name) !== JSON.stringify(node)) links.addNode(node);
  admin.watchOverlaps();
  for (const name of gone)
    await login.admin
      .endNode(name, 'the node is not in the configuration any more')
      .catch((error: unknown) => log.error({ err: error, node: name }, 'sessions not ended'));
}

export type Logins = Awaited<ReturnType<typeof buildLogins>>;

function describeEdgeBan(ban: EdgeBan | undefined): string | undefined {
  return ban === undefined ? undefined : `banned by ${ban.node} itself: ${ban.cause}`;
}
