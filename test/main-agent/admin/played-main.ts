import { playedBox } from '#test/harness/played-vault.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildAdminRoutes, type AdminPorts } from '#main-agent/admin/routes.ts';
import { startAdminServer, type AdminServer } from '#main-agent/admin/http/server.ts';
import { Tokens, type NewToken } from '#main-agent/admin/access/tokens.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { Bans } from '#main-agent/bans/bans.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import type { StoredLease } from '#main-agent/state/session-records.ts';
import type { OrphanedName } from '#main-agent/users/departures.ts';
import { UsersOfGroupAdmin } from '#main-agent/users/administered-users.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { StorePlan } from '#main-agent/users/store-plan.ts';
import { SallyportError } from '#shared/error.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import { generatePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';
import type { YamlChange } from '#main-agent/users/yaml-edit.ts';
import type { NodeChange } from '#main-agent/help-desk/node-changes.ts';
import type { IncidentReport } from '#main-agent/incident/report.ts';
import type { RetentionPlan } from '#main-agent/files/retention.ts';
import type { StorageSurvey } from '#main-agent/files/survey.ts';
import type { TwoFactorReport } from '#main-agent/help-desk/two-factor-admin.ts';
import type { LoginQuestion } from '#main-agent/help-desk/login-explainer.ts';
import type { Transfer } from '#main-agent/files/transfers.ts';

/** A main without login, files and links, behind a real admin socket: what the API asks of the others is played. */
export interface PlayedMain {
  readonly socket: string;
  readonly folder: string;
  /** Of the TLS listener, and what it is trusted by. */
  readonly url: string;
  readonly certificate: string;
  /** By default an admin's, of a service. */
  makeToken(wish?: Partial<NewToken>): Promise<string>;
  pass(ms: number): void;
  /** As if the file said nothing special. */
  userOf(name: string): EffectiveUser;
  readonly state: MemoryState;
  readonly users: Map<string, EffectiveUser>;
  readonly sessions: AnySession[];
  /** Names whose users went, and may have come back. */
  readonly orphans: OrphanedName[];
  /** Until when a name was another person's. */
  readonly former: Map<string, number>;
  /** What was asked of the ports, in order. */
  readonly asked: string[];
  readonly ports: AdminPorts;
  close(): Promise<void>;
}

export const nowMs = 1_795_500_000_000;

const authority = createThrowAwayAuthority(nowMs - 3_600_000);

const playedRetentionPlan: RetentionPlan = {
  atMs: nowMs,
  entries: [
    {
      storage: 'local',
      path: ['alice', 'plan.txt'],
      virtualPath: ['plan.txt'],
      user: 'alice',
      type: 'file',
      bytes: 8,
      changedAtMs: nowMs - 30 * 86_400_000,
      afterMs: 30 * 86_400_000,
      dueAtMs: nowMs,
      deletedAtMs: nowMs,
    },
  ],
  isWhole: true,
  looked: 1,
  unlooked: 0,
  unserved: 0,
};

/** Of the one thing in everybody's bin. */
export const binId = 'AAAAAAAAAAAAAAAAAAAAAA';

