import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { buildPlainDoor, type PlainDoor } from '#dmz/https/plain-door.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';

const token = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA';
const proof = `${token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;
const origin = 'https://files.example.test';

describe('port 80', () => {
  const doors: PlainDoor[] = [];
  afterEach(async () => {
    for (const door of doors.splice(0)) await door.close();
  });

  async function start(options: Partial<Parameters<typeof buildPlainDoor>[0]>): Promise<PlainDoor> {
    const door = buildPlainDoor({
      listen: { host: '127.0.0.1', port: 0 },
      publicUrl: origin,
      keyAuthorizationOf: (asked) => (asked === token ? proof : undefined),
      clock: systemClock,
      log: buildLog('silent', {}),
      ...options,
    });
    await door.start();
    return door;
  }

  async function open(proxiesFrom?: readonly string[]): Promise<number> {
    const door = await start({ proxiesFrom });
    doors.push(door);
    return door.address.port;
  }

  /** Everything that is answered until the door hangs up. */
  async function say(port: number, bytes: string): Promise<string> {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => undefined);
    const pieces: Buffer[] = [];
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    socket.write(bytes);
    // Not `once`: that rejects when a connection is reset.
    await new Promise((resolve) => socket.on('close', resolve));
    return Buffer.concat(pieces).toString('latin1');
  }

  function get(target: string, method = 'GET', rest = ''): string {
    return `${method} ${target} HTTP/1.1\r\nHost: somebody.example.org\r\n${rest}\r\n`;
  }

  it('answers an authority with what main proves', async () => {
    const answer = await say(await open(), get(`/.well-known/acme-challenge/${token}`));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer.split('\r\n\r\n')[1]).toBe(proof);
  });

  it.each([
    ['/', `${origin}/`],
    ['/files/x?y=1', `${origin}/files/x?y=1`],
    ['/.well-known/acme-challenge/', `${origin}/.well-known/acme-challenge/`],
    ['/.well-known/acme-challenge/other', `${origin}/.well-known/acme-challenge/other`],
    [`/.well-known/acme-challenge/${token}?x`, `${origin}/.well-known/acme-challenge/${token}?x`],
    [`/.well-known/acme-challenge//${token}`, `${origin}/.well-known/acme-challenge//${token}`],
    [`/x/../.well-known/acme-challenge/${token}`, `${origin}/x/../.well-known/acme-challenge/${token}`],
    [`http://evil.example.org/.well-known/acme-challenge/${token}`, `${origin}/`],
    ['//evil.example.org/', `${origin}//evil.example.org/`],
    ['/{}|\\^', `${origin}/{}|\\^`],
    ['/a#b', `${origin}/`],
    ['*', `${origin}/`],
  ])('sends %s to HTTPS at our own name', async (target, location) => {
    const answer = await say(await open(), get(target, target === '*' ? 'OPTIONS' : 'GET'));
    const status = target === '*' ? 308 : 301;
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain(`\r\nLocation: ${location}\r\n`);
    expect(answer).toContain('\r\nContent-Length: 0\r\n');
  });

  it('keeps the method of what is sent to HTTPS, and reads no body', async () => {
    const body = `POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n`;
    const answer = await say(await open(), body);
    expect(answer).toMatch(/^HTTP\/1\.1 308 /);
    expect(answer).not.toContain('100 Continue');
  });

  it('answers once a connection, whatever was sent behind', async () => {
    const asked = get(`/.well-known/acme-challenge/${token}`);
    const answer = await say(await open(), asked + asked + asked);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(answer).toContain('\r\nConnection: close\r\n');
  });

  it.each([
    ['no HTTP', '\u0016\u0003\u0001\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['letters that no address has', get('/é'), /^HTTP\/1\.1 400 /],
    ['headers without end', get('/', 'GET', `X: ${'x'.repeat(20_000)}\r\n`), /^HTTP\/1\.1 431 /],
    ['a tunnel', get('evil.example.org:443', 'CONNECT'), /^$/],
  ])('ends %s', async (_what, bytes, answer) => {
    expect(await say(await open(), bytes)).toMatch(answer);
  });

  it('has places for one source up to its bound, and they are free again', async () => {
    const port = await open();
    const held = Array.from({ length: 16 }, () => connect({ host: '127.0.0.1', port }));
    for (const socket of held) socket.on('error', () => undefined);
    await Promise.all(held.map((socket) => once(socket, 'connect')));
    expect(await say(port, get('/'))).toBe('');
    for (const socket of held) socket.destroy();
    await expect.poll(() => say(port, get('/'))).toMatch(/^HTTP\/1\.1 301 /);
  });

  it('serves what another process hands over, before a byte of it was read', async () => {
    const listener = createServer({ pauseOnConnect: true });
    doors.push(await start({ listen: { onConnection: (take) => listener.on('connection', take) } }));
    await once(listener.listen(0, '127.0.0.1'), 'listening');
    const { port } = listener.address() as AddressInfo;
    expect(await say(port, get('/'))).toMatch(/^HTTP\/1\.1 301 /);
    listener.close();
  });

  it('reads whose connection it is from a listed balancer, and from nobody else', async () => {
    const behind = await open(['127.0.0.1']);
    expect(await say(behind, `PROXY TCP4 192.0.2.7 192.0.2.1 1 80\r\n${get('/')}`)).toMatch(/ 301 /);
    expect(await say(behind, get('/'))).toBe('');
    const alone = await open();
    expect(await say(alone, `PROXY TCP4 192.0.2.7 192.0.2.1 1 80\r\n${get('/')}`)).toMatch(/ 400 /);
  });
});
