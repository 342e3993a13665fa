import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pipelinedMax } from '#dmz/https/limits.ts';
import { Door, readAll } from './door.ts';

let door: Door;
let cookie: string;
beforeAll(async () => {
  door = await Door.open({ inside: { policy: { neverBan: ['127.0.0.0/8'] } } });
  cookie = (await door.signedIn('frank')).cookie ?? '';
});
afterAll(() => door.close());

const statusesOf = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));

/** What follows the request on the same connection; served only if the server lost count of where requests end. */
const smuggled = 'GET /api/me HTTP/1.1\r\nHost: x\r\n\r\n';
const next = 'GET /favicon.svg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

describe('requests that two programs could read differently', () => {
  const cases: Record<string, string> = {
    'two lengths': `POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    'two equal lengths':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}',
    'a list of lengths': 'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}',
    'a signed length': 'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}',
    'a length in hex': 'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}',
    'length and chunks': `POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'chunks and length': `POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${smuggled}`,
    'gzip, chunked':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'chunked, chunked':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n',
    'chunked, identity':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding twice':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a coding nobody knows':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'a space before the colon':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    'a folded header': 'GET /api/me HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n',
    'a bare CR in a header': 'GET /api/me HTTP/1.1\r\nHost: x\r\nX-A: b\rTransfer-Encoding: chunked\r\n\r\n',
    'a NUL in a header': 'GET /api/me HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n',
    'two hosts': 'GET /api/me HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
    'no host': 'GET /api/me HTTP/1.1\r\n\r\n',
    'a host with a path': 'GET /api/me HTTP/1.1\r\nHost: x/y\r\n\r\n',
    'absolute form': 'GET https://x/api/me HTTP/1.1\r\nHost: x\r\n\r\n',
    'asterisk form': 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
    'authority form': 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n',
    'a fragment': 'GET /api/me#x HTTP/1.1\r\nHost: x\r\n\r\n',
    'raw UTF-8 in the target': 'GET /api/files/\u00e4 HTTP/1.1\r\nHost: x\r\n\r\n',
    'HTTP/0.9': 'GET /api/me\r\n\r\n',
    'HTTP/1.0 with chunks':
      'POST /api/login HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.2': 'GET /api/me HTTP/1.2\r\nHost: x\r\n\r\n',
    'HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    TRACE: 'TRACE / HTTP/1.1\r\nHost: x\r\n\r\n',
    'a method nobody knows': 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET with a body': `GET /api/me HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    'GET with chunks': 'GET /api/me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a compressed body':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}',
    'an expectation nobody knows':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nExpect: gold\r\nContent-Length: 2\r\n\r\n{}',
    'a huge chunk size':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
    'a chunk size with a sign':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n',
    'a chunk without its end':
      'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n',
    'a cookie header twice': 'GET /api/me HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n',
  };

  it.for(Object.entries(cases))('refuses %s, and the connection with it', async ([, bytes]) => {
    const text = await door.exchangeRaw(Buffer.from(`${bytes}${next}`, 'latin1'));
    const statuses = statusesOf(text);
    expect(statuses.length).toBeLessThanOrEqual(1);
    for (const status of statuses) expect(status).toBeGreaterThanOrEqual(400);
    expect(text).not.toContain('<svg');
    // Either no answer at all, or one that announces the end.
    expect(text === '' || /\r\nConnection: close\r\n/i.test(text)).toBe(true);
  });

  it('serves pipelined requests in their order', async () => {
    const one = 'GET /favicon.svg HTTP/1.1\r\nHost: x\r\n\r\n';
    expect(statusesOf(await door.exchangeRaw(one + one + next))).toEqual([200, 200, 200]);
  });

  it('serves HTTP/1.0 without chunks', async () => {
    expect(statusesOf(await door.exchangeRaw('GET /favicon.svg HTTP/1.0\r\n\r\n'))).toEqual([200]);
  });

  it('does not switch protocols', async () => {
    const upgrade =
      'GET /favicon.svg HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    expect(statusesOf(await door.exchangeRaw(upgrade))).toEqual([200]);
  });
});

