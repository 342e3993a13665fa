import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as netConnect } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { buildLinkListener, type LinkListener, type LinkListenerOptions } from '#dmz/link/listener.ts';
import { backoffMs } from '#main-agent/link/worker-dialer.ts';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import { systemClock } from '#shared/clock.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import { encodeEvent } from '#shared/link/codec.ts';
import { encodeFrame, frameType } from '#shared/link/frames.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import {
  acceptOptions,
  buildLinkIdentity,
  controlProtocol,
  dialPeer,
  exporterOf,
  laneProtocol,
  type LinkIdentity,
} from '#shared/link/link-tls.ts';
import { controlMessageBytesMax } from '#shared/link/limits.ts';
import { ControlAcceptor, connectControl, controlPath } from '#shared/link/ws-transport.ts';
import { buildLog } from '#shared/log.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import { buildTlsLink, mainKey, nodeKey, type TlsLink } from '#test/harness/tls-link.ts';

const main = buildLinkIdentity(mainKey.privateKeyPem, 'main1');
const stranger = buildLinkIdentity(generateIdentityKey().privateKeyPem, 'main1');

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function buildLink(...options: Parameters<typeof buildTlsLink>): Promise<TlsLink> {
  const link = await buildTlsLink(...options);
  closers.push(() => link.close());
  await link.up();
  return link;
}

/** The node's listener without anybody who dials. */
async function buildListener(changes: Partial<LinkListenerOptions> = {}): Promise<LinkListener> {
  const listener = buildLinkListener({
    listen: { host: '127.0.0.1', port: 0 },
    identityKeyPem: nodeKey.privateKeyPem,
    signingKeyPem: nodeKey.privateKeyPem,
    mainIdentity: mainKey.fingerprint,
    nodeName: 'dmz1',
    validatedLogins: true,
    clock: systemClock,
    log: buildLog('silent', {}),
    ...changes,
  });
  await listener.start();
  closers.push(() => listener.close());
  return listener;
}

function dial(
  port: number,
  protocol: typeof controlProtocol | typeof laneProtocol,
  identity: LinkIdentity = main,
) {
  return dialPeer({
    host: '127.0.0.1',
    port,
    protocol,
    identity,
    fingerprints: [nodeKey.fingerprint],
    timeoutMs: 5000,
    clock: systemClock,
  });
}

/** Resolves with true when the peer hangs up. */
async function isClosedByPeer(socket: TLSSocket): Promise<boolean> {
  socket.resume();
  if (!socket.destroyed) await once(socket, 'close');
  return true;
}

