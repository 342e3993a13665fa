import { Tokens } from '#main-agent/admin/access/tokens.ts';
import type { Certificate } from '#main-agent/admin/http/listeners.ts';
import { startAdminServer } from '#main-agent/admin/http/server.ts';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import { StateCopies } from '#main-agent/backup/state-copies.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Doctor } from '#main-agent/doctor/doctor.ts';
import { buildIncidentAdmin } from '#main-agent/incident/incident.ts';
import { YamlGroups } from '#main-agent/users/group-writes.ts';
import { StorePlans } from '#main-agent/users/store-plan.ts';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import { resolveListen } from '#shared/process/inherited-sockets.ts';
import { Secret } from '#shared/secret.ts';
import type { DoorCertificate } from './certificate.ts';
import type { Ground } from './ground.ts';
import type { Logins } from './logins.ts';
import type { People } from './people.ts';
import type { Records } from './records.ts';

/** The admin API. */
export async function startAdministration(
  ground: Ground,
  records: Records,
  people: People,
  logins: Logins,
  doorCertificate: DoorCertificate,
  doctor: Doctor,
) {
  const { config, around, part, closing, reloads } = ground;
  const { clock, inherited, credentials } = around;
  const { state, audit, feed, restores } = records;
  const { users, writes, departures, files } = people;
  const { login, bans, nodes } = logins;
  const tokens = new Tokens({
    state,
    findUser: (name) => users.find(name),
    departures,
    clock,
    log: part('admin'),
  });
  await tokens.start();
  const certificate = await readAdminCertificate(config, credentials);
  const ending = new AbortController();
  const copies = new StateCopies(state, config.state.file);
  const admin = await startAdminServer({
    socket: config.admin.socket,
    socketTokens: config.admin.socketTokens,
    ...(config.admin.listen !== undefined && certificate !== undefined
      ? { tls: { listen: resolveListen(config.admin.listen, inherited), certificate } }
      : {}),
    tokens,
    findUser: (name) => users.find(name),
    administered: people.administered,
    routes: buildAdminRoutes({
      name: config.name,
      startedAtMs: ground.startedAtMs,
      configFile: around.configFile,
      switches: {
        validatedLogins: config.twoFactor.validatedLogins,
        isSealed: config.twoFactor.isSealed,
        autoEnable: config.twoFactor.autoEnable,
      },
      users: people.directory,
      administered: people.administered,
      groups: new YamlGroups(users, writes),
      plans: new StorePlans(users, writes, clock),
      renames: people.renames.with({
        prepareFactor: (username, to) => login.vault.prepareRename(username, to),
        endLogins: (username, why) => login.admin.twoFactor.endLogins(username, why),
        forgetTokens: (username) => tokens.forgetOf(username),
        bannedNames: () => bans.list().flatMap(({ user }) => user ?? []),
      }),
      passwords: login.passwords,
      sessions: login.admin.sessions,
      leases: login.admin.leases,
      twoFactor: login.admin.twoFactor,
      passwordLinks: login.admin.passwordLinks,
      nodeChanges: login.admin.nodeChanges,
      incidents: buildIncidentAdmin({
        nodes: nodes.admin,
        nodeChanges: login.admin.nodeChanges,
        files,
        history: { state, file: config.audit.file },
        isUser: (name) => users.find(name) !== undefined,
        audit,
        clock,
      }),
      confirmClock: (why) => login.admin.confirmClock(why),
      copyState: () => copies.make(),
      acknowledgeRestores: (why) => restores.acknowledge(why),
      explainer: login.admin.explainer,
      deliveryTester: login.deliveryTester,
      doorCertificate,
      hostKeys: logins.hostKeys,
      nodes: nodes.admin,
      tokens,
      bans,
      transfers: files.transfers,
      bins: files.bins,
      retention: files.retention,
      surveys: files.surveys,
      doctor,
      config,
      state,
      auditFeed: feed,
      nodeHeads: () => nodes.nodeHeads.list(),
      closing: ending.signal,
      clock,
    }),
    audit,
    clock,
    log: part('admin'),
  });
  closing.defer(() => admin.close());
  // First: a call that waits for the next record would hold the server up.
  closing.defer(() => ending.abort());
  let served = certificate;
  reloads.on(['admin.certificate', 'admin.key'], async (next) => {
    const renewed = await readAdminCertificate(next, credentials);
    if (renewed === undefined) return () => undefined;
    const serve = admin.prepareCertificate(renewed);
    return () => {
      serve();
      served = renewed;
    };
  });
  return {
    /** The admin listener's certificate, as it is served. */
    certificatePem: () => served?.certificatePem,
  };
}

/** Undefined: the admin API does not listen on TLS. */
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
