import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import { binId, type PlayedMain } from './played-main.ts';

/** One request for each admin route that its played main does as asked. */

export interface GoodRequest {
  readonly path: string;
  readonly body?: object;
  /** Makes what must be there first; its id, where `{id}` stands in the path. */
  before?(main: PlayedMain): Promise<string | void>;
}

const reason = 'a good reason';
const keyLine =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@laptop';
const since = '2026-11-24T00:00:00Z';

async function addRecord({ state }: PlayedMain): Promise<void> {
  const record = {
    time: since,
    event: 'login.refused',
    outcome: 'refused',
    user: 'alice',
    node: 'dmz1',
    protocol: 'sftp',
    clientIp: '203.0.113.9',
    agent: 'SSH-2.0-x',
    method: 'totp',
    rule: 'password',
    reference: 'ABCD2345',
    edge: { worker: 0, boot: 'b', sequence: 1, atMs: 1, signature: 's' },
  } as const;
  await state.commit([{ kind: 'audit', record }]);
}

async function addBan({ ports }: PlayedMain): Promise<string> {
  const { id } = await ports.bans.add({ address: '203.0.113.9', reason, actor: 'test', forMs: 3_600_000 });
  return id;
}

async function addToken(main: PlayedMain): Promise<string> {
  await main.makeToken({ role: 'helpdesk', groups: ['partners'] });
  return main.ports.tokens.list()[0]?.id ?? '';
}

/** With all that a user file can say. */
async function fillAlice(main: PlayedMain): Promise<void> {
  const alice = main.userOf('alice');
  main.users.set('alice', {
    ...alice,
    adminRole: 'viewer',
    email: 'alice@example.com',
    phone: '+15551230000',
    groups: ['partners'],
    sshKeys: [parsePublicKeyLine(keyLine)],
    twoFactor: { ...alice.twoFactor, requiredFrom: { graceMs: 86_400_000 }, deliveredTtlMs: 300_000 },
    expires: '2027-12-31',
    allowFrom: ['203.0.113.0/24'],
    hours: { days: [1, 5], fromMinute: 450, toMinute: 1200, zone: 'Europe/Berlin' },
    quotaBytes: 1024,
    limits: { sessions: 8, uploadBytesPerSecond: 1024, downloadBytesPerSecond: 1024 },
  });
}

/** She went and came back. */
async function orphanAlice({ orphans }: PlayedMain): Promise<void> {
  orphans.push({ username: 'alice', goneAtMs: 0, returnedAtMs: 60_000 });
}