describe('a link over TLS', () => {
  it('carries requests, and large files unharmed both ways over its lanes', async () => {
    const content = randomBytes(20_000_003);
    const received = createHash('sha256');
    const link = await buildLink({
      main: {
        files: { 'fs.make-folder': async () => ({}) } as never,
        onStream: (header, stream) => {
          if (header.kind === 'read') {
            stream.write(content.subarray(0, 7_000_000));
            stream.onDrain = () => {
              stream.onDrain = () => undefined;
              stream.write(content.subarray(7_000_000, 14_000_000));
              stream.onDrain = () => {
                stream.write(content.subarray(14_000_000));
                stream.end();
              };
            };
          } else {
            stream.onData = (bytes, release) => {
              received.update(bytes);
              release();
            };
          }
        },
      },
    });
    const session = link.sessions.open({ username: 'alice' });
    await buildRemoteFiles({ link: link.listener.link, session }).makeFolder(requireComponents(['a']));
    await hasLanes(link);

    const down = link.listener.link.openStream({ kind: 'read', session, handle: 1, offset: 0 });
    const digest = createHash('sha256');
    down.onData = (bytes, release) => {
      digest.update(bytes);
      release();
    };
    await ended(down);
    expect(digest.digest('hex')).toBe(createHash('sha256').update(content).digest('hex'));

    const up = link.listener.link.openStream({ kind: 'write', session, handle: 1, offset: 0 });
    for (let at = 0; at < content.length; at += 1_000_000) {
      if (!up.write(content.subarray(at, at + 1_000_000)))
        await new Promise<void>((resolve) => {
          up.onDrain = resolve;
        });
    }
    up.end();
    await ended(up);
    expect(up.acknowledgedBytes).toBe(content.length);
    expect(received.digest('hex')).toBe(createHash('sha256').update(content).digest('hex'));
  });

  it('comes back by itself under a higher epoch, and tells then which sessions ended meanwhile', async () => {
    const boot = randomId();
    const link = await buildLink({ main: { boot } });
    const ends: string[] = [];
    link.listener.link.onSessionEnded((key) => ends.push(key));
    expect(link.links.states()[0]).toMatchObject({ node: 'dmz1', worker: 0, up: true, epoch: 1 });
    // A second link of this very main takes the first one's place, and so ends it.
    const intruder = await connectControl(await dial(link.listener.port, controlProtocol));
    intruder.start({ onMessage: () => undefined, onClose: () => undefined });
    const hello = {
      versions: [1, 1],
      name: 'main1',
      software: 'x',
      boot,
      nowMs: 0,
      validatedLogins: true,
    };
    intruder.send(JSON.stringify({ kind: 'hello', hello }));
    const body = { validatedLogins: true, branding: { name: 'x' }, neverBan: [], bans: [] };
    intruder.send(JSON.stringify({ kind: 'event', name: 'policy', body }));
    await new Promise<void>((resolve) => {
      link.listener.link.onPolicy(() => resolve());
    });
    const key = sessionKey(randomId());
    await whenDown(link);
    link.links.sendToNode('dmz1', 'session.ended', { sessionKey: key, reason: 'kicked' });
    await new Promise<void>((resolve) => {
      link.listener.link.onUp(resolve);
    });
    expect(link.links.states()[0]).toMatchObject({ up: true, epoch: 2 });
    expect(ends).toEqual([key]);
  });

  it('with a key that main does not know says at both ends how to mend it', async () => {
    const log = buildLog('silent', {});
    const told = new Promise<unknown>((resolve) => vi.spyOn(log, 'warn').mockImplementation(resolve));
    const link = await buildTlsLink({ main: { identitiesOf: () => ['SHA256:other'] }, node: { log } });
    closers.push(() => link.close());
    expect(await told).toMatchObject({
      hint: expect.stringContaining("`sallyport nodes enrol '<line>' --replace`"),
    });
    await vi.waitFor(() => expect(link.links.states()[0]?.lastError).toContain('before `node rotate`'));
  });

  it('tells a worker that is another process now from one whose link only broke', async () => {
    const restarts: string[] = [];
    const onWorkerRestart = (node: string, worker: number): void => void restarts.push(`${node} ${worker}`);
    const link = await buildLink({ main: { onWorkerRestart } });
    expect(restarts).toEqual([]);
    const { port } = link.listener;
    await link.listener.close();
    const next = await buildListener({ listen: { host: '127.0.0.1', port } });
    await new Promise<void>((resolve) => {
      next.link.onUp(resolve);
    });
    expect(restarts).toEqual(['dmz1 0']);
  });

  it('finds the other workers by the ports the first one names', async () => {
    const second = await buildListener({ worker: 1 });
    const secondUp = new Promise<void>((resolve) => {
      second.link.onUp(resolve);
    });
    // The first port is the one that was dialled; only the others are read.
    const link = await buildLink({ node: { workerPorts: () => [1, second.port] } });
    await secondUp;
    const states = link.links.states().map(({ worker, up }) => ({ worker, up }));
    expect(states).toEqual([
      { worker: 0, up: true },
      { worker: 1, up: true },
    ]);
  });

  it('ends when the node is revoked, and is not dialled again', async () => {
    const link = await buildLink();
    const down = new Promise<void>((resolve) => {
      link.listener.link.onDown(resolve);
    });
    expect(link.links.closeNode('dmz1', 'revoked')).toBe(true);
    await down;
    expect(link.links.states()).toEqual([]);
    expect(link.links.closeNode('dmz1', 'revoked')).toBe(false);
  });

  it('waits longer between dials, within bounds and never twice alike for all', () => {
    for (const [attempt, most] of [
      [0, 200],
      [1, 400],
      [6, 10_000],
      [1000, 10_000],
    ] as const) {
      const waits = Array.from({ length: 200 }, () => backoffMs(attempt));
      expect(Math.min(...waits)).toBeGreaterThanOrEqual(most / 2);
      expect(Math.max(...waits)).toBeLessThanOrEqual(most);
      expect(new Set(waits).size).toBeGreaterThan(1);
    }
  });
});

