import { statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import { startAdminServer } from '#main-agent/admin/http/server.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { SallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { bodyBytesMax } from '#main-agent/admin/http/limits.ts';
import { findOpenApiFaults } from '#test/harness/openapi-structure.ts';
import { startPlayedMain, type PlayedMain } from './played-main.ts';

interface Called {
  readonly status: number;
  readonly json: Record<string, unknown>;
  readonly headers: Readonly<Record<string, string>>;
}

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly in: string; readonly name: string; readonly required: boolean }[];
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Readonly<Record<string, unknown>> }>
  >;
}

/** Objects of a JSON schema that name keys and take others too. */
function listOpen(schema: unknown): unknown[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const isClosed = 'additionalProperties' in schema && schema.additionalProperties === false;
  const own = 'properties' in schema && !isClosed ? [schema] : [];
  return [...own, ...Object.values(schema).flatMap(listOpen)];
}

describe('the admin API', () => {
  let main: PlayedMain;
  let client: OutboundClient;
  beforeEach(async () => {
    main = await startPlayedMain();
    client = buildOutboundClient({ socketPath: main.socket });
  });
  afterEach(async () => {
    await client.close();
    await main.close();
  });

  async function call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Called> {
    const answer = await client.send({
      url: new URL(path, 'http://main'),
      method,
      headers: { 'content-type': 'application/json', 'sallyport-actor': 'root', 'if-match': '*', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return {
      status: answer.status,
      headers: answer.headers,
      json: answer.body === '' ? {} : (JSON.parse(answer.body) as Record<string, unknown>),
    };
  }

  it('listens on a socket that only owner and group may open', () => {
    expect(statSync(main.socket).mode & 0o777).toBe(0o660);
    expect(statSync(dirname(main.socket)).mode & 0o007).toBe(0);
  });

  it('lists users by name, in pages', async () => {
    const first = await call('GET', '/v1/users?limit=2');
    expect(first.json).toMatchObject({ users: [{ username: 'alice' }, { username: 'bob' }], next: 'bob' });
    const second = await call('GET', '/v1/users?limit=2&cursor=bob');
    expect(second.json).toMatchObject({ users: [{ username: 'carol' }] });
    expect(second.json['next']).toBeUndefined();
  });

  it('lists groups by name, in pages', async () => {
    const groups = ['suppliers', 'partners', '_default'].map((name) => ({
      name,
      groups: [],
      users: 0,
      isBroken: false,
    }));
    const { ports } = main;
    await client.close();
    await main.close();
    main = await startPlayedMain({ groups: { ...ports.groups, list: () => groups } });
    client = buildOutboundClient({ socketPath: main.socket });
    const first = await call('GET', '/v1/groups?limit=2');
    expect(first.json).toMatchObject({
      groups: [{ name: '_default', broken: false }, { name: 'partners' }],
      next: 'partners',
    });
    const { json } = await call('GET', '/v1/groups?limit=2&cursor=partners');
    expect(json).toEqual({ groups: [{ name: 'suppliers', groups: [], users: 0, broken: false }] });
  });

  it('S-02: shows a user without the password hash, with an etag', async () => {
    const { json, headers } = await call('GET', '/v1/users/alice');
    expect(json).toMatchObject({ username: 'alice', password: 'set', files: [{ path: '/', root: 'alice' }] });
    expect(headers['etag']).toBe('"etag1"');
    expect(JSON.stringify(json)).not.toContain('argon2');
    expect((await call('GET', '/v1/users/nobody')).status).toBe(404);
  });

  it('S-16: a user who is added is somebody else than the one who had that name', async () => {
    main.orphans.push({ username: 'dora', goneAtMs: 0, returnedAtMs: undefined });
    await call('POST', '/v1/users', { username: 'dora' });
    expect(main.asked).toEqual(['expect-another dora', 'create dora {}']);
  });

  it('adds a user with a hashed password, once', async () => {
    const body = { username: 'dora', set: { email: 'd@example.com' }, password: 'long enough one' };
    expect(await call('POST', '/v1/users', body)).toMatchObject({ status: 201, json: { username: 'dora' } });
    expect(main.asked).toEqual(['create dora {"email":"d@example.com","password":"hash(15)"}']);
    expect((await call('POST', '/v1/users', body)).status).toBe(409);
    expect((await call('POST', '/v1/users', { username: 'eve', password: 'short' })).json).toMatchObject({
      status: 403,
      detail: 'The password is too short',
      hint: 'at least 12',
    });
    const hashed = { username: 'eve', set: { password: '$argon2id$…' } };
    expect((await call('POST', '/v1/users', hashed)).status).toBe(400);
  });

  it('changes a user key by dotted key, refused when the file changed underneath', async () => {
    const body = { set: { 'two_factor.required_on': ['https', 'sftp'], password: null }, unset: ['expires'] };
    const changed = await call('PATCH', '/v1/users/alice', body, { 'if-match': '"etag1"' });
    expect(changed).toMatchObject({ status: 200, json: { username: 'alice' } });
    expect(changed.headers['etag']).toBe('"etag2"');
    expect(main.asked).toEqual([
      'change alice two_factor.required_on=["https","sftp"] password=null expires=(unset)',
    ]);
    expect((await call('PATCH', '/v1/users/alice', body, { 'if-match': '"old"' })).status).toBe(412);
    expect((await call('PATCH', '/v1/users/alice', {})).status).toBe(400);
    expect((await call('PATCH', '/v1/users/alice', { set: { '../x': 1 } })).status).toBe(400);
    expect((await call('PATCH', '/v1/users/alice', { set: { password: '$argon2id$x' } })).status).toBe(400);
    expect((await call('PATCH', '/v1/users/nobody', body)).status).toBe(404);
  });

  it('removing a user or changing the password ends the sessions', async () => {
    expect((await call('PUT', '/v1/users/bob/password', { password: 'long enough one' })).status).toBe(204);
    expect((await call('DELETE', '/v1/users/alice')).status).toBe(204);
    expect(main.asked).toEqual([
      'change bob password="hash(15)"',
      'end-all bob password changed',
      'remove alice',
      'forget alice socket:root the user was removed',
    ]);
    expect((await call('PUT', '/v1/users/nobody/password', { password: 'long enough one' })).status).toBe(
      404,
    );
    expect((await call('DELETE', '/v1/users/nobody')).status).toBe(404);
  });

  it('tells where each effective value came from', async () => {
    expect((await call('GET', '/v1/users/alice/effective')).json).toEqual({
      username: 'alice',
      values: [{ key: 'display_name', value: 'The alice', file: 'users/alice.yaml', line: 2 }],
    });
    expect((await call('GET', '/v1/users/nobody/effective')).status).toBe(404);
  });

  it('tells, resets and unlocks a second factor, with a reason', async () => {
    expect((await call('GET', '/v1/users/alice/two-factor')).json).toMatchObject({
      state: 'enrolled',
      recovery_codes_left: 9,
    });
    expect((await call('DELETE', '/v1/users/alice/two-factor')).status).toBe(400);
    expect((await call('DELETE', '/v1/users/alice/two-factor', { reason: ' ' })).status).toBe(400);
    expect((await call('DELETE', '/v1/users/alice/two-factor', { reason: 'phone lost' })).status).toBe(204);
    expect((await call('POST', '/v1/users/alice/two-factor/unlock', { reason: 'called' })).status).toBe(204);
    expect(main.asked).toEqual(['reset alice socket:root phone lost', 'unlock alice socket:root called']);
    expect((await call('GET', '/v1/users/nobody/two-factor')).status).toBe(404);
  });

  it('makes a bypass code, within limits', async () => {
    const path = '/v1/users/alice/two-factor/bypass-code';
    const made = await call('POST', path, { reason: 'phone lost', ttl_seconds: 900, re_enrol: true });
    expect(made).toMatchObject({ status: 201, json: { code: 'BYPASS-CODE' } });
    expect(main.asked).toEqual(['bypass alice 900000 true phone lost']);
    for (const [seconds, status] of [
      [59, 400],
      [60, 201],
      [86_400, 201],
      [86_401, 400],
    ] as const) {
      const answer = await call('POST', path, { reason: 'phone lost', ttl_seconds: seconds });
      expect(answer.status).toBe(status);
    }
  });

  it('sends a test message and says what became of it, which the audit keeps', async () => {
    expect(await call('POST', '/v1/test-delivery', { user: 'alice' })).toMatchObject({
      status: 200,
      json: {
        user: 'alice',
        results: [
          { transport: 'sms', accepted: false, problem: 'gateway.example: status 500', took_ms: 12 },
          { transport: 'email', accepted: true, address: 'a…@example.com' },
        ],
      },
    });
    expect(main.state.audit.at(-1)).toMatchObject({
      rule: 'POST /v1/test-delivery',
      detail: 'alice: sms gateway.example: status 500; alice: email accepted',
    });
    expect((await call('POST', '/v1/test-delivery', { user: 'nobody' })).status).toBe(404);
    expect((await call('POST', '/v1/test-delivery', { user: 'alice', to: 'x@example.com' })).status).toBe(
      400,
    );
  });

  it('reports the roll-out: who is protected, and who would be locked out', async () => {
    expect((await call('GET', '/v1/two-factor/roll-out')).json).toMatchObject({
      users: [
        { username: 'alice', state: 'enrolled', protection: 'partly protected' },
        {
          username: 'bob',
          protection: 'partly protected',
          required_from: '2027-01-15T00:00:00.000Z',
          locked_out_then_on: ['https'],
        },
        { username: 'carol', protection: 'locked out', locked_out_on: ['sftp'] },
      ],
      warnings: ['no code is asked from 10.0.0.0/8'],
    });
  });

  it('lists and ends sessions and leases', async () => {
    expect((await call('GET', '/v1/sessions?user=bob')).json).toMatchObject({ sessions: [{ key: 'k-bob' }] });
    expect((await call('GET', '/v1/leases')).json).toMatchObject({ leases: [{ id: 'l1', opens_left: 199 }] });
    expect((await call('DELETE', '/v1/sessions/k-bob?reason=lunch')).status).toBe(204);
    expect((await call('DELETE', '/v1/sessions/gone')).status).toBe(404);
    expect((await call('DELETE', '/v1/sessions?user=alice')).json).toEqual({ ended: 1 });
    expect((await call('DELETE', '/v1/sessions')).status).toBe(400);
    expect((await call('DELETE', '/v1/leases?user=alice')).status).toBe(204);
    expect(main.asked).toEqual([
      'end k-bob lunch',
      'end gone by an admin',
      'end-all alice by an admin',
      'end-leases alice socket:root by an admin',
    ]);
  });

  it('answers status and nodes', async () => {
    expect((await call('GET', '/v1/status')).json).toMatchObject({ ok: true, name: 'main1', sessions: 2 });
    expect((await call('GET', '/v1/nodes')).json).toMatchObject({ nodes: [{ name: 'dmz1' }] });
  });

  it('explains a login', async () => {
    const { json } = await call('GET', '/v1/explain-login?user=alice&protocol=sftp&ip=203.0.113.9');
    expect(json).toMatchObject({ user: 'alice', protocol: 'sftp', outcome: 'totp', chain: [{}] });
    for (const query of ['user=alice&protocol=ftp&ip=::1', 'user=alice&protocol=sftp&ip=here', '']) {
      expect((await call('GET', `/v1/explain-login?${query}`)).status).toBe(400);
    }
  });

  it('every call leaves a record with actor, rule and outcome, found by nobody else', async () => {
    await call('GET', '/v1/users/alice');
    await call('PATCH', '/v1/users/alice', { set: { quota: '1GiB' }, unset: ['expires'] });
    await call('POST', '/v1/users', { username: 'dora', password: 'long enough one' });
    await call('DELETE', '/v1/sessions/gone', undefined, { 'sallyport-actor': 'evil\u00e9 name' });
    expect(JSON.stringify(main.state.audit)).not.toContain('long enough');
    expect(main.state.audit).toEqual([
      expect.objectContaining({
        event: 'admin.call',
        outcome: 'ok',
        actor: 'socket:root',
        user: 'alice',
        rule: 'GET /v1/users/{user}',
      }),
      expect.objectContaining({ user: 'alice', detail: 'set quota, unset expires' }),
      expect.objectContaining({ user: 'dora', rule: 'POST /v1/users' }),
      expect.objectContaining({
        outcome: 'refused',
        actor: 'socket:unknown',
        detail: expect.stringContaining('not-found'),
      }),
    ]);
  });

  it('S-14: no durable record, no answer but an error', async () => {
    main.state.beforeCommit = () => {
      throw new Error('disk full');
    };
    expect((await call('GET', '/v1/users')).status).toBe(500);
    main.state.beforeCommit = undefined;
  });

  it('finds records by reference and in order', async () => {
    const record = { time: 't', event: 'login.refused', outcome: 'refused', reference: 'ABCD2345' } as const;
    await main.state.commit([{ kind: 'audit', record }]);
    expect((await call('GET', '/v1/audit/ABCD2345')).json).toEqual({ records: [record] });
    expect((await call('GET', '/v1/audit/NONE')).status).toBe(404);
    const page = await call('GET', '/v1/audit?after=0&limit=1');
    expect(page.json).toMatchObject({ records: [{ sequence: 1, record }], next: 1 });
    const newest = await call('GET', '/v1/audit?limit=1');
    expect(newest.json).toMatchObject({ records: [{ sequence: 4 }] });
  });

  it('describes exactly its routes in openapi.json', async () => {
    const { json } = await call('GET', '/openapi.json');
    const paths = json['paths'] as Record<string, Record<string, unknown>>;
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = buildAdminRoutes(main.ports).map(({ method, pattern }) => `${method} ${pattern}`);
    expect(described.toSorted()).toEqual(served.toSorted());
    expect(new Set(served).size).toBe(served.length);
  });

  it('openapi.json holds together: references lead somewhere, names are unique, objects are closed', async () => {
    const { json } = await call('GET', '/openapi.json');
    expect(findOpenApiFaults(json)).toEqual([]);
    const operations = Object.entries(json['paths'] as Record<string, Record<string, Operation>>).flatMap(
      ([path, methods]) => Object.values(methods).map((operation) => ({ path, ...operation })),
    );
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, parameters, responses } of operations) {
      const named = parameters
        .filter((one) => one.in === 'path' && one.required)
        .map(({ name }) => `{${name}}`);
      expect(named).toEqual(path.match(/\{[^}]+\}/g) ?? []);
      const good = Object.keys(responses).filter((status) => /^2\d\d$/.test(status));
      expect(good, path).toHaveLength(1);
      for (const [status, response] of Object.entries(responses)) {
        expect(response.description).not.toBe('');
        expect(response.content === undefined, `${path} ${status}`).toBe(status === '204');
      }
    }
    const text = JSON.stringify(json);
    for (const [, reference = ''] of text.matchAll(/"\$ref":"([^"]+)"/g)) {
      expect(reference).toBe('#/components/schemas/Problem');
    }
    // What an answer may hold is all said: a key that is not named would be a lie.
    const answers = operations.flatMap(({ responses }) => Object.values(responses));
    expect(listOpen(answers.map(({ content }) => content?.['application/json']))).toEqual([]);
  });

  it('refuses what does not fit: unknown routes, bodies that are no JSON or too large, unknown keys', async () => {
    expect((await call('GET', '/v1/secrets')).status).toBe(404);
    expect((await call('POST', '/v1/users/alice')).status).toBe(404);
    expect((await call('GET', '/v1/users/%ff')).status).toBe(404);
    expect((await call('POST', '/v1/users', '{"username":')).status).toBe(400);
    expect((await call('POST', '/v1/users', { username: 'x', admin: true })).status).toBe(400);
    expect(
      (await call('POST', '/v1/users', { username: 'x' }, { 'content-type': 'text/plain' })).status,
    ).toBe(400);
    expect((await call('GET', '/v1/users', { a: 1 })).status).toBe(400);
    expect((await call('GET', '/v1/users?limit=0')).status).toBe(400);
    expect((await call('GET', '/v1/users?limit=1001')).status).toBe(400);
    const large = (bytes: number): string => `"${'x'.repeat(bytes - 2)}"`;
    expect((await call('POST', '/v1/users', large(bodyBytesMax))).status).toBe(400);
    expect((await call('POST', '/v1/users', large(bodyBytesMax + 1))).status).toBe(413);
  });

  it('status says what is wrong', async () => {
    await client.close();
    await main.close();
    main = await startPlayedMain({
      doctor: {
        examine: async () => ({
          findings: [{ check: 'clock', state: 'bad', affects: 'health', detail: 'the clock jumped' }],
          unlooked: [],
        }),
      },
    });
    client = buildOutboundClient({ socketPath: main.socket });
    expect((await call('GET', '/v1/status')).json).toMatchObject({
      ok: false,
      problems: ['clock: the clock jumped'],
    });
  });

  it('takes over the socket of a killed main, but nothing that is not a socket', async () => {
    const options = {
      routes: [],
      socketTokens: 'optional' as const,
      tokens: { judge: () => ({ ok: false as const, why: 'none' }) },
      findUser: () => undefined,
      administered: main.ports.administered,
      audit: buildAudit(main.state),
      clock: main.ports.clock,
      log: buildLog('silent', {}),
    };
    const again = await startAdminServer({ ...options, socket: main.socket });
    await again.close();
    const file = join(dirname(main.socket), 'file');
    writeFileSync(file, '');
    await expect(startAdminServer({ ...options, socket: file })).rejects.toBeInstanceOf(SallyportError);
  });
});
