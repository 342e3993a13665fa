import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { laneTurnBytes } from '#shared/link/limits.ts';
import { ReadBuffer, SocketTransport } from '#shared/link/socket-transport.ts';
import { BytesPerTurn } from '#test/harness/bytes-per-turn.ts';
import { eventually } from '#test/harness/patience.ts';

// A lane's TLS is proven before its transport is made; what is asked of the socket here every socket has.

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close();
});

/** Both ends of a connection: ours, and the peer's. */
async function connectAnyPair(readBuffer?: ReadBuffer): Promise<{ ours: TLSSocket; peer: Socket }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const accepted = once(server, 'connection');
  const ours = connect({
    port,
    host: '127.0.0.1',
    ...(readBuffer !== undefined && { onread: readBuffer.onread }),
  });
  const [peer] = (await accepted) as [Socket];
  peer.on('error', () => undefined);
  closers.push(() => {
    server.close();
    ours.destroy();
    peer.destroy();
  });
  if (ours.connecting) await once(ours, 'connect');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
  return { ours: ours as TLSSocket, peer };
}

/** Starts it; what it told, in order. */
function start(transport: SocketTransport): string[] {
  const told: string[] = [];
  transport.start({
    onBytes: (bytes, length) => void told.push(bytes.toString('latin1', 0, length)),
    onClose: (reason) => void told.push(`closed: ${reason}`),
  });
  return told;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const kinds = ['that was dialled', 'that was accepted', 'that was accepted on a Node without lent buffers'];

describe.each(kinds)('a lane’s connection %s', (kind) => {
  const makeBuffer = (): ReadBuffer | undefined =>
    kind === 'that was dialled' ? new ReadBuffer() : undefined;
  const connectPair = async (buffer?: ReadBuffer): ReturnType<typeof connectAnyPair> => {
    const pair = await connectAnyPair(buffer);
    // What `lendReadBuffer` looks for.
    if (kind.endsWith('without lent buffers'))
      Reflect.set(Object(Reflect.get(pair.ours, '_handle')), 'useUserBuffer', undefined);
    return pair;
  };

  it('hands on what comes piece by piece, sends what it is given, and says once that the peer closed it', async () => {
    const buffer = makeBuffer();
    const { ours, peer } = await connectPair(buffer);
    const transport = new SocketTransport(ours, buffer);
    const told = start(transport);
    for (const piece of ['one', 'two', 'three']) {
      peer.write(piece);
      await eventually(() => expect(told.at(-1)).toBe(piece));
    }
    const done = vi.fn<() => void>();
    transport.write(Buffer.from('four'), done);
    const [received] = (await once(peer, 'data')) as [Buffer];
    expect(received.toString()).toBe('four');
    await eventually(() => expect(done).toHaveBeenCalledExactlyOnceWith());
    peer.end();
    await eventually(() => expect(told.length).toBe(4));
    await nextTurn();
    expect(told).toEqual(['one', 'two', 'three', 'closed: closed by the peer']);
  });

  it('that has much to read lets everybody else have their turn between two shares of it', async () => {
    const buffer = makeBuffer();
    const { ours, peer } = await connectPair(buffer);
    const transport = new SocketTransport(ours, buffer);
    const sent = Buffer.alloc(8 * 1024 * 1024, 'x');
    const turns = new BytesPerTurn();
    let wasBusy = false;
    let quietCount = 0;
    transport.start({
      onBytes: (_bytes, length) => {
        turns.count(length);
        wasBusy ||= transport.isBusy;
      },
      onQuiet: () => void (quietCount += 1),
      onClose: () => undefined,
    });
    peer.write(sent);
    await eventually(() => expect(turns.total).toBe(sent.length));
    await eventually(() => expect(transport.isBusy).toBe(false));
    expect([wasBusy, quietCount > 0]).toEqual([true, true]);
    // One read of the socket, and as much again that a stream holds, may have been on their way.
    expect(turns.finish()).toBeLessThanOrEqual(laneTurnBytes + 2 * 64 * 1024);
  });

  it('ends when the peer says its last, whatever still waits to be sent; each write is told as done', async () => {
    const buffer = makeBuffer();
    const { ours, peer } = await connectPair(buffer);
    peer.pause();
    const transport = new SocketTransport(ours, buffer);
    const told = start(transport);
    let done = 0;
    const much = Buffer.alloc(64 * 1024 * 1024);
    for (let count = 0; count < 2; count += 1) transport.write(much, () => void (done += 1));
    peer.end();
    await eventually(() => expect([told, done]).toEqual([['closed: closed by the peer'], 2]));
  });

  it('says why it was closed: our own word, or what broke it', async () => {
    const buffer = makeBuffer();
    const one = await connectPair(buffer);
    const transport = new SocketTransport(one.ours, buffer);
    const told = start(transport);
    transport.close('enough');
    await eventually(() => expect(told).toEqual(['closed: enough']));
    await eventually(() => expect(one.peer.destroyed || one.peer.readableEnded).toBe(true));

    const otherBuffer = makeBuffer();
    const other = await connectPair(otherBuffer);
    const broken = start(new SocketTransport(other.ours, otherBuffer));
    other.ours.destroy(new Error('a cable was cut'));
    await eventually(() => expect(broken).toEqual(['closed: a cable was cut']));
  });

  it('that is gone before it is started says so once, and not before it was started', async () => {
    for (const isLong of [false, true]) {
      const buffer = makeBuffer();
      const { ours } = await connectPair(buffer);
      const transport = new SocketTransport(ours, buffer);
      ours.destroy();
      if (isLong) await once(ours, 'close');
      const told = start(transport);
      expect(told).toEqual([]);
      await eventually(() => expect(told).toEqual(['closed: closed by the peer']));
      for (let turn = 0; turn < 5; turn += 1) await nextTurn();
      expect(told).toHaveLength(1);
    }
  });
});

describe('a lane’s connection', () => {
  it('that was accepted reads into one buffer, on this Node, over TLS and from the first byte on', async () => {
    const authority = createThrowAwayAuthority(Date.now());
    const { certificatePem: cert, privateKeyPem } = authority.issueServerCertificate();
    const server = tls.createServer({ cert, key: privateKeyPem.expose(), minVersion: 'TLSv1.3' });
    const buffers = new Set<Buffer>();
    const hash = createHash('sha256');
    let bytesSeen = 0;
    let isStreaming = false;
    server.on('secureConnection', (socket) => {
      new SocketTransport(socket).start({
        onBytes: (bytes, length) => {
          buffers.add(bytes);
          hash.update(bytes.subarray(0, length));
          bytesSeen += length;
        },
        onClose: () => undefined,
      });
      socket.on('data', () => {
        isStreaming = true;
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const client = tls.connect({ host: '127.0.0.1', port, ca: authority.certificatePem });
    closers.push(() => {
      client.destroy();
      server.close();
    });
    const sent = randomBytes(3_000_000);
    // Not waiting for the handshake: the first bytes come with its end.
    client.write(sent);
    await eventually(() => expect(bytesSeen).toBe(sent.length));
    expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
    expect(
      [buffers.size, isStreaming],
      'this Node has no lent read buffers any more: shared/link/lent-read-buffer.ts says what it needs; without it each TLS record of a download costs a new buffer',
    ).toEqual([1, false]);
  });

  it('that brings bytes before it is started is refused, unread', async () => {
    const buffer = new ReadBuffer();
    const { ours, peer } = await connectAnyPair(buffer);
    const transport = new SocketTransport(ours, buffer);
    peer.write('early');
    await eventually(() => expect(buffer.early).toBe(true));
    const told = start(transport);
    await eventually(() => expect(told).toEqual(['closed: bytes before the join']));
    expect(ours.destroyed).toBe(true);
  });

  it('sends small frames at once, and keeps firewalls between aware of it', async () => {
    const { ours } = await connectAnyPair();
    const noDelay = vi.spyOn(ours, 'setNoDelay');
    const keepAlive = vi.spyOn(ours, 'setKeepAlive');
    void new SocketTransport(ours);
    expect(noDelay).toHaveBeenCalledExactlyOnceWith(true);
    expect(keepAlive).toHaveBeenCalledExactlyOnceWith(true, expect.any(Number));
  });
});
