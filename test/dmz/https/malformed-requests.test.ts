import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectPlain, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pipelinedMax } from '#dmz/https/limits.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { Door, readAll } from './door.ts';

/** Doors that are opened from now on wait so long for headers. */
const waits = vi.hoisted(() => ({ headersMs: 10_000 }));
vi.mock(import('#dmz/https/limits.ts'), async (original) => ({
  ...(await original()),
  get headersTimeoutMs() {
    return waits.headersMs as 10_000;
  },
}));

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
  it.each([false, true])('have ten seconds for their headers, handed over: %s', async (isHandedOver) => {
    waits.headersMs = 200;
    const quick = await Door.open({ isHandedOver });
    try {
      const socket = await quick.raw();
      socket.write('GET /favicon.svg HTTP/1.1\r\nHost: x\r\n');
      expect(statusesOf(await readAll(socket, 5_000))).toEqual([408]);
      const silent = await quick.raw();
      expect(statusesOf(await readAll(silent, 5_000))).toEqual([408]);
    } finally {
      waits.headersMs = 10_000;
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

  it('speaks HTTP/1.0 with those who offer nothing else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-curl-'));
    const ca = join(folder, 'ca.pem');
    await writeFile(ca, door.ca);
    const curl = (...args: string[]) =>
      runProgram('/usr/bin/curl', [
        '-sS',
        '-0',
        '--max-time',
        '20',
        '--cacert',
        ca,
        '-b',
        cookie,
        '-w',
        '|%{http_code} %{http_version}',
        ...args,
      ]);
    const at = (path: string): string => `https://localhost:${door.port}${path}`;
    try {
      const page = await curl('--resolve', `localhost:${door.port}:127.0.0.1`, at('/favicon.svg'));
      expect(page.stdout).toBe('<svg xmlns="http://www.w3.org/2000/svg"/>|200 1.1');
      const file = join(folder, 'up');
      await writeFile(file, 'hello from 1.0');
      expect((await curl('-T', file, at('/api/files/curl-0.txt'))).stdout).toBe('|201 1.1');
      expect((await curl(at('/api/files/curl-0.txt'))).stdout).toBe('hello from 1.0|200 1.1');
      // Without a length nobody could tell a cut archive from a whole one.
      expect((await curl(at('/api/files/?zip=1'))).stdout).toMatch(/"reason":"unsupported".*\|501 1\.1$/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  describe('HTTP without TLS', () => {
    const plain = async (bytes: string | Buffer): Promise<{ text: string; socket: Socket }> => {
      const socket = connectPlain({ host: '127.0.0.1', port: door.port });
      socket.on('error', () => undefined);
      socket.write(bytes);
      return { text: await readAll(socket, 5_000), socket };
    };

    it.for(['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'DELETE /api/files/x HTTP/1.0\r\n\r\n', 'O'])(
      'is told once, in HTTP, that this is HTTPS: %s',
      async (request) => {
        const { text } = await plain(request);
        expect(statusesOf(text)).toEqual([400]);
        expect(text).toMatch(/\r\nConnection: close\r\n/);
        expect(text).toContain('Content-Type: application/problem+json');
        expect(text).toContain('"reason":"https-only"');
        expect(text).toContain('https://');
      },
    );

    it('is told that also with a large body behind it, and to curl', async () => {
      const { text } = await plain(`PUT /api/files/x HTTP/1.1\r\nHost: x\r\n\r\n${'x'.repeat(200_000)}`);
      expect(statusesOf(text)).toEqual([400]);
      const { stdout } = await runProgram('/usr/bin/curl', [
        '-sS',
        '--max-time',
        '20',
        '-w',
        '|%{http_code}',
        `http://127.0.0.1:${door.port}/`,
      ]);
      expect(stdout).toMatch(/https:\/\/.*\|400$/);
    });

    it('is told nothing where the source is not served at all', async () => {
      const banned = await Door.open();
      try {
        for (let turn = 0; turn < 20; turn += 1) banned.inside.guard.malformed('127.0.0.1', 'https', 'test');
        const socket = connectPlain({ host: '127.0.0.1', port: banned.port });
        socket.on('error', () => undefined);
        socket.write('GET / HTTP/1.1\r\n\r\n');
        expect(await readAll(socket, 5_000)).toBe('');
      } finally {
        await banned.close();
      }
    });

    it('is not what other bytes are: they get what TLS has for them', async () => {
      for (const bytes of ['nonsense', '\x16\x03\x01\xff\xff', '\0'])
        expect((await plain(Buffer.from(bytes, 'latin1'))).text).not.toContain('HTTP');
    });

    it('does not keep the door from closing, said or not', async () => {
      const other = await Door.open();
      const silent = connectPlain({ host: '127.0.0.1', port: other.port });
      silent.on('error', () => undefined);
      await once(silent, 'connect');
      const gone = once(silent, 'close');
      silent.resume();
      // The connection is the server's once it answers a later one.
      expect((await other.client().get('/favicon.svg')).status).toBe(200);
      await other.close();
      await gone;
    });
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