export async function startPlayedMain(
  changed: Partial<AdminPorts> = {},
  options: { readonly socketTokens?: 'required' } = {},
): Promise<PlayedMain> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-admin-'));
  const socket = join(folder, 'run', 'admin.sock');
  const state = buildMemoryState();
  const users = new Map(['alice', 'bob', 'carol'].map((name) => [name, playedUser(name)]));
  const sessions = [playedSession('k-alice', 'alice'), playedSession('k-bob', 'bob')];
  const asked: string[] = [];
  const closing = new AbortController();
  const requireEtag = (ifMatch: string | undefined): void => {
    if (ifMatch === undefined || ifMatch === 'etag1') return;
    throw new SallyportError('precondition-failed', 'The user file has changed');
  };

  const requireNode = (name: string): void => {
    if (name !== 'dmz1') throw new SallyportError('not-found', 'There is no such node');
  };
  let passedMs = 0;
  const clock = { now: () => nowMs + passedMs, monotonic: () => nowMs + passedMs };
  const log = buildLog('silent', {});
  const orphans: OrphanedName[] = [];
  const departures = {
    findProblem: (name: string) =>
      orphans.some((one) => one.username === name && one.returnedAtMs !== undefined)
        ? 'the name was given again'
        : undefined,
    formerUntilMs: (name: string) => former.get(name),
  };
  const former = new Map<string, number>();
  // As the ports say, which a test may change.
  const findUser = (name: string): EffectiveUser | undefined => ports.users.find(name);
  const tokens = new Tokens({ state, findUser, departures, clock, log });
  const bans = new Bans({
    state,
    neverBan: () => ['192.0.2.0/24'],
    push: () => void asked.push('push'),
    endMatching: async () => undefined,
    clock,
  });

  const surveys: StorageSurvey[] = [
    { storage: 'local', looked: 1_204, isComplete: true, unserved: 0, places: [], endedAtMs: nowMs },
  ];
  const ports: AdminPorts = {
    name: 'main1',
    startedAtMs: nowMs - 60_000,
    configFile: undefined,
    clock,
    switches: { validatedLogins: true, isSealed: false, autoEnable: false },
    surveys: { report: () => [...surveys], refresh: async () => surveys },
    state,
    nodeHeads: () => [{ node: 'dmz1', worker: 0, sequence: 1, hash: 'h' }],
    closing: closing.signal,
    auditFeed: { head: () => ({ sequence: state.audit.length, hash: 'h' }) },
    nodes: {
      list: () => [
        {
          name: 'dmz1',
          address: '10.0.1.5:8444',
          state: 'up',
          identity: 'SHA256:x',
          signingKey: 'k',
          rotation: { oldIdentity: 'SHA256:w', untilMs: nowMs + 3_600_000 },
          links: [{ worker: 0, up: true, sinceMs: nowMs, epoch: 3, lanes: 2, clockSkewMs: 12 }],
        },
      ],
      revoke: async (name, { actor, reason }) => {
        requireNode(name);
        asked.push(`revoke ${name} ${actor} ${reason}`);
        return 2;
      },
      unrevoke: async (name, { actor }) => {
        requireNode(name);
        asked.push(`unrevoke ${name} ${actor}`);
      },
      rotate: async (line, overlapMs) => {
        asked.push(`rotate ${line} ${overlapMs}`);
        return { name: 'dmz1', identity: 'SHA256:y' };
      },
    },
    tokens,
    bans,
    bins: {
      list: () => [
        {
          id: binId,
          path: '/plan.txt',
          type: 'file',
          bytes: 8,
          reason: 'deleted',
          deletedAtMs: nowMs,
          expiresAtMs: nowMs + 7 * 86_400_000,
          storage: 'local',
          isFormer: false,
        },
      ],
      restore: async (username, id, { keepBoth, actor }) => {
        asked.push(`restore ${username} ${id} ${keepBoth} ${actor}`);
        return '/plan.txt';
      },
      empty: async (username, ids) => {
        asked.push(`empty ${username} ${ids?.join(',') ?? 'all'}`);
        return 1;
      },
    },
    retention: {
      plan: async () => playedRetentionPlan,
      keep: () => 'kept',
      page: () => playedRetentionPlan,
      run: async ({ actor, unlisted }) => {
        asked.push(`retention ${actor} ${unlisted}`);
        return { deleted: 1, bytes: 8, left: 0, failed: 0, newlyListed: 0, isOver: true };
      },
      problems: () => [],
    },
    transfers: {
      list: () => [playedTransfer('t1', 'alice')],
      end: async (id) => {
        asked.push(`end-transfer ${id}`);
        return id === 't1';
      },
    },
    doctor: {
      examine: async () => ({
        findings: [
          { check: 'clock', state: 'good', affects: 'health', detail: 'runs evenly' },
          {
            check: 'mail',
            state: 'warning',
            affects: 'health',
            detail: 'no answer',
            hint: 'is the relay up?',
          },
        ],
        unlooked: [{ check: 'firewall', why: 'nobody did' }],
      }),
    },
    config: { name: 'main1' },
    users: {
      find: (name) => users.get(name),
      list: () => users.values(),
      problems: () => [],
      etag: async () => 'etag1',
      origins: async (name) => [
        { key: 'display_name', value: users.get(name)?.displayName, file: `users/${name}.yaml`, line: 2 },
      ],
      create: async (name, fields, template) => {
        if (users.has(name)) throw new SallyportError('exists', 'There is such a user already');
        const like = template === undefined ? '' : ` like ${template}`;
        asked.push(`create ${name} ${JSON.stringify(fields)}${like}`);
        users.set(name, playedUser(name));
        return 'etag2';
      },
      createAll: async (wanted, isDryRun) =>
        wanted.map(({ username, fields, template }) => {
          if (users.has(username)) return 'the name is taken';
          const like = template === undefined ? '' : ` like ${template}`;
          asked.push(`${isDryRun ? 'try' : 'create'} ${username} ${JSON.stringify(fields)}${like}`);
          return undefined;
        }),
      change: async (name, changes, ifMatch) => {
        requireEtag(ifMatch);
        asked.push(`change ${name} ${changes.map(showChange).join(' ')}`);
        return 'etag2';
      },
      remove: async (name, ifMatch) => {
        requireEtag(ifMatch);
        asked.push(`remove ${name}`);
        users.delete(name);
      },
    },
    renames: {
      rename: async (name, to, { actor, reason }) => {
        asked.push(`rename ${name} ${to} ${actor} ${reason}`);
        return { moves: [{ storage: 'local', from: [name], to: [to] }], tokensEnded: 1 };
      },
    },
    administered: (administrator) =>
      new UsersOfGroupAdmin(
        {
          users: {
            find: (name) => users.get(name),
            list: () => users.values(),
            files: () => [].values(),
            tryUser: () => undefined,
            underName: (name, other) => {
              const user = users.get(name);
              return user === undefined ? undefined : { ...user, mounts: playedUser(other).mounts };
            },
            ofGroup: (group, name) => ({ ...playedUser(name), groups: [group] }),
          },
          writes: { inForce: (work) => work() },
          directory: ports.users,
          isRemembered: () => false,
          isOccupied: async () => false,
          clock,
        },
        administrator,
      ),
    groups: {
      list: () => [{ name: 'partners', groups: [], users: 3, isBroken: false }],
      show: async (name) => ({ name, fields: { quota: '1GiB' }, users: ['alice'], etag: 'etag1' }),
      create: async () => 'etag1',
      change: async () => 'etag2',
      remove: async () => undefined,
    },
    plans: {
      plan: async () => playedPlan,
      apply: async () => playedPlan,
    },
    passwords: {
      hash: async (password) => {
        if (password.expose().length < 12) {
          throw new SallyportError('not-allowed', 'The password is too short', { hint: 'at least 12' });
        }
        return new Secret(`hash(${password.expose().length})`);
      },
      takeOver: async (foreign) => {
        if (!foreign.expose().startsWith('$')) {
          throw new SallyportError('config', 'The password is not taken over: it is none that is known');
        }
        return new Secret(`over(${foreign.expose().length})`);
      },
      findProblem: async () => undefined,
      boxKey: async () => playedBox.publicKey,
    },
    sessions: {
      list: () => sessions,
      end: async (key, reason) => {
        asked.push(`end ${key} ${reason}`);
        return sessions.some((session) => session.key === key);
      },
      endAllOf: async (name, reason) => {
        asked.push(`end-all ${name} ${reason}`);
        return sessions.filter((session) => session.username === name).length;
      },
    },
    leases: {
      list: async () => [playedLease('l1', 'alice')],
      end: async (id) => {
        asked.push(`end-lease ${id}`);
        return id === 'l1';
      },
      endAllOf: async (name, { actor, reason }) => void asked.push(`end-leases ${name} ${actor} ${reason}`),
    },
    copyState: async () => {
      asked.push('copy-state');
      return '/var/lib/sallyport/state.db.copy-0123456789ab';
    },
    acknowledgeRestores: async ({ actor, reason }) => void asked.push(`restore ${actor} ${reason}`),
    confirmClock: async ({ actor, reason }) => void asked.push(`clock ${actor} ${reason}`),
    twoFactor: {
      status: async (name) => playedReport(name),
      warnings: () => ['no code is asked from 10.0.0.0/8'],
      reset: async (name, { actor, reason }) => void asked.push(`reset ${name} ${actor} ${reason}`),
      endLogins: async () => undefined,
      forget: async (name, { actor, reason }) => void asked.push(`forget ${name} ${actor} ${reason}`),
      orphans: () => orphans,
      listEnrolled: async () => new Set(['alice']),
      expectAnother: (name) => {
        if (orphans.some(({ username }) => username === name)) asked.push(`expect-another ${name}`);
      },
      keep: async (name, { actor, reason }) => {
        const index = orphans.findIndex((one) => one.username === name && one.returnedAtMs !== undefined);
        if (index >= 0) orphans.splice(index, 1);
        asked.push(`keep ${name} ${actor} ${reason}`);
        return index >= 0;
      },
      unlock: async (name, { actor, reason }) => void asked.push(`unlock ${name} ${actor} ${reason}`),
      importSecret: async ({ user = 'alice', secret, replace, isDryRun, actor, reason }) => {
        asked.push(`import ${user} ${secret.expose().length} ${replace} ${isDryRun} ${actor} ${reason}`);
        return user === 'bob'
          ? { problem: 'there is no such user' }
          : { username: user, isReplaced: replace };
      },
      makeBypassCode: async (name, { ttlMs, reEnrol, reason }) => {
        asked.push(`bypass ${name} ${ttlMs} ${reEnrol} ${reason}`);
        return new Secret('BYPASS-CODE');
      },
    },
    doorCertificate: {
      standing: () => ({
        directory: new URL('https://ca.example.com/directory'),
        names: ['files.example.com'],
        certificatePem: authority.certificatePem,
        renewFromMs: clock.now(),
        failure: { why: 'files.example.com: no answer', nextTryMs: clock.now() },
      }),
      renew: async () => void asked.push('renew-certificate'),
    },
    hostKeys: {
      list: () => [
        {
          publicKey: parsePublicKeyLine(generatePrivateKeyFile('dmz1').publicLine),
          standing: 'retired',
          sinceMs: nowMs,
          nodes: ['dmz1'],
          untilMs: nowMs + 1_000,
        },
      ],
      isOfMain: (node) => node === 'dmz1',
      rotate: async (node, { actor, reason }) =>
        void asked.push(`rotate-host-key ${node} ${actor} ${reason}`),
      import: async (node, files, { actor, reason }) =>
        void asked.push(`import-host-key ${node} ${files.length} ${actor} ${reason}`),
      share: async (node, other, { actor, reason }) =>
        void asked.push(`share-host-key ${node} ${other} ${actor} ${reason}`),
      export: async (node, { actor, reason }) => {
        asked.push(`export-host-key ${node} ${actor} ${reason}`);
        return [new Secret('a private key\n')];
      },
    },
    passwordLinks: {
      issue: async (name, { ttlMs, reason }) => {
        asked.push(`password-link ${name} ${ttlMs} ${reason}`);
        if (name === 'carol')
          throw new SallyportError('conflict', 'No link can be mailed', { detail: 'carol has no email' });
        return { address: `${name}@example.com`, expiresAtMs: nowMs + ttlMs };
      },
    },
    deliveryTester: {
      test: async (name) => {
        asked.push(`test-delivery ${name}`);
        return [
          { transport: 'sms', address: '…42', tookMs: 12, problem: 'gateway.example: status 500' },
          { transport: 'email', address: 'a…@example.com', tookMs: 7 },
        ];
      },
    },
    nodeChanges: {
      list: async (node, fromMs, toMs) => {
        asked.push(`changes ${node} ${fromMs} ${toMs}`);
        return { changes: [playedChange('in force')], isCut: false };
      },
      revoke: async (node, fromMs, toMs, { actor, reason }) => {
        asked.push(`revoke ${node} ${fromMs} ${toMs} ${actor} ${reason}`);
        return { changes: [playedChange('revoked')], isCut: false };
      },
    },
    incidents: {
      report: async ({ node, fromMs, mode }, { actor, reason }) => {
        asked.push(`incident ${node} ${fromMs} ${mode} ${actor} ${reason}`);
        return playedIncident(mode);
      },
    },
    explainer: {
      explain: async (question) => explain(question),
      explainAddress: async ({ ip }) => ({
        outcome: 'open',
        chain: [{ rule: 'dmz1 sftp door-full', result: `0 of 2048: connections in all, ${ip} among them` }],
      }),
    },
    ...changed,
  };
  const issued = authority.issueServerCertificate();
  const server: AdminServer = await startAdminServer({
    socket,
    socketTokens: options.socketTokens ?? 'optional',
    tls: {
      listen: { host: '127.0.0.1', port: 0 },
      certificate: { certificatePem: issued.certificatePem, keyPem: issued.privateKeyPem },
    },
    tokens,
    findUser,
    administered: ports.administered,
    routes: buildAdminRoutes(ports),
    audit: buildAudit(state),
    clock,
    log,
  });
  return {
    socket,
    folder,
    url: `https://localhost:${server.port}`,
    certificate: authority.certificatePem,
    makeToken: async (wish) => {
      const { text } = await tokens.make({
        owner: { service: 'test' },
        role: 'admin',
        note: '',
        lifeMs: 3_600_000,
        createdBy: 'test',
        ...wish,
      });
      return text.expose();
    },
    pass: (ms) => void (passedMs += ms),
    userOf: playedUser,
    state,
    users,
    sessions,
    orphans,
    former,
    asked,
    ports,
    close: async () => {
      closing.abort();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function showChange({ path, value }: YamlChange): string {
  return `${path.join('.')}=${value === undefined ? '(unset)' : JSON.stringify(value)}`;
}

export function playedUser(username: string): EffectiveUser {
  return {
    username,
    displayName: `The ${username}`,
    email: undefined,
    phone: undefined,
    groups: [],
    passwordHash: new Secret('$argon2id$v=19$never-shown'),
    sshKeys: [],
    twoFactor: {
      requiredOn: ['sftp'],
      registration: true,
      forceSetup: false,
      requiredFrom: undefined,
      deliveredTtlMs: undefined,
      sftpPasswordWithCode: false,
    },
    protocols: ['https', 'sftp'],
    status: 'active',
    expires: undefined,
    allowFrom: undefined,
    hours: undefined,
    mounts: [{ path: [], storage: 'local', root: [username], allow: new Set(['list']), uploads: 'atomic' }],
    quotaBytes: undefined,
    limits: { sessions: undefined, uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined },
    version: '1',
  };
}

function playedChange(state: NodeChange['state']): NodeChange {
  return { kind: 'ssh-key-added', user: 'alice', atMs: nowMs, subject: 'SHA256:x', state };
}

/** With every member that there can be. */
function playedIncident(mode: IncidentReport['mode']): IncidentReport {
  const at = new Date(nowMs).toISOString();
  const by = { user: 'alice', session: 'k-alice', client_ip: '203.0.113.9' };
  return {
    node: 'dmz1',
    since: at,
    until: at,
    mode,
    node_state: { state: 'revoked now', sessions_ended: 1 },
    known: {
      records: 12,
      gaps: [{ from: at, to: at, why: 'the records before number 7 are gone' }],
      never: ['which folders were listed'],
      compared_since: at,
    },
    people: [
      {
        user: 'alice',
        signed_in: 1,
        factors: ['pwd totp'],
        refused: { 'wrong-password': 2 },
        password_seen: true,
        addresses: [{ value: '203.0.113.9', new: true }],
        agents: [{ value: 'evil/1', new: true }],
        first: at,
        last: at,
      },
    ],
    sessions: [{ ...by, protocol: 'https', at, ended: at }],
    changes: [{ ...by, kind: 'ssh-key-added', at, subject: 'SHA256:x', state: 'in force', note: 'a note' }],
    files: [
      {
        ...by,
        record: 9,
        at,
        what: 'renamed',
        path: '/plan.txt',
        to_path: '/gone.txt',
        outcome: 'ok',
        bytes: 12,
        sha256: 'ab12',
        undo: { state: mode === 'undone' ? 'undone' : 'would be', note: 'it has its former name' },
      },
    ],
    other: [
      {
        record: 10,
        at,
        event: 'edge.limit',
        what: 'a limit of the node was reached',
        outcome: 'refused',
        user: 'alice',
        client_ip: '203.0.113.9',
        detail: 'too many connections',
        undo: 'nothing was changed inside',
      },
    ],
    counts: {
      people: 1,
      strangers: 3,
      sessions: 1,
      changes: 1,
      files: 1,
      other: 1,
      [mode === 'undone' ? 'undone' : 'would be']: 1,
    },
    more: true,
    more_until: at,
    steps: [
      {
        title: 'Tell the partners',
        why: 'they have a right to know',
        users: ['alice'],
        commands: ['sallyport status'],
      },
    ],
  };
}

const playedPlan: StorePlan = {
  etag: 'etag1',
  files: [
    {
      file: 'alice.yaml',
      action: 'change',
      keys: [
        { key: 'quota', old: undefined, new: '1GiB' },
        { key: 'email', old: null, new: undefined },
      ],
    },
    { file: 'bob.yaml', action: 'remove', keys: [] },
  ],
  unchanged: 3,
};

function playedSession(key: string, username: string): AnySession {
  return {
    key,
    username,
    node: 'dmz1',
    worker: 0,
    protocol: 'https',
    method: 'totp',
    clientIp: '203.0.113.9',
    openedAtMs: nowMs - 1_000,
    ended: new AbortController().signal,
    user: () => playedUser(username),
    state: 'signed-in',
  };
}

function playedLease(id: string, username: string): StoredLease {
  return {
    id,
    username,
    credential: 'password:1',
    protocol: 'sftp',
    node: 'dmz1',
    clientIp: '203.0.113.9',
    agent: 'SSH-2.0-x',
    openedAtMs: nowMs,
    usedAtMs: nowMs,
    ttlMs: 600_000,
    expiresAtMs: nowMs + 3_600_000,
    opensLeft: 199,
  };
}

function playedTransfer(id: string, username: string): Transfer {
  return {
    id,
    username,
    path: '/report.pdf',
    direction: 'upload',
    bytes: 1_048_576,
    bytesPerSecond: 65_536,
    startedAtMs: nowMs - 16_000,
    sessionKey: `k-${username}`,
    node: 'dmz1',
    protocol: 'https',
    clientIp: '203.0.113.9',
  };
}

function playedReport(username: string): TwoFactorReport {
  const enrolled = username === 'alice';
  return {
    state: enrolled ? 'enrolled' : 'none',
    requiredOn: ['sftp'],
    recoveryCodesLeft: enrolled ? 9 : 0,
    failures: 0,
    lockedOutOn: username === 'carol' ? ['sftp'] : [],
    setupDueOn: [],
    ...(username === 'bob' && { requiredFromMs: Date.UTC(2027, 0, 15), lockedOutThenOn: ['https'] }),
  };
}

function explain({ user, protocol, ip }: LoginQuestion) {
  return {
    user,
    protocol,
    outcome: 'totp' as const,
    chain: [{ rule: 'two_factor.required_on', result: `asked, from ${ip}`, origin: `users/${user}.yaml:4` }],
  };
}
