import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect } from 'node:tls';
import { docsContentSecurityPolicy } from '#main-agent/admin/http/docs-page.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { wrongTokensMax, throttleMs } from '#main-agent/admin/access/limits.ts';
import { startPlayedMain, type PlayedMain } from './played-main.ts';

let main: PlayedMain;
let client: OutboundClient;
beforeEach(async () => {
  main = await startPlayedMain();
  client = buildOutboundClient({ ca: main.certificate });
});
afterEach(async () => {
  await client.close();
  await main.close();
});

async function call(
  method: string,
  path: string,
  token?: string,
  body?: object,
  headers: Record<string, string> = {},
) {
  const answer = await client.send({
    url: new URL(path, main.url),
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const isJson = answer.headers['content-type']?.includes('json') === true;
  return {
    ...answer,
    json: isJson ? (JSON.parse(answer.body) as Record<string, unknown>) : {},
  };
}

describe('the TLS listener', () => {
  it('speaks TLS 1.3 only, sets no cookie, allows no other site, and says what is missing', async () => {
    const refused = await call('GET', '/v1/status');
    expect(refused).toMatchObject({ status: 401, json: { code: 'not-authenticated' } });
    expect(refused.headers).toMatchObject({
      'www-authenticate': expect.stringMatching(/^Bearer/),
      'cache-control': 'no-store',
    });
    expect(Object.keys(refused.headers).filter((name) => /cookie|access-control/.test(name))).toEqual([]);
    const token = await main.makeToken();
    expect(
      (await call('GET', '/v1/status', token, undefined, { origin: 'https://evil.example' })).status,
    ).toBe(403);
    const { port, hostname } = new URL(main.url);
    const old = await new Promise<string>((resolve) => {
      const socket = connect({
        host: hostname,
        port: Number(port),
        maxVersion: 'TLSv1.2',
        ca: main.certificate,
      });
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      socket.once('secureConnect', () => resolve('connected'));
    });
    expect(old).not.toBe('connected');
  });

  it('answers an address with too many wrong tokens nothing else for a while, whatever it brings then', async () => {
    const token = await main.makeToken();
    for (let count = 1; count < wrongTokensMax; count += 1)
      expect((await call('GET', '/v1/whoami', 'wrong')).status).toBe(401);
    expect((await call('GET', '/v1/whoami', token)).status).toBe(200);
    expect((await call('GET', '/v1/whoami', 'wrong')).status).toBe(401);
    const waiting = await call('GET', '/v1/whoami', token);
    expect(waiting.status).toBe(429);
    expect(waiting.headers['retry-after']).toBe(String(throttleMs / 1000));
    main.pass(throttleMs);
    expect((await call('GET', '/v1/whoami', token)).status).toBe(200);
  });

  it('shows the table as a page without scripts, to everybody', async () => {
    const page = await call('GET', '/docs');
    expect(page.headers['content-security-policy']).toBe(docsContentSecurityPolicy);
    expect(page.body).toContain('POST /v1/bans');
    expect(page.body).not.toMatch(/<script|javascript:|onclick|src=/i);
  });
});

describe('tokens', () => {
  it('are shown once, stored hashed, listed by id, and dead when revoked', async () => {
    const admin = await main.makeToken();
    const made = await call('POST', '/v1/tokens', admin, { service: 'backup', role: 'viewer' });
    expect(made.status).toBe(201);
    const token = String(made.json['token']);
    expect(await call('GET', '/v1/whoami', token)).toMatchObject({ status: 200, json: { role: 'viewer' } });
    expect(JSON.stringify(await main.state.read('kept-token'))).not.toContain(token.slice(17));
    const list = await call('GET', '/v1/tokens', admin);
    expect(list.body).not.toContain(token.slice(17));
    expect(list.json).toMatchObject({
      tokens: expect.arrayContaining([
        expect.objectContaining({
          id: made.json['id'],
          owner: 'backup',
          kind: 'service',
          used_at: expect.any(String),
        }),
      ]),
    });
    expect((await call('DELETE', `/v1/tokens/${String(made.json['id'])}`, admin)).status).toBe(204);
    expect((await call('GET', '/v1/whoami', token)).status).toBe(401);
    expect((await main.state.read('kept-token')).some(({ id }) => id === made.json['id'])).toBe(false);
    expect((await call('DELETE', '/v1/tokens/000000000000', admin)).status).toBe(404);
  });

  it('S-16: are their person’s alone: refused while a name that came back waits, and for good once it is another’s', async () => {
    main.users.set('eva', { ...main.userOf('eva'), adminRole: 'admin' });
    const token = await main.makeToken({ owner: { user: 'eva' } });
    const status = async (of: string): Promise<number> => (await call('GET', '/v1/whoami', of)).status;
    expect(await status(token)).toBe(200);
    main.orphans.push({ username: 'eva', goneAtMs: 0, returnedAtMs: 1 });
    expect(await status(token)).toBe(401);
    expect(main.state.audit.at(-1)).toMatchObject({
      event: 'admin.refused',
      detail: expect.stringContaining('given again'),
    });
    main.orphans.length = 0;
    expect(await status(token)).toBe(200);
    main.former.set('eva', main.ports.clock.now());
    expect(await status(token)).toBe(401);
    main.pass(1);
    expect(await status(await main.makeToken({ owner: { user: 'eva' } }))).toBe(200);
  });

  it('belong to a person whose admin_role covers them, or to a service, never to both', async () => {
    const admin = await main.makeToken();
    main.users.set('eva', { ...main.userOf('eva'), adminRole: 'helpdesk' });
    const status = async (body: object): Promise<number> =>
      (await call('POST', '/v1/tokens', admin, body)).status;
    expect(await status({ user: 'eva', role: 'helpdesk' })).toBe(201);
    expect(await status({ user: 'eva', role: 'admin' })).toBe(409);
    expect(await status({ user: 'alice', role: 'viewer' })).toBe(409);
    expect(await status({ user: 'nobody', role: 'viewer' })).toBe(404);
    expect(await status({ role: 'viewer' })).toBe(400);
    expect(await status({ user: 'eva', service: 'x', role: 'viewer' })).toBe(400);
    expect(await status({ service: 'x', role: 'viewer', groups: ['partners'] })).toBe(400);
  });

  it('a helpdesk acts on users of its groups, and on nobody with a higher admin_role', async () => {
    main.users.set('erin', { ...main.userOf('erin'), groups: ['partners'] });
    main.users.set('root', { ...main.userOf('root'), groups: ['partners'], adminRole: 'admin' });
    const ofGroup = await main.makeToken({ role: 'helpdesk', groups: ['partners'] });
    const ofAll = await main.makeToken({ role: 'helpdesk' });
    const unlock = async (token: string, user: string): Promise<number> =>
      (await call('POST', `/v1/users/${user}/two-factor/unlock`, token, { reason: 'called' })).status;
    expect(await unlock(ofGroup, 'erin')).toBe(204);
    expect(await unlock(ofGroup, 'alice')).toBe(403);
    expect(await unlock(ofGroup, 'root')).toBe(403);
    expect(await unlock(ofAll, 'alice')).toBe(204);
    expect(await unlock(ofAll, 'root')).toBe(403);
    const ban = async (token: string, body: object): Promise<number> =>
      (await call('POST', '/v1/bans', token, { reason: 'abuse', for_seconds: 3600, ...body })).status;
    expect(await ban(ofGroup, { user: 'erin' })).toBe(201);
    expect(await ban(ofGroup, { address: '203.0.113.9' })).toBe(403);
    expect((await call('GET', '/v1/users/alice', ofGroup)).status).toBe(200);
  });

  it('are honoured on the socket too, and a wrong one is not forgiven there', async () => {
    const overSocket = buildOutboundClient({ socketPath: main.socket });
    const ask = async (token: string) =>
      overSocket.send({
        url: new URL('http://main/v1/whoami'),
        method: 'GET',
        headers: { authorization: `Bearer ${token}` },
      });
    expect(JSON.parse((await ask(await main.makeToken({ role: 'viewer' }))).body)).toMatchObject({
      role: 'viewer',
    });
    expect((await ask('wrong')).status).toBe(401);
    await overSocket.close();
  });
});

describe('bans', () => {
  it('are durable, listed, replaced, pushed, and lifted', async () => {
    const token = await main.makeToken();
    const add = (body: object) =>
      call('POST', '/v1/bans', token, { reason: 'abuse', for_seconds: 3600, ...body });
    const made = await add({ address: '203.0.113.9' });
    expect(made).toMatchObject({ status: 201, json: { made_by: 'admin', address: '203.0.113.9' } });
    expect(main.asked).toContain('push');
    expect(await main.state.read('kept-ban')).toHaveLength(1);
    expect((await add({ address: '203.0.113.9', for_seconds: 60 })).json['id']).toBe(made.json['id']);
    expect((await add({ user: 'bob', address: '2001:db8::1' })).json['address']).toBe('2001:db8::1/64');
    expect((await call('GET', '/v1/bans?limit=1', token)).json).toMatchObject({
      bans: [{}],
      next: expect.any(String),
    });
    expect((await call('GET', '/v1/bans?user=bob', token)).json).toMatchObject({ bans: [{ user: 'bob' }] });
    expect((await call('DELETE', `/v1/bans/${String(made.json['id'])}`, token)).status).toBe(204);
    expect((await call('DELETE', '/v1/bans/gone', token)).status).toBe(404);
    expect((await call('DELETE', '/v1/bans?address=2001:db8::1', token)).json).toEqual({ lifted: 1 });
    expect(await main.state.read('kept-ban')).toEqual([]);
  });

  it('refuse the world, what is no address, and the never-ban list', async () => {
    const token = await main.makeToken();
    const status = async (address: string): Promise<number> =>
      (await call('POST', '/v1/bans', token, { address, reason: 'abuse', for_seconds: 3600 })).status;
    expect(await status('0.0.0.0/0')).toBe(400);
    expect(await status('10.0.0.0/7')).toBe(400);
    expect(await status('10.0.0.0/8')).toBe(201);
    expect(await status('::/0')).toBe(400);
    expect(await status('not an address')).toBe(400);
    expect(await status('192.0.2.7')).toBe(409);
  });

  it('end by themselves', async () => {
    const token = await main.makeToken();
    await call('POST', '/v1/bans', token, { user: 'bob', reason: 'abuse', for_seconds: 60 });
    main.pass(59_999);
    expect((await call('GET', '/v1/bans', token)).json).toMatchObject({ bans: [{ user: 'bob' }] });
    main.pass(1);
    expect((await call('GET', '/v1/bans', token)).json).toMatchObject({ bans: [] });
  });
});