export const goodRequests: Readonly<Record<string, GoodRequest>> = {
  'GET /v1/status': { path: '/v1/status' },
  'GET /v1/explain-login': { path: '/v1/explain-login?user=alice&protocol=sftp&ip=203.0.113.9' },
  'GET /v1/audit': { path: '/v1/audit', before: addRecord },
  'GET /v1/audit/heads': { path: '/v1/audit/heads', before: addRecord },
  'GET /v1/audit/{reference}': { path: '/v1/audit/ABCD2345', before: addRecord },
  'GET /v1/users': { path: '/v1/users?limit=2' },
  'POST /v1/users': {
    path: '/v1/users',
    body: {
      username: 'dora',
      set: { email: 'd@example.com', groups: ['partners'] },
      password: 'long enough one',
    },
  },
  'GET /v1/users/{user}': {
    path: '/v1/users/alice',
    before: fillAlice,
  },
  'PATCH /v1/users/{user}': { path: '/v1/users/alice', body: { set: { email: 'a@example.com' } } },
  'DELETE /v1/users/{user}': { path: '/v1/users/alice' },
  'GET /v1/users/{user}/effective': { path: '/v1/users/alice/effective' },
  'PUT /v1/users/{user}/password': {
    path: '/v1/users/alice/password',
    body: { password: 'long enough one' },
  },
  'POST /v1/users/{user}/rename': { path: '/v1/users/alice/rename', body: { username: 'alina', reason } },
  'POST /v1/users/{user}/password-link': { path: '/v1/users/alice/password-link', body: { reason } },
  'POST /v1/users/plan': { path: '/v1/users/plan', body: { files: {} } },
  'POST /v1/users/apply': { path: '/v1/users/apply', body: { files: {}, etag: 'etag1' } },
  'GET /v1/groups': { path: '/v1/groups?limit=1' },
  'POST /v1/groups': { path: '/v1/groups', body: { name: 'suppliers' } },
  'GET /v1/groups/{group}': { path: '/v1/groups/partners' },
  'PATCH /v1/groups/{group}': { path: '/v1/groups/partners', body: { unset: ['quota'] } },
  'DELETE /v1/groups/{group}': { path: '/v1/groups/partners' },
  'GET /v1/users/{user}/two-factor': { path: '/v1/users/alice/two-factor' },
  'DELETE /v1/users/{user}/two-factor': { path: '/v1/users/alice/two-factor', body: { reason } },
  'POST /v1/users/{user}/two-factor/unlock': {
    path: '/v1/users/alice/two-factor/unlock',
    body: { reason },
  },
  'POST /v1/users/{user}/two-factor/bypass-code': {
    path: '/v1/users/alice/two-factor/bypass-code',
    body: { reason },
  },
  'POST /v1/users/import': {
    path: '/v1/users/import',
    body: { users: [{ username: 'alice' }, { username: 'erin', password_hash: '$2b$' }], reason },
  },
  'GET /v1/hash-key': { path: '/v1/hash-key' },
  'POST /v1/two-factor/import': {
    path: '/v1/two-factor/import',
    body: { secrets: [{ user: 'alice', secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' }], reason },
  },
  'GET /v1/two-factor/roll-out': { path: '/v1/two-factor/roll-out' },
  'GET /v1/two-factor/orphans': { path: '/v1/two-factor/orphans', before: orphanAlice },
  'POST /v1/two-factor/orphans/keep': {
    path: '/v1/two-factor/orphans/keep',
    body: { users: ['alice', 'bob'], reason },
    before: orphanAlice,
  },
  'POST /v1/users/{user}/two-factor/keep': {
    path: '/v1/users/alice/two-factor/keep',
    body: { reason },
    before: orphanAlice,
  },
  'POST /v1/backup': {
    path: '/v1/backup',
    body: { file: '/mnt/backup/main1', recipients: ['a passphrase'] },
  },
  'POST /v1/audit/acknowledge': { path: '/v1/audit/acknowledge', body: { reason } },
  'POST /v1/clock/confirm': { path: '/v1/clock/confirm', body: { reason } },
  'GET /v1/certificate': { path: '/v1/certificate' },
  'POST /v1/certificate/renew': { path: '/v1/certificate/renew', body: {} },
  'GET /v1/hostkeys': { path: '/v1/hostkeys' },
  'POST /v1/hostkeys/{node}/rotate': { path: '/v1/hostkeys/dmz1/rotate', body: {} },
  'POST /v1/hostkeys/{node}/import': { path: '/v1/hostkeys/dmz1/import', body: { files: ['a private key'] } },
  'POST /v1/hostkeys/{node}/share': { path: '/v1/hostkeys/dmz1/share', body: { with: 'dmz2' } },
  'POST /v1/hostkeys/{node}/export': {
    path: '/v1/hostkeys/dmz1/export',
    body: { reason: 'back to the node' },
  },
  'POST /v1/test-delivery': { path: '/v1/test-delivery', body: { user: 'alice' } },
  'GET /v1/sessions': { path: '/v1/sessions' },
  'DELETE /v1/sessions': { path: '/v1/sessions?user=alice' },
  'DELETE /v1/sessions/{key}': { path: '/v1/sessions/k-alice' },
  'GET /v1/leases': { path: '/v1/leases' },
  'DELETE /v1/leases': { path: '/v1/leases?user=alice' },
  'DELETE /v1/leases/{id}': { path: '/v1/leases/l1' },
  'GET /v1/transfers': { path: '/v1/transfers' },
  'DELETE /v1/transfers/{id}': { path: '/v1/transfers/t1' },
  'GET /v1/users/{user}/bin': { path: '/v1/users/alice/bin' },
  'POST /v1/users/{user}/bin/{id}/restore': {
    path: `/v1/users/alice/bin/${binId}/restore`,
    body: { reason },
  },
  'POST /v1/users/{user}/bin/empty': { path: '/v1/users/alice/bin/empty', body: { reason } },
  'GET /v1/retention/plan': { path: '/v1/retention/plan' },
  'POST /v1/retention/run': { path: '/v1/retention/run', body: { reason } },
  'GET /v1/bans': { path: '/v1/bans', before: addBan },
  'POST /v1/bans': { path: '/v1/bans', body: { address: '203.0.113.9', reason, for_seconds: 3600 } },
  'DELETE /v1/bans/{id}': { path: '/v1/bans/{id}', before: addBan },
  'DELETE /v1/bans': { path: '/v1/bans?address=203.0.113.9', before: addBan },
  'GET /v1/nodes': { path: '/v1/nodes' },
  'POST /v1/nodes/{node}/revoke': { path: '/v1/nodes/dmz1/revoke', body: { reason } },
  'DELETE /v1/nodes/{node}/revoke': { path: '/v1/nodes/dmz1/revoke' },
  'POST /v1/nodes/rotate': { path: '/v1/nodes/rotate', body: { line: 'dmz1 new keys' } },
  'GET /v1/whoami': { path: '/v1/whoami' },
  'GET /v1/tokens': { path: '/v1/tokens', before: addToken },
  'POST /v1/tokens': { path: '/v1/tokens', body: { service: 'robot', role: 'viewer' } },
  'DELETE /v1/tokens/{id}': { path: '/v1/tokens/{id}', before: addToken },
  'GET /v1/doctor': { path: '/v1/doctor' },
  'GET /v1/config': { path: '/v1/config' },
  'GET /v1/nodes/{node}/incident': { path: `/v1/nodes/dmz1/incident?since=${since}` },
  'POST /v1/nodes/{node}/incident': { path: '/v1/nodes/dmz1/incident', body: { since, undo: true, reason } },
  'GET /v1/nodes/{node}/changes': { path: `/v1/nodes/dmz1/changes?since=${since}` },
  'POST /v1/nodes/{node}/changes/revoke': {
    path: '/v1/nodes/dmz1/changes/revoke',
    body: { since, reason },
  },
};
