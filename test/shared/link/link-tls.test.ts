import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '#shared/clock.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import {
  acceptOptions,
  buildLinkIdentity,
  controlProtocol,
  dialPeer,
  laneProtocol,
  requirePeer,
} from '#shared/link/link-tls.ts';
import { ReadBuffer } from '#shared/link/socket-transport.ts';
import { eventually } from '#test/harness/patience.ts';
import { mainKey, nodeKey } from '#test/harness/tls-link.ts';

const certificate = new X509Certificate(buildLinkIdentity(mainKey.privateKeyPem, 'main1').certificatePem);
const expected = {
  fingerprints: [fingerprintOf(certificate.publicKey)],
  protocols: [controlProtocol],
} as const;
const firstMs = certificate.validFromDate.getTime();
const lastMs = certificate.validToDate.getTime();

function require(atMs: number, change: object = {}): string {
  const socket = {
    getPeerX509Certificate: () => certificate,
    getProtocol: () => 'TLSv1.3',
    isSessionReused: () => false,
    alpnProtocol: controlProtocol,
    ...change,
  } as unknown as TLSSocket;
  return requirePeer(socket, expected, { now: () => atMs, monotonic: () => atMs });
}

describe('S-10: the pinned key alone is not enough: a peer', () => {
  it('shows a certificate that is valid now, from its first to its last moment', () => {
    expect(require(firstMs)).toBe(controlProtocol);
    expect(require(lastMs)).toBe(controlProtocol);
    expect(() => require(firstMs - 1)).toThrow('not who it should be');
    expect(() => require(lastMs + 1)).toThrow('not who it should be');
  });

  const refused: [string, object][] = [
    ['shows one at all', { getPeerX509Certificate: () => undefined }],
    ['speaks TLS 1.3', { getProtocol: () => 'TLSv1.2' }],
    ['has a session of its own', { isSessionReused: () => true }],
    ['names the protocol that is expected here', { alpnProtocol: laneProtocol }],
    ['names a protocol', { alpnProtocol: false }],
  ];
  for (const [rule, change] of refused)
    it(`is refused unless it ${rule}`, () => {
      expect(() => require(firstMs, change)).toThrow('not who it should be');
    });
});

describe('dialling a peer', () => {
  const timeoutMs = 5_000;
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0).toReversed()) close();
    vi.useRealTimers();
  });

  /** Its port, and the connections it was dialled by. */
  async function listen(server: Server): Promise<{ port: number; accepted: Socket[] }> {
    const accepted: Socket[] = [];
    server.on('connection', (socket: Socket) => {
      socket.on('error', () => undefined);
      accepted.push(socket);
    });
    closers.push(() => {
      server.close();
      for (const socket of accepted) socket.destroy();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return { port: typeof address === 'object' && address !== null ? address.port : 0, accepted };
  }

  const node = buildLinkIdentity(nodeKey.privateKeyPem, 'dmz1');
  const listenAsNode = (onSecure: (socket: TLSSocket) => void = () => undefined) =>
    listen(
      createServer(acceptOptions(node, timeoutMs), (socket) => {
        socket.on('error', () => undefined);
        onSecure(socket);
      }),
    );

  const dial = (port: number, changes: Partial<Parameters<typeof dialPeer>[0]> = {}) =>
    dialPeer({
      host: '127.0.0.1',
      port,
      protocol: controlProtocol,
      identity: buildLinkIdentity(mainKey.privateKeyPem, 'main1'),
      fingerprints: [nodeKey.fingerprint],
      timeoutMs,
      clock: systemClock,
      ...changes,
    });
  const failureOf = (dialling: Promise<unknown>): Promise<unknown> =>
    dialling.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('that is not there tells what the system says, and is waited for no longer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { port } = await listen(createTcpServer());
    for (const close of closers.splice(0)) close();
    expect(await failureOf(dial(port))).toMatchObject({
      code: 'link-down',
      detail: expect.stringMatching(/^connect ECONNREFUSED/u),
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that says nothing is given up when the time is over, and hung up on', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { port, accepted } = await listen(createTcpServer());
    let failure: unknown;
    void failureOf(dial(port)).then((error) => (failure = error));
    await eventually(() => expect(accepted.length).toBe(1));
    const closed = once(accepted[0] as Socket, 'close');
    accepted[0]?.resume();
    vi.advanceTimersByTime(timeoutMs - 1);
    await new Promise((resolve) => void setImmediate(resolve));
    expect(failure).toBeUndefined();
    vi.advanceTimersByTime(1);
    await eventually(() => expect(failure).toMatchObject({ code: 'link-down', detail: 'no answer in time' }));
    await closed;
  });

  it('that hangs up before it is proven is not there', async () => {
    const { port } = await listen(createTcpServer((socket) => void socket.end()));
    expect(await failureOf(dial(port))).toMatchObject({ code: 'link-down' });
  });

  it('S-10: that is somebody else is hung up on, with a hint to the admin: the caller’s own, if it has one', async () => {
    const { port, accepted } = await listenAsNode();
    const fingerprints = ['SHA256:other'];
    expect(await failureOf(dial(port, { fingerprints }))).toMatchObject({
      code: 'protocol-violation',
      hint: expect.stringContaining('sallyport doctor'),
    });
    expect(await failureOf(dial(port, { fingerprints, cure: 'enrol it' }))).toMatchObject({
      code: 'protocol-violation',
      hint: 'enrol it',
    });
    await eventually(() => expect(accepted.map(({ destroyed }) => destroyed)).toEqual([true, true]));
  });

  it('that is proven stays as long as it will; what breaks it then is for whoever took it', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { port } = await listenAsNode();
    const socket = await dial(port);
    closers.push(() => socket.destroy());
    vi.advanceTimersByTime(10 * timeoutMs);
    expect(socket.destroyed).toBe(false);
    expect(() => socket.emit('error', new Error('broken'))).not.toThrow();
  });

  it('whose bytes go to one buffer has them there, and else in pieces of their own', async () => {
    const { port } = await listenAsNode((socket) => void socket.write('hello'));
    const readBuffer = new ReadBuffer();
    const lane = await dial(port, { protocol: laneProtocol, readBuffer });
    closers.push(() => lane.destroy());
    await eventually(() => expect(readBuffer.onread.buffer.toString('latin1', 0, 5)).toBe('hello'));
    const control = await dial(port);
    closers.push(() => control.destroy());
    const [bytes] = (await once(control, 'data')) as [Buffer];
    expect(bytes.toString()).toBe('hello');
  });
});
