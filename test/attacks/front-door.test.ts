import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, Door } from '#test/dmz/https/door.ts';
import { rightPassword } from '#test/dmz/https/fake-inside.ts';

/** A browser that is told one of these asks its user for a password, in a window of its own. */
const askingSchemes = /basic|digest|negotiate|ntlm|bearer/i;

/** Of an answer, what differs from one to the next whatever was asked. */
const ownOfEach = new Set(['date', 'set-cookie', 'content-length']);

/** All that a client learns, but for what is of that one answer. */
function describeAnswer({ status, rawHeaders, json }: Answer): unknown {
  const names = rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  const values = rawHeaders.filter((_, at) => at % 2 === 1);
  const headers = names.map((name, at) => [name, ownOfEach.has(name) ? '' : values[at]]);
  const { reference: _reference, instance: _instance, ...rest } = json;
  return { status, headers, body: rest };
}

describe('the HTTPS door', () => {
  let door: Door;
  beforeAll(async () => {
    door = await Door.open({ inside: { policy: { neverBan: ['127.0.0.0/8'] } } });
  });
  afterAll(() => door.close());

  describe('an Authorization header', () => {
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
    const values: Record<string, (cookie: string) => string> = {
      'with the right name and password, as Basic': () => basic(`frank:${rightPassword}`),
      'with a wrong password, as Basic': () => basic('frank:wrong'),
      'with no colon in it, as Basic': () => basic('frank'),
      'that is no base64': () => 'Basic !!!!',
      'with a live session, as Bearer': (cookie) => `Bearer ${cookie.split('=')[1] ?? ''}`,
      'with a whole cookie, as Bearer': (cookie) => `Bearer ${cookie}`,
      'with an admin’s token, as Bearer': () => 'Bearer sat_0123456789abcdef',
      'without a scheme': () => rightPassword,
      'with a scheme and nothing': () => 'Basic',
      'that is empty': () => '',
      'of a scheme nobody knows': () => 'Negotiate YII=',
      'with signs that are no text': () => 'Basic \u00ff\u00fe\u0080',
      'with Digest and a path of its own': () => 'Digest username="frank", uri="/api/files/", response="0"',
      'of 12,000 characters': () => `Bearer ${'A'.repeat(12_000)}`,
    };

    it.for(Object.entries(values))(
      '%s makes a stranger nobody else and a user nothing more',
      async ([, valueOf]) => {
        const signedIn = await door.signedIn('frank');
        const header = { Authorization: valueOf(signedIn.cookie ?? '') };
        const failures = door.inside.claims.length;
        for (const [method, path, body] of [
          ['GET', '/api/me', undefined],
          ['GET', '/api/files/', undefined],
          ['PUT', '/api/files/by-header.txt', 'x'],
          ['POST', '/api/logout', undefined],
        ] as const) {
          const without = await door.client().send(method, path, body);
          const answer = await door.client().send(method, path, body, header);
          expect(describeAnswer(answer), path).toEqual(describeAnswer(without));
          expect(answer.headers['www-authenticate'] ?? '', 'no browser asks for a password').not.toMatch(
            askingSchemes,
          );
          expect(answer.body.toString()).not.toContain(header.Authorization || '<none>');
        }
        expect(door.inside.claims.length, 'nobody tried to sign in').toBe(failures);
        expect(door.inside.files.has('/by-header.txt')).toBe(false);

        const plain = await signedIn.get('/api/me');
        expect(plain.status).toBe(200);
        expect(describeAnswer(await signedIn.get('/api/me', header))).toEqual(describeAnswer(plain));
      },
    );

    it('beside a sign-in is passed over: what is typed counts', async () => {
      const header = { Authorization: basic(`frank:${rightPassword}`) };
      const login = (password: string) =>
        door.client().post('/api/login', { username: 'frank', password }, header);
      expect((await login('wrong')).status).toBe(401);
      expect((await login(rightPassword)).status).toBe(200);
    });

    it('twice is no more than once, and a bomb of it is too large', async () => {
      const twice = await door.exchangeRaw(
        `GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(`frank:${rightPassword}`)}\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n`,
      );
      expect(twice).toMatch(/^HTTP\/1\.1 401 /);
      expect(/^www-authenticate: (.*)$/im.exec(twice)?.[1] ?? '').not.toMatch(askingSchemes);
      const bomb = await door.exchangeRaw(
        `GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${'A'.repeat(17_000)}\r\n\r\n`,
      );
      expect(bomb).toMatch(/^HTTP\/1\.1 431 /);
    });
  });

  describe('another way to write a path', () => {
    const routes = [
      '/API/me',
      '/Api/Files/',
      '//api/me',
      '/api//me',
      '/api/./me',
      '/./api/me',
      '/api/files/../me',
      '/api/files/..%2fme',
      '/api/files/%2e%2e/me',
      '/assets/../api/me',
      '/assets/..%2fapi/me',
      '/%61pi/me',
      '/api/%6de',
      '/api%2fme',
      '/api/me%00',
      '/api/me%20',
      '/api/me;v=1',
      '/api/me/.',
      '/api/me.json',
      '/api\\me',
      '/api/me%0d%0aX-Injected:%201',
      '/assets/..%2f..%2f..%2f..%2fetc%2fpasswd',
      '/assets/%2e%2e/%2e%2e/etc/passwd',
      '/..%2f..%2fetc/passwd',
      '/index.html/../favicon.svg',
      '/assets/main-AbCd1234.js%00.svg',
      '/assets//main-AbCd1234.js',
      '/.git/config',
      '/.env',
    ];

    let user: Awaited<ReturnType<typeof door.signedIn>>;
    beforeAll(async () => {
      user = await door.signedIn('frank');
    });

    it.for(routes)('%s reaches no route and no file, for a stranger and for a user', async (path) => {
      for (const client of [door.client(), user]) {
        for (const method of ['GET', 'PUT']) {
          const answer = await sendAsWritten(client.cookie, method, path);
          expect([method, answer.status], answer.body).toEqual([method, expect.toSatisfy(isRefusal)]);
          expect(answer.body).not.toMatch(/"username"|root:|<svg|long long/);
          expect(answer.headers['x-injected']).toBeUndefined();
        }
      }
    });

    const isRefusal = (status: number): boolean => [400, 401, 403, 404, 405, 501].includes(status);

    /** Node's own client would not send some of these; `path` is taken as it is. */
    async function sendAsWritten(cookie: string | undefined, method: string, path: string) {
      const request = httpsRequest({
        host: '127.0.0.1',
        port: door.port,
        servername: 'localhost',
        ca: door.ca,
        agent: false,
        method,
        path,
        headers: cookie === undefined ? {} : { Cookie: cookie },
      });
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks).toString(),
      };
    }
  });
});
