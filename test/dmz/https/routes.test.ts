import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildRoutes } from '#dmz/https/routes.ts';
import { Door, publicUrl, type Client } from './door.ts';
import { rightPassword } from './fake-inside.ts';

let door: Door;
beforeAll(async () => {
  door = await Door.open();
});
afterAll(() => door.close());

const routesOf = (): ReturnType<typeof buildRoutes> => buildRoutes(door.inside);
/** A path the pattern matches, made so that its handler changes nothing. */
const pathOf = (pattern: string): string => pattern.replace('*', 'no-such-thing');

describe('the table of routes', () => {
  it('has exactly these public ones', () => {
    const open = routesOf().filter(({ access }) => access === 'public');
    expect(open.map(({ method, pattern }) => `${method} ${pattern}`)).toEqual([
      'GET /.well-known/security.txt',
      'GET /api/openapi.json',
      'POST /api/login',
      'POST /api/password/set',
    ]);
  });

  it('has these for half sessions and these for confined ones', () => {
    const of = (wanted: string) =>
      routesOf()
        .filter(({ access }) => access === wanted)
        .map(({ method, pattern }) => `${method} ${pattern}`);
    expect(of('half')).toEqual([
      'GET /api/login/code',
      'POST /api/login/code',
      'POST /api/login/resend',
      'POST /api/logout',
    ]);
    expect(of('setup')).toEqual([
      'GET /api/me',
      'GET /api/two-factor/setup',
      'POST /api/two-factor/setup',
      'POST /api/two-factor/setup/confirm',
      'POST /api/two-factor/setup/prove',
    ]);
  });
});

describe('S-01: every route, as everybody', () => {
  const unlisted = [
    '/api',
    '/api/',
    '/api/upload',
    '/api/users',
    '/api/me/',
    '/api/me/unknown',
    '/api/FILES/',
  ];

  async function half(): Promise<Client> {
    const client = door.client();
    await client.post('/api/login', { username: 'alice', password: rightPassword });
    return client;
  }

  it('a stranger gets 401 from everything that is not public, listed or not', async () => {
    for (const route of routesOf()) {
      if (route.access === 'public') continue;
      const answer = await door.client().send(route.method, pathOf(route.pattern));
      expect([route.pattern, answer.status, answer.json['reason']]).toEqual([
        route.pattern,
        401,
        'no-session',
      ]);
    }
    for (const path of unlisted) expect([path, (await door.client().get(path)).status]).toEqual([path, 401]);
  });

  it('a half session gets 401 from everything but its own', async () => {
    const client = await half();
    for (const route of routesOf()) {
      if (route.access === 'public' || route.access === 'half') continue;
      const answer = await client.send(route.method, pathOf(route.pattern));
      expect([route.pattern, answer.status]).toEqual([route.pattern, 401]);
    }
    for (const path of unlisted) expect([path, (await client.get(path)).status]).toEqual([path, 401]);
  });

  it('a confined session gets 403 setup-required from everything but the set-up', async () => {
    const client = await door.signedIn('dave');
    for (const route of routesOf()) {
      if (route.access !== 'full') continue;
      const answer = await client.send(route.method, pathOf(route.pattern));
      expect([route.pattern, answer.status, answer.json['reason']]).toEqual([
        route.pattern,
        403,
        'setup-required',
      ]);
    }
    for (const path of unlisted)
      expect([path, (await client.get(path)).json['reason']]).toEqual([path, 'setup-required']);
    expect((await client.get('/api/me')).status).toBe(200);
  });

  it('a full session is refused nothing for want of a session', async () => {
    const client = await door.signedIn('frank');
    for (const route of routesOf()) {
      if (route.access !== 'full' && route.access !== 'setup') continue;
      const answer = await client.send(route.method, pathOf(route.pattern));
      expect([route.pattern, answer.status === 401]).toEqual([route.pattern, false]);
      expect([route.pattern, answer.json['reason'] === 'setup-required']).toEqual([route.pattern, false]);
    }
    for (const path of unlisted) expect([path, (await client.get(path)).status]).toEqual([path, 404]);
  });

  it('a session can not be used where a half session is wanted', async () => {
    for (const user of ['frank', 'dave'] as const) {
      const client = await door.signedIn(user);
      const answer = await client.post('/api/login/code', { code: '123456' });
      expect([answer.status, answer.json['reason']]).toEqual([401, 'refused']);
      expect((await client.get('/api/me')).status).toBe(200);
    }
  });

  it('answers a known path with an unknown method by naming the known ones', async () => {
    const client = await door.signedIn('frank');
    const answer = await client.send('PUT', '/api/me');
    expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD']);
    const files = await client.send('PATCH', '/api/files/x');
    expect([files.status, files.headers.allow]).toEqual([405, 'GET, HEAD, PUT, DELETE, POST']);
    expect((await door.client().get('/api/login')).status).toBe(405);
  });

  it('cookies that are not exactly one well-formed value make a stranger', async () => {
    const client = await door.signedIn('frank');
    const good = client.cookie ?? '';
    const value = good.slice('__Host-sallyport='.length);
    const bad = [
      `${good}; ${good}`,
      `sallyport=${value}`,
      `__host-sallyport=${value}`,
      `__Host-sallyport=${value.slice(2)}`,
      `__Host-sallyport=h.${value.slice(2)}`,
      `__Host-sallyport="${value}"`,
      `__Host-sallyport=${value}A`,
      `__Host-sallyport=`,
    ];
    for (const cookie of bad)
      expect([cookie, (await door.client().get('/api/me', { Cookie: cookie })).status]).toEqual([
        cookie,
        401,
      ]);
    expect((await door.client().get('/api/me', { Cookie: `a=b; ${good}; c=d` })).status).toBe(200);
  });
});

