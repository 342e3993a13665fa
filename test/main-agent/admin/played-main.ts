import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoginQuestion, TwoFactorReport, UserChange } from '#main-agent/admin/ports.ts';
import { buildAdminRoutes, type AdminPorts } from '#main-agent/admin/routes.ts';
import { startAdminServer, type AdminServer } from '#main-agent/admin/server.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import type { AnySession } from '#main-agent/login/session.ts';
import type { StoredLease } from '#main-agent/state/state-store.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';

/** A main without login, files and links, behind a real admin socket: what the API asks of the others is played. */
export interface PlayedMain {
  readonly socket: string;
  readonly state: MemoryState;
  readonly users: Map<string, EffectiveUser>;
  readonly sessions: AnySession[];
  /** What was asked of the ports, in order. */
  readonly asked: string[];
  readonly ports: AdminPorts;
  close(): Promise<void>;
}

export const nowMs = 1_795_500_000_000;

export async function startPlayedMain(changed: Partial<AdminPorts> = {}): Promise<PlayedMain> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-admin-'));
  const socket = join(folder, 'run', 'admin.sock');
  const state = buildMemoryState(() => nowMs);
  const users = new Map(['alice', 'bob', 'carol'].map((name) => [name, playedUser(name)]));
  const sessions = [playedSession('k-alice', 'alice'), playedSession('k-bob', 'bob')];
  const asked: string[] = [];
  const closing = new AbortController();
  const requireEtag = (ifMatch: string | undefined): void => {
    if (ifMatch === undefined || ifMatch === 'etag1') return;
    throw new SallyportError('precondition-failed', 'The user file has changed');
  };

  const ports: AdminPorts = {
    name: 'main1',
    startedAtMs: nowMs - 60_000,
    clock: { now: () => nowMs, monotonic: () => nowMs },
    switches: { validatedLogins: true, autoEnable: false },
    health: { problems: () => [] },
    state,
    nodeHeads: () => [{ node: 'dmz1', worker: 0, sequence: 1, hash: 'h' }],
    closing: closing.signal,
    auditFeed: { head: () => ({ sequence: state.audit.length, hash: 'h' }) },
    nodes: {
      list: () => [
        {
          name: 'dmz1',
          address: '10.0.1.5:8444',
          identity: 'SHA256:x',
          links: [{ worker: 0, up: true, epoch: 3, lanes: 2, clockSkewMs: 12 }],
        },
      ],
    },
    users: {
      find: (name) => users.get(name),
      list: () => users.values(),
      problems: () => [],
      etag: async () => 'etag1',
      origins: async (name) => [
        { key: 'display_name', value: users.get(name)?.displayName, file: `users/${name}.yaml`, line: 2 },
      ],
      create: async (name, fields) => {
        if (users.has(name)) throw new SallyportError('exists', 'There is such a user already');
        asked.push(`create ${name} ${JSON.stringify(fields)}`);
        users.set(name, playedUser(name));
        return 'etag2';
      },
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
    groups: {
      list: () => [{ name: 'partners', groups: [], users: 3, isBroken: false }],
      show: async (name) => ({ name, fields: { quota: '1GiB' }, users: ['alice'], etag: 'etag1' }),
      create: async () => 'etag1',
      change: async () => 'etag2',
      remove: async () => undefined,
    },
    plans: {
      plan: async () => ({ etag: 'etag1', files: [], unchanged: 3 }),
      apply: async () => ({ etag: 'etag1', files: [], unchanged: 3 }),
    },
    passwords: {
      hash: async (password) => {
        if (password.expose().length < 12) {
          throw new SallyportError('not-allowed', 'The password is too short', { hint: 'at least 12' });
        }
        return new Secret(`hash(${password.expose().length})`);
      },
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
      endAllOf: async (name, { actor, reason }) => void asked.push(`end-leases ${name} ${actor} ${reason}`),
    },
    confirmClock: async ({ actor, reason }) => void asked.push(`clock ${actor} ${reason}`),
    twoFactor: {
      status: async (name) => playedReport(name),
      warnings: () => ['no code is asked from 10.0.0.0/8'],
      reset: async (name, { actor, reason }) => void asked.push(`reset ${name} ${actor} ${reason}`),
      unlock: async (name, { actor, reason }) => void asked.push(`unlock ${name} ${actor} ${reason}`),
      makeBypassCode: async (name, { ttlMs, reEnrol, reason }) => {
        asked.push(`bypass ${name} ${ttlMs} ${reEnrol} ${reason}`);
        return new Secret('BYPASS-CODE');
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
    explainer: { explain: async (question) => explain(question) },
    ...changed,
  };
  const server: AdminServer = await startAdminServer({
    socket,
    routes: buildAdminRoutes(ports),
    audit: buildAudit(state),
    clock: ports.clock,
    log: buildLog('silent', {}),
  });
  return {
    socket,
    state,
    users,
    sessions,
    asked,
    ports,
    close: async () => {
      closing.abort();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function showChange({ path, value }: UserChange): string {
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
