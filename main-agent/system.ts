import { createPublicKey } from 'node:crypto';
import { Gauge, type Registry } from 'prom-client';
import type { NodeReport } from '#main-agent/admin/ports.ts';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import { startAdminServer } from '#main-agent/admin/server.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { Checkpoints } from '#main-agent/audit/checkpoints.ts';
import { EdgeEvents } from '#main-agent/audit/edge-events.ts';
import { startAuditFeed, type AuditFeed } from '#main-agent/audit/feed.ts';
import { NodeHeads } from '#main-agent/audit/node-heads.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { buildFileService } from '#main-agent/files/service.ts';
import { buildMainLinks, type MainLinks } from '#main-agent/link/links.ts';
import { buildLogin } from '#main-agent/login/build-login.ts';
import { openNotify } from '#main-agent/notify/notify.ts';
import { startWebhooks } from '#main-agent/notify/webhooks.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import { openSqliteState } from '#main-agent/state/sqlite-store.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlGroups } from '#main-agent/users/group-writes.ts';
import { buildOwnCredentials } from '#main-agent/users/own-credentials.ts';
import { StorePlans } from '#main-agent/users/store-plan.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { openYamlUsers } from '#main-agent/users/yaml-users.ts';
import type { SigningKey } from '#shared/assertion/verify.ts';
import type { Clock } from '#shared/clock.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import { buildHealthServer } from '#shared/health/health-server.ts';
import { buildMetricsRegistry } from '#shared/health/metrics-registry.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import type { LinkTap } from '#shared/link/recording-transport.ts';
import type { Policy } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { resolveListen, type InheritedSockets } from '#shared/process/inherited-sockets.ts';
import type { System } from '#shared/process/node-process.ts';
import { Secret } from '#shared/secret.ts';

/** The main node, put together. Plain wiring: what each part does is in its folder. */
export interface MainAgentSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly inherited: InheritedSockets;
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string;
  /** The configuration as it is on disk now, for a reload. */
  readonly reread: () => Promise<MainAgentConfig>;
  /** The state can't be written any more: nobody may log in, the process must end (S-14). */
  readonly onStateFailure: () => void;
  /** For tests: sees every byte sent over the link. */
  readonly tap?: LinkTap;
  /** For tests: stands between main and its state. */
  readonly wrapState?: (state: StateStore) => StateStore;
}

