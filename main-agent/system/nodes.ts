import type { IssuedCertificate } from '#main-agent/acme/order.ts';
import { EdgeEvents } from '#main-agent/audit/edge-events.ts';
import { NodeHeads } from '#main-agent/audit/node-heads.ts';
import type { Bans } from '#main-agent/bans/bans.ts';
import type { Login } from '#main-agent/build-login.ts';
import type { KnownNodes } from '#main-agent/link/known-nodes.ts';
import { buildMainLinks, type MainLinks } from '#main-agent/link/links.ts';
import { buildNodeAdmin } from '#main-agent/link/node-admin.ts';
import { NodeHealth } from '#main-agent/link/node-health.ts';
import { OtherMains } from '#main-agent/link/other-mains.ts';
import { buildPolicy } from '#main-agent/link/policy.ts';
import { ShownChallenges } from '#main-agent/link/shown-challenges.ts';
import type { SignedHead } from '#main-agent/restored/starts.ts';
import type { AuditEvent, AuditRecord } from '#main-agent/state/audit-record.ts';
import type { EventBody, EventName } from '#shared/link/messages.ts';
import type { Policy } from '#shared/link/messages.ts';
import type { Ground } from './ground.ts';
import type { HostKeyParts } from './host-keys.ts';
import type { People } from './people.ts';
import type { Records } from './records.ts';

type SendToAll = <E extends EventName>(event: E, body: EventBody<E>) => void;

interface NodeParts {
  readonly known: KnownNodes;
  readonly bans: Bans;
  readonly login: Login;
  readonly hostKeys: HostKeyParts;
  readonly logo: () => Policy['branding']['logo'];
}