describe('requests from elsewhere', () => {
  const foreign: Record<string, string>[] = [
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { 'Sec-Fetch-Site': 'same-origin', Origin: 'https://evil.example' },
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { Origin: 'http://files.example.test' },
    { Origin: `${publicUrl}:444` },
    { Origin: `${publicUrl}.evil.example` },
  ];

  it('are refused, signed in or not', async () => {
    const client = await door.signedIn('frank');
    for (const headers of foreign) {
      const made = await client.post('/api/files/cross?op=mkdir', {}, headers);
      expect([headers, made.status]).toEqual([headers, 403]);
      const login = await door
        .client()
        .post('/api/login', { username: 'frank', password: rightPassword }, headers);
      expect([headers, login.status, login.headers['set-cookie']]).toEqual([headers, 403, undefined]);
    }
    expect(door.inside.files.has('/cross')).toBe(false);
  });

  it('our own origin and scripts without these headers are served', async () => {
    const client = await door.signedIn('frank');
    const own = { 'Sec-Fetch-Site': 'same-origin', Origin: publicUrl };
    expect((await client.post('/api/files/own?op=mkdir', {}, own)).status).toBe(201);
    expect((await client.post('/api/files/script?op=mkdir', {})).status).toBe(201);
  });

  it('JSON routes take no form, no text and no missing type', async () => {
    const body = JSON.stringify({ username: 'frank', password: rightPassword });
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      '',
    ])
      expect(
        (await door.client().send('POST', '/api/login', body, type === '' ? {} : { 'Content-Type': type }))
          .status,
      ).toBe(400);
    const charset = { 'Content-Type': 'application/json; charset=utf-8' };
    expect((await door.client().send('POST', '/api/login', body, charset)).status).toBe(200);
  });

  it('S-12: forwarding headers change nothing', async () => {
    const claim = '203.0.113.9';
    await door.client().post(
      '/api/login',
      { username: 'frank', password: rightPassword },
      {
        'X-Forwarded-For': claim,
        Forwarded: `for=${claim}`,
        'X-Real-IP': claim,
        'X-Forwarded-Host': 'evil',
      },
    );
    expect(door.inside.claims.at(-1)?.client_ip).toBe('127.0.0.1');
  });
});

describe('JSON bodies', () => {
  const login = (body: string | Buffer) =>
    door.client().send('POST', '/api/login', body, { 'Content-Type': 'application/json' });

  it('are read up to 64 KiB and no further', async () => {
    const of = (bytes: number) => {
      const head = '{"username":"';
      const tail = '","password":"x"}';
      return `${head}${'a'.repeat(bytes - head.length - tail.length)}${tail}`;
    };
    expect((await login(of(64 * 1024 - 1))).status).toBe(401);
    expect((await login(of(64 * 1024))).status).toBe(401);
    expect((await login(of(64 * 1024 + 1))).status).toBe(400);
  });

  it('may be 16 levels deep and no deeper', async () => {
    // Depth is judged before the schema, so the messages tell which of the two refused.
    const detailOf = async (levels: number) =>
      (await login('['.repeat(levels) + ']'.repeat(levels))).json['detail'];
    expect(await detailOf(16)).toMatch(/field/);
    expect(await detailOf(17)).toMatch(/nested/);
    expect(await detailOf(30_000)).toMatch(/nested/);
  });

  it('must be UTF-8 and JSON', async () => {
    expect((await login(Buffer.from([0x22, 0xff, 0x22]))).status).toBe(400);
    expect((await login('{"username":')).status).toBe(400);
    expect((await login('')).status).toBe(400);
  });

  it('may come in chunks', async () => {
    const body = JSON.stringify({ username: 'frank', password: rightPassword });
    const headers = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' };
    expect((await door.client().send('POST', '/api/login', body, headers)).status).toBe(200);
  });
});