export async function startMainAgent(
  config: MainAgentConfig,
  around: MainAgentSurroundings,
): Promise<System> {
  const { clock, log, inherited, credentials } = around;
  const startedAtMs = clock.now();
  const part = (name: string): Log => log.child({ part: name });

  const opened = await openSqliteState({
    file: config.state.file,
    clock,
    log: part('state'),
    onFailure: around.onStateFailure,
  });
  const state = around.wrapState?.(opened) ?? opened;
  const feed = await startAuditFeed({ state, ...config.audit, clock, log: part('audit') });
  const audit = buildAudit(state);
  const users = await openYamlUsers({
    directory: config.users.directory,
    lastGoodDirectory: config.users.lastGoodDirectory,
    storages: Object.keys(config.storages),
    defaultUploads: config.uploads.default,
    brokenUserFile: config.users.brokenUserFile,
    log: part('users'),
  });
  const writes = new FileWrites(users);
  const directory = new YamlUserDirectory(users, writes);
  const notify = await openNotify({
    smtp: config.smtp,
    sms: config.sms,
    emailTemplate: config.twoFactor.delivered.emailTemplate,
    serviceName: config.branding.name,
    ...(credentials === undefined ? {} : { credentials }),
    log: part('notify'),
  });
  const files = await buildFileService({
    storages: config.storages,
    uploads: config.uploads,
    audit,
    findUser: (username) => users.find(username),
    clock,
    log: part('files'),
  });
  const signingKeys = readSigningKeys(config);
  const login = buildLogin({
    config,
    users,
    enrolments: buildYamlEnrolments({ directory: config.users.enrolmentsDirectory }),
    credentials: buildOwnCredentials(directory),
    state,
    vaultKey: await readSecretFile(config.vaultKey, credentials),
    delivery: notify.delivery,
    notifier: notify.notifier,
    findSigningKey: (kid) => signingKeys.get(kid),
    sendToNode: (node, event, body) => links.sendToNode(node, event, body),
    usedBytes: (username) => files.usedBytes(username),
    originsOf: (username) => directory.origins(username),
    clock,
    log: part('login'),
  });
  const identity = await readSecretFile(config.identityKey, credentials);
  const identityPem = new Secret(identity.expose().toString('utf8'));
  const links: MainLinks = buildMainLinks({
    nodes: config.dmzNodes,
    identityKeyPem: identityPem,
    mainName: config.name,
    validatedLogins: config.twoFactor.validatedLogins,
    login: login.loginHandlers,
    session: login.sessionHandlers,
    account: login.accountHandlers,
    files: files.handlers,
    onStream: files.onStream,
    sessions: login.sessions,
    policy: () => buildPolicy(config),
    onEdgeEvent: (node, worker, event) => edgeEvents.take(node, worker, event),
    onJoined: (node) => links.sendToNode(node, 'audit.head', feed.head()),
    onAuditKnown: (node, worker, head) => nodeHeads.take(node, worker, head),
    onAlarm: (node, worker, reason) =>
      keep('link.protocol-violation', { outcome: 'refused', node, detail: `worker ${worker}: ${reason}` }),
    onWorkerRestart: (node, worker) => {
      login.admin
        .endConnectionsOf(node, worker)
        .catch((error: unknown) => log.error({ err: error, node, worker }, 'old connections not ended'));
    },
    ...(around.tap === undefined ? {} : { tap: around.tap }),
    clock,
    log: part('link'),
  });

  /** Records that no decision waits for. */
  function keep(event: string, facts: Omit<Parameters<typeof audit.append>[0], 'time' | 'event'>): void {
    audit
      .append({ time: new Date(clock.now()).toISOString(), event, ...facts })
      .catch((error: unknown) => log.error({ err: error, event }, 'not audited'));
  }
  const edgeEvents = new EdgeEvents({
    state,
    publicKeyOf: (node) => [...signingKeys.values()].find((key) => key.node === node)?.publicKey,
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
  const outbound = buildOutboundClient();
  const checkpoints = new Checkpoints({
    main: config.name,
    auditFile: config.audit.file,
    privateKey: parseIdentityKey(identityPem).privateKey,
    targets: config.audit.checkpointsTo,
    head: () => feed.head(),
    state,
    outbound,
    tellNodes: (head) => {
      for (const { name } of config.dmzNodes) links.sendToNode(name, 'audit.head', head);
    },
    clock,
    log: part('audit'),
  });
  await checkpoints.start();
  const webhooks = await startWebhooks(config.events.webhooks, {
    main: config.name,
    state,
    outbound,
    ...(credentials === undefined ? {} : { credentials }),
    clock,
    log: part('events'),
  });
  const problems = (): readonly string[] => [
    ...listProblems(config, links, feed, users.problems().length),
    ...checkpoints.problems(),
    ...webhooks.problems(),
    ...edgeEvents.problems(),
    ...nodeHeads.problems(),
    ...login.admin.problems(),
  ];
  const closing = new AbortController();

  await login.start();
  const admin = await startAdminServer({
    socket: config.admin.socket,
    routes: buildAdminRoutes({
      name: config.name,
      startedAtMs,
      switches: {
        validatedLogins: config.twoFactor.validatedLogins,
        autoEnable: config.twoFactor.autoEnable,
      },
      users: directory,
      groups: new YamlGroups(users, writes),
      plans: new StorePlans(users, writes, part('users')),
      passwords: login.passwords,
      sessions: login.admin.sessions,
      leases: login.admin.leases,
      twoFactor: login.admin.twoFactor,
      confirmClock: (why) => login.admin.confirmClock(why),
      explainer: login.admin.explainer,
      deliveryTester: login.deliveryTester,
      nodes: { list: () => reportNodes(config, links) },
      state,
      auditFeed: feed,
      nodeHeads: () => nodeHeads.list(),
      closing: closing.signal,
      health: { problems },
      clock,
    }),
    audit,
    clock,
    log: part('admin'),
  });
  const registry = buildMetricsRegistry({ main: config.name });
  registerMetrics(registry, links, () => login.sessions.list().length);
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
            ...config.dmzNodes.map(({ name }) => ({
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

  return {
    async reload() {
      const now = await around.reread();
      log.level = now.log.level;
      await users.refresh();
      log.info('reloaded: log level, users');
    },
    async close() {
      log.info('stopping');
      await health?.close();
      closing.abort();
      await admin.close();
      await links.close();
      edgeEvents.close();
      await files.close();
      login.close();
      await users.close();
      await notify.close();
      await feed.flush();
      await checkpoints.close();
      await webhooks.close();
      await outbound.close();
      await feed.close();
      await state.close();
    },
  };
}

/** Pinned assertion keys by `kid`, which is the key's fingerprint. */
function readSigningKeys(config: MainAgentConfig): ReadonlyMap<string, SigningKey> {
  return new Map(
    config.dmzNodes.map(({ name, signingKey }) => {
      const publicKey = createPublicKey({
        key: { kty: 'OKP', crv: 'Ed25519', x: signingKey },
        format: 'jwk',
      });
      return [fingerprintOf(publicKey), { node: name, publicKey, status: 'active' }];
    }),
  );
}

function buildPolicy(config: MainAgentConfig): Policy {
  const { name, banner } = config.branding;
  return {
    validatedLogins: config.twoFactor.validatedLogins,
    branding: { name, ...(banner === undefined ? {} : { banner }) },
    neverBan: [...config.bans.neverBan],
    bans: [],
    baitNames: [...config.bans.baitNames],
  };
}

function reportNodes(config: MainAgentConfig, links: MainLinks): NodeReport[] {
  const states = links.states();
  return config.dmzNodes.map(({ name, address, identity }) => ({
    name,
    address: `${address.host}:${address.port}`,
    identity,
    links: states
      .filter((one) => one.node === name)
      .map(({ worker, up, epoch, lanes, software, skewMs, lastError }) => ({
        worker,
        up,
        epoch,
        lanes,
        ...(software === undefined ? {} : { software }),
        ...(skewMs === undefined ? {} : { clockSkewMs: skewMs }),
        ...(lastError === undefined ? {} : { problem: lastError }),
      })),
  }));
}

function listProblems(
  config: MainAgentConfig,
  links: MainLinks,
  feed: AuditFeed,
  userProblems: number,
): readonly string[] {
  const problems: string[] = [];
  const auditProblem = feed.problem();
  if (auditProblem !== undefined) problems.push(`the audit file is not written: ${auditProblem}`);
  if (!config.twoFactor.validatedLogins)
    problems.push('validated_logins is off: no second factor is ever asked');
  problems.push(...findDisagreements(config, links));
  if (config.dmzNodes.length === 0) problems.push('no DMZ node is enrolled');
  const states = links.states();
  for (const { name } of config.dmzNodes) {
    const own = states.filter((one) => one.node === name);
    if (!own.some((one) => one.up))
      problems.push(`${name} is not connected: ${own[0]?.lastError ?? 'never was'}`);
  }
  if (userProblems > 0) problems.push(`${userProblems} problems in user files`);
  return problems;
}

/** Each node whose `validated_logins` is not main's, and what that does to logins through it. */
function findDisagreements(config: MainAgentConfig, links: MainLinks): string[] {
  const here = config.twoFactor.validatedLogins;
  const nodes = links
    .states()
    .filter(({ validatedLogins }) => validatedLogins !== undefined && validatedLogins !== here)
    .map(({ node }) => node);
  const effect = here ? 'each login that needs a code' : 'every login';
  return [...new Set(nodes)].map(
    (node) =>
      `validated_logins is ${here ? 'on' : 'OFF'} here and ${here ? 'OFF' : 'on'} on ${node}: ${effect} through it is refused`,
  );
}

function toCheck(problem: string | undefined): { ok: boolean; detail?: string } {
  return problem === undefined ? { ok: true } : { ok: false, detail: problem };
}

function registerMetrics(registry: Registry, links: MainLinks, sessions: () => number): void {
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_link_up',
      help: '1 for each joined worker link',
      labelNames: ['node', 'worker'],
      registers: [],
      collect() {
        this.reset();
        for (const { node, worker, up } of links.states())
          this.set({ node, worker: String(worker) }, up ? 1 : 0);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_sessions',
      help: 'Live sessions',
      registers: [],
      collect() {
        this.set(sessions());
      },
    }),
  );
}
