import { randomBytes } from 'node:crypto';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import type { Certificate } from '#main-agent/admin/http/listeners.ts';
import { startAdminServer } from '#main-agent/admin/http/server.ts';
import { Tokens } from '#main-agent/admin/access/tokens.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { Checkpoints } from '#main-agent/audit/checkpoints.ts';
import { EdgeEvents } from '#main-agent/audit/edge-events.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { NodeBudget } from '#main-agent/audit/node-budget.ts';
import { NodeHeads } from '#main-agent/audit/node-heads.ts';
import { Bans, type EdgeBan } from '#main-agent/bans/bans.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { buildDoctor } from '#main-agent/doctor/doctor.ts';
import { buildFileService } from '#main-agent/files/service.ts';
import { openStorages } from '#main-agent/files/storages.ts';
import { KnownNodes } from '#main-agent/link/known-nodes.ts';
import { buildMainLinks, type MainLinks } from '#main-agent/link/links.ts';
import { buildNodeAdmin } from '#main-agent/link/node-admin.ts';
import { OtherMains } from '#main-agent/link/other-mains.ts';
import { buildPolicy } from '#main-agent/link/policy.ts';
import { buildLogin } from './build-login.ts';
import { registerMetrics } from '#main-agent/metrics.ts';
import { Deliveries, describeDeliveryProblem } from '#main-agent/notify/deliveries.ts';
import { openNotify } from '#main-agent/notify/notify.ts';
import { startWebhooks } from '#main-agent/notify/webhooks.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import { findDisagreements, listNotices, listOrphans, listProblems } from '#main-agent/doctor/problems.ts';
import { openRestored } from '#main-agent/restored/restored.ts';
import { Restores } from '#main-agent/restored/restores.ts';
import { Starts, type SignedHead } from '#main-agent/restored/starts.ts';
import { startForgettingRemovedKeys } from '#main-agent/users/removed-keys.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { Departures } from '#main-agent/users/departures.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlGroups } from '#main-agent/users/group-writes.ts';
import { buildOwnCredentials } from '#main-agent/users/own-credentials.ts';
import { StorePlans } from '#main-agent/users/store-plan.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { openYamlUsers } from '#main-agent/users/yaml-users.ts';
import type { Clock } from '#shared/clock.ts';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import { buildHealthServer, buildMetricsRegistry } from '#shared/health/health-server.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import type { Log } from '#shared/log.ts';
import { randomId } from '#shared/random-id.ts';
import { describeReload, findChangedSections, isFrozen } from '#shared/config/reload.ts';
import { resolveListen, type InheritedSockets } from '#shared/process/inherited-sockets.ts';
import type { System } from '#shared/process/node-process.ts';
import { Secret } from '#shared/secret.ts';
import { notifyUser } from '#main-agent/two-factor/code-delivery.ts';

/** The main node, put together. Plain wiring: what each part does is in its folder. */
export interface MainAgentSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly inherited: InheritedSockets;
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string;
  /** Where the configuration is, absolute; told to admins. */
  readonly configFile?: string;
  /** The configuration as it is on disk now, for a reload. */
  readonly reread: () => Promise<MainAgentConfig>;
  /** A person's reason why an older state is in force now; such a one is refused without. */
  readonly acceptRestored?: string;
  /**
   * The state can't be written any more (S-14), or a node knows more than it holds: nobody may log in, the process must
   * end.
   */
  readonly onStateFailure: () => void;
}