describe('too much of it', () => {
  const withHeaders = (count: number, value = 'v'): string =>
    `GET /favicon.svg HTTP/1.1\r\nHost: x\r\n${Array.from({ length: count - 1 }, (_, i) => `X-${i}: ${value}\r\n`).join('')}\r\n`;

  it('takes 100 headers and not 101', async () => {
    expect(statusesOf(await door.exchangeRaw(withHeaders(99)))).toEqual([200]);
    expect(statusesOf(await door.exchangeRaw(withHeaders(100)))).toEqual([200]);
    expect(statusesOf(await door.exchangeRaw(withHeaders(101)))).toEqual([431]);
    expect(statusesOf(await door.exchangeRaw(withHeaders(5000)))).toEqual([431]);
  });

  it('takes no more than 16 KiB of headers', async () => {
    expect(statusesOf(await door.exchangeRaw(withHeaders(2, 'v'.repeat(15_000))))).toEqual([200]);
    expect(statusesOf(await door.exchangeRaw(withHeaders(2, 'v'.repeat(16_384))))).toEqual([431]);
  });

  it('lets a client see its refusal while it is still sending', async () => {
    const client = door.client();
    const answer = await client.send('PUT', '/api/files/big.bin', Buffer.alloc(3_000_000));
    expect(answer.status).toBe(401);
    expect(answer.headers.connection).toBe('close');
  });

  it('keeps the connection after refusing a small body', async () => {
    const text = await door.exchangeRaw(
      `PUT /api/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello${next}`,
    );
    expect(statusesOf(text)).toEqual([401, 200]);
  });

  it('asks for a body only when it wants one', async () => {
    const expecting = (extra: string) =>
      `PUT /api/files/expect.bin HTTP/1.1\r\nHost: x\r\n${extra}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`;
    expect(statusesOf(await door.exchangeRaw(expecting('')))).toEqual([401]);
    const socket = await door.raw();
    socket.write(expecting(`Cookie: ${cookie}\r\n`));
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(statusesOf(first.toString())).toEqual([100]);
    socket.write('hello');
    expect(statusesOf(await readAll(socket))).toEqual([201]);
  });
});

describe('slow clients', () => {
  it('have ten seconds for their headers', async () => {
    const quick = await Door.open({ timing: { headersTimeoutMs: 200 } });
    try {
      const socket = await quick.raw();
      socket.write('GET /favicon.svg HTTP/1.1\r\nHost: x\r\n');
      expect(statusesOf(await readAll(socket, 5_000))).toEqual([408]);
      const silent = await quick.raw();
      expect(statusesOf(await readAll(silent, 5_000))).toEqual([408]);
    } finally {
      await quick.close();
    }
  });
});

describe('below HTTP', () => {
  it('speaks TLS 1.3 and HTTP/1.1 only', async () => {
    const socket = await door.raw();
    expect(socket.getProtocol()).toBe('TLSv1.3');
    socket.destroy();
    const { connect } = await import('node:tls');
    const refused = async (options: object): Promise<string> => {
      const other = connect({
        host: '127.0.0.1',
        port: door.port,
        servername: 'localhost',
        ca: door.ca,
        ...options,
      });
      return new Promise((resolve) => {
        other.on('secureConnect', () => {
          resolve(other.alpnProtocol === false ? 'none' : (other.alpnProtocol ?? ''));
          other.destroy();
        });
        other.on('error', () => resolve('refused'));
      });
    };
    expect(await refused({ maxVersion: 'TLSv1.2' })).toBe('refused');
    expect(await refused({ ALPNProtocols: ['h2'] })).toBe('refused');
    expect(await refused({ ALPNProtocols: ['h2', 'http/1.1'] })).toBe('http/1.1');
  });

  it('agrees on a hybrid key exchange', async () => {
    const socket = await door.raw();
    // OpenSSL names the group only to those who ask the library; Node shows it as an ephemeral key of TLS 1.3.
    expect(socket.getCipher().version).toBe('TLSv1.3');
    socket.destroy();
    const { connect } = await import('node:tls');
    const hybrid = connect({
      host: '127.0.0.1',
      port: door.port,
      servername: 'localhost',
      ca: door.ca,
      ecdhCurve: 'X25519MLKEM768',
    });
    await once(hybrid, 'secureConnect');
    hybrid.destroy();
  });
});

describe('requests sent before the answers to earlier ones', () => {
  const one = 'GET /favicon.svg HTTP/1.1\r\nHost: x\r\n\r\n';

  it('S-09: are all answered up to the bound; one more and the connection is gone', async () => {
    const allowed = await door.exchangeRaw(one.repeat(pipelinedMax - 1) + next);
    expect(statusesOf(allowed)).toEqual(Array<number>(pipelinedMax).fill(200));
    const tooMany = await door.exchangeRaw(one.repeat(pipelinedMax) + next);
    expect(statusesOf(tooMany).length).toBeLessThan(pipelinedMax);
    expect((await door.client().get('/favicon.svg')).status).toBe(200);
  });
});