describe('S-10: the node', () => {
  it.each([controlProtocol, laneProtocol] as const)(
    'hangs up on a stranger with a certificate of his own (%s)',
    async (protocol) => {
      const { port } = await buildListener();
      expect(await isClosedByPeer(await dial(port, protocol, stranger))).toBe(true);
    },
  );

  it('closes at once, however many stand half-way in the door', async () => {
    const listener = await buildListener();
    const raw = netConnect(listener.port, '127.0.0.1');
    raw.on('error', () => undefined);
    await once(raw, 'connect');
    const silent = await dial(listener.port, controlProtocol);
    silent.on('error', () => undefined);
    await listener.close();
    expect(await isClosedByPeer(silent)).toBe(true);
    raw.destroy();
  });

  it('hangs up on a caller without a certificate', async () => {
    const { port } = await buildListener();
    const socket = connect({
      host: '127.0.0.1',
      port,
      ALPNProtocols: [controlProtocol],
      rejectUnauthorized: false,
    });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    expect(await isClosedByPeer(socket)).toBe(true);
  });

  it.each([
    ['TLS 1.2', { maxVersion: 'TLSv1.2', ALPNProtocols: [controlProtocol] }],
    ['another protocol', { ALPNProtocols: ['http/1.1'] }],
  ] as const)('does not shake hands over %s', async (_name, changes) => {
    const { port } = await buildListener();
    const socket = connect({
      host: '127.0.0.1',
      port,
      cert: main.certificatePem,
      key: main.privateKeyPem.expose(),
      rejectUnauthorized: false,
      ...changes,
      ALPNProtocols: [...changes.ALPNProtocols],
    });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toMatch(/alert|version|ECONNRESET/i);
  });

  it('hangs up on main itself when it names no protocol', async () => {
    const { port } = await buildListener();
    const socket = connect({
      host: '127.0.0.1',
      port,
      cert: main.certificatePem,
      key: main.privateKeyPem.expose(),
      rejectUnauthorized: false,
    });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    expect(await isClosedByPeer(socket)).toBe(true);
  });

  it.each([
    [
      'a browser, by its Origin',
      `GET ${controlPath} HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    ],
    ['a plain request', 'GET /link HTTP/1.1\r\nHost: x\r\n\r\n'],
    [
      'another path',
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    ],
    ['a huge head', `GET /link HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(10_000)}\r\n\r\n`],
    ['junk', '\u0000\u0001\u0002\r\n\r\n'],
  ])('upgrades nothing for %s', async (_name, head) => {
    const { port } = await buildListener();
    const socket = await dial(port, controlProtocol);
    const pieces: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => pieces.push(bytes));
    socket.write(head);
    await isClosedByPeer(socket);
    expect(Buffer.concat(pieces).toString()).not.toContain('101');
  });

  it.each([
    ['a message over the bound', (socket: WebSocket) => socket.send('x'.repeat(controlMessageBytesMax + 1))],
    ['a binary message', (socket: WebSocket) => socket.send(Buffer.from('x'))],
    [
      'a message in too many fragments',
      (socket: WebSocket) => {
        for (let fragment = 0; fragment < 17; fragment += 1) socket.send('x', { fin: fragment === 16 });
      },
    ],
  ])('hangs up on %s', async (_name, misbehave) => {
    const { port } = await buildListener();
    const tls = await dial(port, controlProtocol);
    const socket = new WebSocket('ws://x/link', { createConnection: () => tls, perMessageDeflate: true });
    await once(socket, 'open');
    expect(socket.extensions).toBe('');
    misbehave(socket);
    const [code] = (await once(socket, 'close')) as [number];
    expect(code).toBeGreaterThanOrEqual(1002);
  });
});

describe('S-10: main', () => {
  async function buildImpostor(
    identity: LinkIdentity,
    changes: object = {},
  ): Promise<{ port: number; bytes: Buffer[] }> {
    const bytes: Buffer[] = [];
    const server = createServer({ ...acceptOptions(identity, 5000), ...changes }, (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (piece: Buffer) => bytes.push(piece));
    });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => void server.close());
    const address = server.address();
    return { port: typeof address === 'object' && address !== null ? address.port : 0, bytes };
  }

  /** A node with the right key that grants a lane and hands it to the test. */
  async function buildEvilNode(): Promise<{ port: number; lane: Promise<TLSSocket> }> {
    let giveLane = (_socket: TLSSocket): void => undefined;
    const lane = new Promise<TLSSocket>((resolve) => {
      giveLane = resolve;
    });
    const control = new ControlAcceptor((transport) => {
      transport.start({ onMessage: () => undefined, onClose: () => undefined });
      const hello = {
        versions: [1, 1],
        name: 'evil',
        software: 'x',
        boot: randomId(),
        nowMs: 0,
        worker: 0,
        validatedLogins: true,
      };
      transport.send(JSON.stringify({ kind: 'hello', hello }));
      transport.send(encodeEvent('lane.grant', { token: randomId() }));
    });
    const identity = buildLinkIdentity(nodeKey.privateKeyPem, 'evil');
    const server = createServer(acceptOptions(identity, 5000), (socket) => {
      socket.on('error', () => undefined);
      if (socket.alpnProtocol === controlProtocol) control.accept(socket);
      else giveLane(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => void server.close());
    const address = server.address();
    return { port: typeof address === 'object' && address !== null ? address.port : 0, lane };
  }

  it('says not one byte to an impostor with a certificate of his own', async () => {
    const { port, bytes } = await buildImpostor(stranger);
    await expect(dial(port, controlProtocol)).rejects.toMatchObject({ code: 'protocol-violation' });
    expect(bytes).toEqual([]);
  });

  it.each([
    ['names no protocol', { ALPNProtocols: [] }],
    ['speaks TLS 1.2 only', { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }],
  ])('turns away from a node that %s', async (_name, changes) => {
    const { port, bytes } = await buildImpostor(buildLinkIdentity(nodeKey.privateKeyPem, 'dmz1'), changes);
    const failure: unknown = await dial(port, controlProtocol).catch((error: unknown) => error);
    expect(['protocol-violation', 'link-down']).toContain((failure as { code: string }).code);
    expect(bytes).toEqual([]);
  });

  it('gives up on a node that answers the upgrade with junk or a redirect', async () => {
    for (const answer of [
      'junk\r\n\r\n',
      'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n',
      `HTTP/1.1 101 X\r\nA: ${'a'.repeat(10_000)}\r\n\r\n`,
    ]) {
      const server = createServer(
        acceptOptions(buildLinkIdentity(nodeKey.privateKeyPem, 'dmz1'), 5000),
        (socket) => {
          socket.on('error', () => undefined);
          socket.once('data', () => socket.write(answer));
        },
      );
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      closers.push(() => void server.close());
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      await expect(connectControl(await dial(port, controlProtocol))).rejects.toThrow(Error);
    }
  });

  it('closes the link with an alarm when a lane of its node breaks the protocol', async () => {
    const { port, lane } = await buildEvilNode();
    const alarm = new Promise<string[]>((resolve) => {
      const address = { host: '127.0.0.1', port };
      void buildTlsLink({
        main: {
          nodes: [{ name: 'evil', address, identity: nodeKey.fingerprint }],
          onAlarm: (node, _worker, reason) => resolve([node, reason]),
        },
      }).then((link) => closers.push(() => link.close()));
    });
    (await lane).write(encodeFrame(frameType.open, 1, Buffer.from('{"kind":"read","handle":-1}')));
    expect(await alarm).toEqual(['evil', 'a bad stream header']);
  });

  it('two connections have two exporter values: an assertion for one is nothing on the other', async () => {
    const { port } = await buildListener();
    const [one, other] = [await dial(port, controlProtocol), await dial(port, controlProtocol)];
    expect(exporterOf(one)).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(exporterOf(one)).not.toBe(exporterOf(other));
    one.destroy();
    other.destroy();
  });
});

function ended(stream: LaneStream): Promise<unknown> {
  return new Promise((resolve, reject) => {
    stream.onEnd = resolve;
    stream.onReset = reject;
  });
}

async function hasLanes(link: TlsLink): Promise<void> {
  while ((link.links.states()[0]?.lanes ?? 0) < 2) await new Promise(setImmediate);
}

async function whenDown(link: TlsLink): Promise<void> {
  while (link.links.states()[0]?.up === true) await new Promise(setImmediate);
}