export async function startMainAgent(
  config: MainAgentConfig,
  around: MainAgentSurroundings,
): Promise<System> {
  const { clock, log, inherited, credentials } = around;
  const startedAtMs = clock.now();
  const part = (name: string): Log => log.child({ part: name });

  const nodeBudget = new NodeBudget({ clock, log: part('audit'), write: (record) => audit.append(record) });
  const state = await openSqliteState({
    file: config.state.file,
    admit: (changes) => nodeBudget.admit(changes),
    clock,
    log: part('state'),
    onFailure: around.onStateFailure,
  });
  const identity = await readSecretFile(config.identityKey, credentials);
  const identityPem = new Secret(identity.expose().toString('utf8'));
  const ownKey = parseIdentityKey(identityPem);
  const enrolments = buildYamlEnrolments({ directory: config.users.enrolmentsDirectory });
  const boot = randomId();
  const starts = new Starts(state, boot, ownKey.privateKey, clock);
  const restores = new Restores(state, clock);
  const voided = await openRestored({
    facts: { auditFile: config.audit.file, fingerprint: ownKey.fingerprint, state },
    state,
    stateFile: config.state.file,
    accept: around.acceptRestored,
    enrolments,
    nodes: new Map(config.dmzNodes.map((node) => [node.name, node.identity])),
    restores,
    starts,
    totp: config.twoFactor.totp,
    clock,
    random: randomBytes,
    log: part('state'),
  }).catch(async (error: unknown) => {
    await state.close();
    throw error;
  });
  const feed = await startAuditFeed({ state, ...config.audit, clock, log: part('audit') });
  const audit = buildAudit(state);
  const users = await openYamlUsers({
    directory: config.users.directory,
    lastGoodDirectory: config.users.lastGoodDirectory,
    storages: Object.keys(config.storages),
    defaultUploads: config.uploads.default,
    defaultBinMs: config.binMs,
    brokenUserFile: config.users.brokenUserFile,
    log: part('users'),
  });
  const departures = new Departures({
    state,
    users,
    enrolments,
    alsoRemembered: () => files.bins.owners(),
    clock,
    log: part('users'),
  });
  const writes = new FileWrites(users, clock);
  const directory = new YamlUserDirectory(users, writes);
  const notify = await openNotify({
    smtp: config.smtp,
    sms: config.sms,
    emailTemplate: config.twoFactor.delivered.emailTemplate,
    serviceName: config.branding.name,
    ...(credentials === undefined ? {} : { credentials }),
    log: part('notify'),
  });
  const deliveries = new Deliveries(notify.delivery, () => clock.now());
  const files = buildFileService({
    storages: await openStorages(config.storages, {
      ...config.uploads,
      formerUntilMs: (username) => departures.formerUntilMs(username),
      clock,
      log: part('files'),
    }),
    uploads: config.uploads,
    audit,
    findUser: (username) => users.find(username),
    clock,
    log: part('files'),
  });
  await departures.start();
  const known = new KnownNodes({ configured: config.dmzNodes, state, clock });
  await known.start();
  const bans = new Bans({
    state,
    neverBan: config.bans.neverBan,
    push: () => links.pushPolicy(),
    endMatching: (matches, reason) => login.admin.endMatching(matches, reason),
    clock,
  });
  await bans.start();
  const login = buildLogin({
    config,
    users,
    departures,
    enrolments,
    credentials: buildOwnCredentials(directory),
    state,
    vaultKey: await readSecretFile(config.vaultKey, credentials),
    delivery: deliveries,
    notifier: notify.notifier,
    findSigningKey: (kid) => known.findSigningKey(kid),
    findBan: (username, clientIp) => bans.find(username, clientIp),
    sendToNode: (node, event, body) => links.sendToNode(node, event, body),
    usedBytes: (username) => files.usedBytes(username),
    explained: {
      originsOf: (username) => directory.origins(username),
      askDoors: (question, node) => links.askDoors(question, node),
      findEdgeBan: (clientIp) => describeEdgeBan(bans.findEdge(clientIp)),
      findDeliveryProblem: (transport) => describeDeliveryProblem(deliveries.last(transport)),
      nodeValidatedLogins: (node) =>
        links.states().find((one) => one.node === node && one.up)?.validatedLogins,
    },
    clock,
    log: part('login'),
  });
  const links: MainLinks = buildMainLinks({
    nodes: known.trusted(),
    identitiesOf: (node) => known.identitiesOf(node),
    identityKeyPem: identityPem,
    mainName: config.name,
    boot,
    validatedLogins: config.twoFactor.validatedLogins,
    login: login.loginHandlers,
    session: login.sessionHandlers,
    account: login.accountHandlers,
    files: files.handlers,
    onStream: files.onStream,
    sessions: login.sessions,
    policy: () => buildPolicy(config, bans),
    onEdgeEvent: (node, worker, event) => {
      bans.noteEdge(node, event);
      edgeEvents.take(node, worker, event);
    },
    onJoined: (node) => {
      otherMains.joined(node);
      links.sendToNode(node, 'audit.head', starts.sign(feed.head()));
    },
    onAuditKnown: (node, worker, head) => nodeHeads.take(node, worker, head),
    judgeHead: (node, head) => {
      const judgement = starts.judge(head);
      if (judgement.kind === 'contradicts') stopAsOlder(node, judgement.detail, head);
      return judgement.kind;
    },
    onOtherMain: (node, other, isHolder) => otherMains.note(node, other, isHolder),
    onAlarm: (node, worker, reason) =>
      keep('link.protocol-violation', { outcome: 'refused', node, detail: `worker ${worker}: ${reason}` }),
    onWorkerRestart: (node, worker) => {
      login.admin
        .endConnectionsOf(node, worker)
        .catch((error: unknown) => log.error({ err: error, node, worker }, 'old connections not ended'));
    },
    clock,
    log: part('link'),
  });

  /** A node heard of records that this state never held. Nobody may log in on it before a person has looked. */
  function stopAsOlder(node: string, detail: string, head: SignedHead): void {
    log.fatal({ alarm: 'state-restored', node, detail }, 'a node knows more than the state: main ends');
    void links
      .close()
      .then(() => restores.suspect(`${node} knows ${detail}`, head))
      .then(() => feed.flush())
      .catch((error: unknown) => log.error({ err: error }, 'not noted: the node says it again'))
      .finally(around.onStateFailure);
  }

  /** Records that no decision waits for. */
  function keep(event: string, facts: Omit<Parameters<typeof audit.append>[0], 'time' | 'event'>): void {
    audit
      .append({ time: new Date(clock.now()).toISOString(), event, ...facts })
      .catch((error: unknown) => log.error({ err: error, event }, 'not audited'));
  }
  const edgeEvents = new EdgeEvents({
    state,
    publicKeysOf: (node) => known.signingKeysOf(node),
    acknowledge: (node, count) => links.sendToNode(node, 'edge.taken', count),
    clock,
    log: part('audit'),
  });
  const nodeHeads = new NodeHeads({
    head: () => feed.head(),
    onContradiction: (node, detail) => {
      log.error({ alarm: 'audit-cut', node, detail }, 'a node knows more of the audit than the audit has');
      keep('audit.contradicted', { outcome: 'failed', node, detail });
    },
  });
  const otherMains = new OtherMains({
    onFirst: (node, detail) => keep('link.other-main', { outcome: 'refused', node, detail }),
    clock,
    log: part('link'),
  });
  const nodes = buildNodeAdmin({
    known,
    links,
    endNode: (node, reason) => login.admin.endNode(node, reason),
    clock,
    log: part('link'),
  });
  const tokens = new Tokens({
    state,
    findUser: (name) => users.find(name),
    departures,
    clock,
    log: part('admin'),
  });
  await tokens.start();
  const certificate = await readAdminCertificate(config, credentials);

  const outbound = buildOutboundClient();
  const checkpoints = new Checkpoints({
    main: config.name,
    auditFile: config.audit.file,
    privateKey: ownKey.privateKey,
    targets: config.audit.checkpointsTo,
    durableHead: () => feed.durableHead(),
    state,
    outbound,
    tellNodes: (head) => {
      for (const { name } of config.dmzNodes) links.sendToNode(name, 'audit.head', starts.sign(head));
    },
    clock,
    log: part('audit'),
  });
  await checkpoints.start();
  for (const { username, kind } of voided) {
    const user = users.find(username);
    if (user !== undefined) notifyUser({ notifier: notify.notifier, clock }, user, kind);
  }
  const webhooks = await startWebhooks(config.events.webhooks, {
    main: config.name,
    state,
    outbound,
    ...(credentials === undefined ? {} : { credentials }),
    clock,
    log: part('events'),
  });
  const problems = (): readonly string[] => [
    ...listProblems(config, nodes.list(), links, feed, users.problems().length),
    ...checkpoints.problems(),
    ...webhooks.problems(),
    ...edgeEvents.problems(),
    ...nodeBudget.problems(),
    ...nodeHeads.problems(),
    ...otherMains.problems(),
    ...restores.problems(),
    ...login.admin.problems(),
    ...listOrphans(departures.list()),
  ];
  const notices = async () => listNotices(config, await login.admin.passwordAlone());
  const closing = new AbortController();
  const removedKeys = startForgettingRemovedKeys({ state, users, clock, log: part('state') });

  await login.start();
  await nodes.start();
  files.surveys.keepFresh();
  const admin = await startAdminServer({
    socket: config.admin.socket,
    socketTokens: config.admin.socketTokens,
    ...(config.admin.listen !== undefined && certificate !== undefined
      ? { tls: { listen: resolveListen(config.admin.listen, inherited), certificate } }
      : {}),
    tokens,
    findUser: (name) => users.find(name),
    routes: buildAdminRoutes({
      name: config.name,
      startedAtMs,
      configFile: around.configFile,
      switches: {
        validatedLogins: config.twoFactor.validatedLogins,
        autoEnable: config.twoFactor.autoEnable,
      },
      users: directory,
      groups: new YamlGroups(users, writes),
      plans: new StorePlans(users, writes, clock, part('users')),
      passwords: login.passwords,
      sessions: login.admin.sessions,
      leases: login.admin.leases,
      twoFactor: login.admin.twoFactor,
      nodeChanges: login.admin.nodeChanges,
      confirmClock: (why) => login.admin.confirmClock(why),
      acknowledgeRestores: (why) => restores.acknowledge(why),
      explainer: login.admin.explainer,
      deliveryTester: login.deliveryTester,
      nodes,
      tokens,
      bans,
      transfers: files.transfers,
      bins: files.bins,
      surveys: files.surveys,
      doctor: buildDoctor({
        config,
        nodes: () => nodes.list(),
        userProblems: () => users.problems(),
        auditProblem: () => feed.problem(),
        otherMains: () => otherMains.problems(),
        restores: () => restores.problems(),
        orphans: () => departures.list(),
        notices,
        lastText: () => deliveries.last('sms'),
        clockProblem: () => login.admin.clockProblem(),
        checkMail: () => notify.checkMail(),
        surveys: files.surveys,
        certificatePem: certificate?.certificatePem,
        clock,
      }),
      config,
      state,
      auditFeed: feed,
      nodeHeads: () => nodeHeads.list(),
      closing: closing.signal,
      health: { problems, notices: async () => (await notices()).map(({ detail }) => detail) },
      clock,
    }),
    audit,
    clock,
    log: part('admin'),
  });
  const registry = buildMetricsRegistry({ main: config.name });
  registerMetrics(registry, {
    links,
    sessions: () => login.sessions.list().length,
    capacity: () => login.admin.capacity(),
    deliveries,
    transfers: () => files.transferCounts(),
  });
  const health =
    config.health.listen === undefined
      ? undefined
      : buildHealthServer({
          listen: resolveListen(config.health.listen, inherited),
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
              ...toCheck(
                links.states().some((one) => one.node === name && one.up) ? undefined : 'not connected',
              ),
            })),
          ],
          registry,
          log: part('health'),
        });
  await health?.start();
  links.start();
  log.info({ nodes: config.dmzNodes.length, users: [...users.list()].length }, 'started');

  let served = certificate;
  return {
    async reload() {
      const now = await around.reread();
      const isLevelNew = log.level !== now.log.level;
      log.level = now.log.level;
      await users.refresh();
      const renewed = await readAdminCertificate(now, credentials);
      if (renewed !== undefined) admin.useCertificate(renewed);
      const isRenewed = renewed !== undefined && renewed.certificatePem !== served?.certificatePem;
      served = renewed ?? served;
      const told = {
        // The users folder is followed anyway; it was looked at just now.
        changed: ['users', ...(isRenewed ? ['admin certificate'] : []), ...(isLevelNew ? ['log level'] : [])],
        restart: findChangedSections(restartSections(config), restartSections(now)),
        isCertificateFrozen:
          renewed !== undefined && !isRenewed && isFrozen(now.admin.certificate, credentials),
      };
      log.info(told, describeReload(told));
    },
    async close() {
      log.info('stopping');
      await health?.close();
      closing.abort();
      removedKeys.close();
      await admin.close();
      nodes.close();
      await links.close();
      edgeEvents.close();
      await files.close();
      await login.close();
      await users.close();
      await departures.close();
      await notify.close();
      await nodeBudget.close();
      await feed.flush();
      await checkpoints.close();
      await webhooks.close();
      await outbound.close();
      await feed.close();
      await state.close();
    },
  };
}

/** Undefined: the admin API does not listen on TLS. */
/** All that a reload does not take. */
function restartSections({ log: _level, admin, ...others }: MainAgentConfig): object {
  const { certificate: _certificate, key: _key, ...listener } = admin;
  return { ...others, admin: listener };
}

async function readAdminCertificate(
  { admin }: MainAgentConfig,
  credentials: string | undefined,
): Promise<Certificate | undefined> {
  if (admin.listen === undefined || admin.certificate === undefined || admin.key === undefined)
    return undefined;
  const key = await readSecretFile(admin.key, credentials);
  return {
    certificatePem: (await readPublicFile(admin.certificate)).toString('utf8'),
    keyPem: new Secret(key.expose().toString('utf8')),
  };
}

function describeEdgeBan(ban: EdgeBan | undefined): string | undefined {
  return ban === undefined ? undefined : `banned by ${ban.node} itself: ${ban.cause}`;
}

function toCheck(problem: string | undefined): { ok: boolean; detail?: string } {
  return problem === undefined ? { ok: true } : { ok: false, detail: problem };
}