/** Links to the nodes, not dialled yet, and what is made of what nodes say. */
export function buildNodes(ground: Ground, records: Records, { files }: People, parts: NodeParts) {
  const { config, around, part, closing } = ground;
  const { clock, log } = around;
  const { state, feed, starts, boot, identityKeyPem } = records;
  const { known, bans, login, hostKeys } = parts;
  const keep = buildKeep(ground, records);
  const edgeEvents = new EdgeEvents({
    state,
    publicKeysOf: (node) => known.signingKeysOf(node),
    acknowledge: (node, count) => links.sendToNode(node, 'edge.taken', count),
    clock,
    log: part('audit'),
  });
  closing.defer(() => edgeEvents.close());
  const nodeHeads = new NodeHeads({
    head: () => feed.head(),
    onContradiction: (node, detail) => {
      log.error({ alarm: 'audit-cut', node, detail }, 'a node knows more of the audit than the audit has');
      void keep('audit.contradicted', { outcome: 'failed', node, detail });
    },
  });
  const otherMains = new OtherMains({
    onFirst: (node, detail) => void keep('link.other-main', { outcome: 'refused', node, detail }),
    clock,
    log: part('link'),
  });
  const nodeHealth = new NodeHealth((node, worker) =>
    links.states().some((one) => one.node === node && one.worker === worker && one.up),
  );
  const challenges = new ShownChallenges({
    joined: () => links.states().flatMap(({ node, worker, up }) => (up ? [`${node} ${worker}`] : [])),
    send: (body) => sendToAll('acme.challenges', body),
    log: part('acme'),
  });
  const sendToAll: SendToAll = (event, body) => {
    for (const { name } of known.trusted()) links.sendToNode(name, event, body);
  };
  const tellHostKeys = (node: string): void => {
    const body = hostKeys.told(node);
    if (body !== undefined) links.sendToNode(node, 'hostkeys', body);
  };
  let certificate: EventBody<'https.certificate'> | undefined;
  const whenJoined = new Set<() => void>();
  const links: MainLinks = buildMainLinks({
    nodes: known.trusted(),
    identitiesOf: (node) => known.identitiesOf(node),
    identityKeyPem,
    mainName: config.name,
    boot,
    validatedLogins: config.twoFactor.validatedLogins,
    hostKeys: hostKeys.handlers,
    login: login.loginHandlers,
    session: login.sessionHandlers,
    account: login.accountHandlers,
    files: files.handlers,
    onStream: files.onStream,
    sessions: login.sessions,
    policy: () => buildPolicy(config, parts.logo(), bans),
    onEdgeEvent: (node, worker, event) => {
      bans.noteEdge(node, event);
      edgeEvents.take(node, worker, event);
    },
    onJoined: (node) => {
      otherMains.joined(node);
      tellHostKeys(node);
      links.sendToNode(node, 'audit.head', starts.sign(feed.head()));
      if (config.https.acme === undefined) return;
      links.sendToNode(node, 'acme.challenges', challenges.present());
      if (certificate !== undefined) links.sendToNode(node, 'https.certificate', certificate);
      for (const listener of whenJoined) listener();
    },
    onChallengesShown: (node, worker, shown) => challenges.take(`${node} ${worker}`, shown),
    onAuditKnown: (node, worker, head) => nodeHeads.take(node, worker, head),
    judgeHead: (node, head) => {
      const judgement = starts.judge(head);
      if (judgement.kind === 'contradicts') stopAsOlder(ground, records, links, node, judgement.detail, head);
      return judgement.kind;
    },
    onOtherMain: (node, other, isHolder) => otherMains.note(node, other, isHolder),
    onFault: (fault) => keep('fault', fault),
    onHealth: (node, worker, health) => nodeHealth.take(node, worker, health),
    onAlarm: (node, worker, reason) =>
      void keep('link.protocol-violation', {
        outcome: 'refused',
        node,
        detail: `worker ${worker}: ${reason}`,
      }),
    onWorkerRestart: (node, worker) => {
      login.admin
        .endConnectionsOf(node, worker)
        .catch((error: unknown) => log.error({ err: error, node, worker }, 'old connections not ended'));
    },
    clock,
    log: part('link'),
  });
  closing.defer(() => links.close());
  const admin = buildNodeAdmin({
    known,
    links,
    endNode: (node, reason) => login.admin.endNode(node, reason),
    clock,
    log: part('link'),
  });
  closing.defer(() => admin.close());
  /** Their HTTPS doors, where an authority issues the certificate. */
  const doors = {
    challenges,
    isReachable: () => links.states().some(({ up }) => up),
    whenJoined: (listener: () => void) => void whenJoined.add(listener),
    serve({ certificatePem, keyPem }: IssuedCertificate): void {
      certificate = { certificatePem, keyPem: keyPem.expose() };
      sendToAll('https.certificate', certificate);
    },
  };
  return { links, admin, edgeEvents, nodeHeads, otherMains, nodeHealth, doors, tellHostKeys };
}

export type Nodes = ReturnType<typeof buildNodes>;

/** Records that no decision waits for. */
function buildKeep({ around: { clock, log } }: Ground, { audit }: Records) {
  return (event: AuditEvent, facts: Omit<AuditRecord, 'time' | 'event'>): Promise<void> =>
    audit
      .append({ time: new Date(clock.now()).toISOString(), event, ...facts })
      .catch((error: unknown) => log.error({ err: error, event }, 'not audited'));
}

/** A node heard of records that this state never held. Nobody may log in on it before a person has looked. */
function stopAsOlder(
  { around: { log, onStateFailure } }: Ground,
  { restores, feed }: Records,
  links: MainLinks,
  node: string,
  detail: string,
  head: SignedHead,
): void {
  log.fatal({ alarm: 'state-restored', node, detail }, 'a node knows more than the state: main ends');
  void links
    .close()
    .then(() => restores.suspect(`${node} knows ${detail}`, head))
    .then(() => feed.flush())
    .catch((error: unknown) => log.error({ err: error }, 'not noted: the node says it again'))
    .finally(onStateFailure);
}
