import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Registry } from 'prom-client';
import { buildRealClients, type RealClientsOptions } from '#dmz/guard/real-clients.ts';
import type { Endpoint } from '#dmz/guard/proxy-header.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';

const header = 'PROXY TCP4 192.0.2.7 10.0.0.1 55555 443\r\n';
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).toReversed()) await end();
});

interface Accepted {
  readonly client: Endpoint;
  readonly bytes: Promise<string>;
}

interface Rig {
  readonly port: number;
  readonly accepted: Accepted[];
  readonly registry: Registry;
  refused(): Promise<Record<string, number>>;
}

async function start(options: Partial<RealClientsOptions>): Promise<Rig> {
  const accepted: Accepted[] = [];
  const registry = new Registry();
  const clients = buildRealClients({
    protocol: 'sftp',
    clock: systemClock,
    log: buildLog('silent', {}),
    registry,
    ...options,
  });
  const server = createServer((socket) =>
    clients.accept(socket, (client) => accepted.push({ client, bytes: readAll(socket) })),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(() => {
    server.close();
    clients.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    accepted,
    registry,
    async refused() {
      const { values = [] } =
        (await registry.getSingleMetric('sallyport_proxy_protocol_refused_total')?.get()) ?? {};
      return Object.fromEntries(values.map(({ labels, value }) => [String(labels['reason']), value]));
    },
  };
}

async function readAll(socket: Socket): Promise<string> {
  socket.setEncoding('latin1');
  let text = '';
  socket.on('data', (part: string) => (text += part));
  await once(socket, 'close');
  return text;
}

async function dial({ port }: Rig, from = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress: from });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  open.push(() => socket.destroy());
  return socket;
}

async function untilClosed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await once(socket, 'close');
}

describe('a door without a balancer', () => {
  it('takes the peer of the socket for the client, and a PROXY header for what the client says', async () => {
    const rig = await start({});
    const socket = await dial(rig, '127.0.0.3');
    socket.end(header);
    await untilClosed(socket);
    await expect.poll(() => rig.accepted.length).toBe(1);
    expect(rig.accepted[0]?.client.ip).toBe('127.0.0.3');
    await expect(rig.accepted[0]?.bytes).resolves.toBe(header);
  });
});

describe('a door behind a balancer', () => {
  const proxiesFrom = ['127.0.0.2', '127.0.1.0/24'];

  it.each(['127.0.0.2', '127.0.1.9'])(
    'takes the client from the header of %s, byte by byte too',
    async (peer) => {
      const rig = await start({ proxiesFrom });
      const socket = await dial(rig, peer);
      for (const byte of header) {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      socket.end('hello');
      await untilClosed(socket);
      expect(rig.accepted.map(({ client }) => client)).toEqual([{ ip: '192.0.2.7', port: 55555 }]);
      await expect(rig.accepted[0]?.bytes).resolves.toBe('hello');
    },
  );

  it('hands over what came in one packet with the header', async () => {
    const rig = await start({ proxiesFrom });
    const socket = await dial(rig, '127.0.0.2');
    socket.end(`${header}hello`);
    await untilClosed(socket);
    await expect(rig.accepted[0]?.bytes).resolves.toBe('hello');
  });

  it('cuts who is not listed, with or without a header, and counts it', async () => {
    const rig = await start({ proxiesFrom });
    for (const said of [header, 'SSH-2.0-x\r\n']) {
      const socket = await dial(rig, '127.0.0.3');
      socket.write(said);
      await untilClosed(socket);
    }
    expect(rig.accepted).toEqual([]);
    expect(await rig.refused()).toEqual({ 'unlisted-peer': 2 });
  });

  it('cuts a listed peer without a header, and with half of one that never ends', async () => {
    const rig = await start({ proxiesFrom, headerTimeoutMs: 50 });
    const without = await dial(rig, '127.0.0.2');
    without.write('SSH-2.0-x\r\n');
    await untilClosed(without);
    const half = await dial(rig, '127.0.0.2');
    half.write(header.slice(0, 20));
    await untilClosed(half);
    const silent = await dial(rig, '127.0.0.2');
    await untilClosed(silent);
    const gone = await dial(rig, '127.0.0.2');
    gone.end(header.slice(0, 20));
    await untilClosed(gone);
    expect(rig.accepted).toEqual([]);
    expect(await rig.refused()).toEqual({ 'invalid-header': 2, 'late-header': 2 });
  });

  it('says in the log why a peer is cut, once a minute for each peer and reason', async () => {
    let nowMs = 0;
    const { log, lines } = buildRecordedLog();
    const rig = await start({ proxiesFrom, log, clock: { now: () => nowMs, monotonic: () => nowMs } });
    const cut = async (from: string) => {
      const socket = await dial(rig, from);
      socket.write('SSH-2.0-x\r\n');
      await untilClosed(socket);
    };
    const told = () =>
      lines
        .map((line) => JSON.parse(line) as { peer: string; reason: string })
        .map(({ peer, reason }) => `${peer} ${reason}`);
    await cut('127.0.0.3');
    await cut('127.0.0.3');
    await cut('127.0.0.4');
    await cut('127.0.0.2');
    const first = ['127.0.0.3 unlisted-peer', '127.0.0.4 unlisted-peer', '127.0.0.2 invalid-header'];
    expect(told()).toEqual(first);
    nowMs = 59_999;
    await cut('127.0.0.3');
    expect(told()).toEqual(first);
    nowMs = 60_000;
    await cut('127.0.0.3');
    expect(told()).toEqual([...first, '127.0.0.3 unlisted-peer']);
  });

  it('cuts a peer whose header is longer than any can be, and has no listener of its own on a client', async () => {
    const rig = await start({ proxiesFrom });
    const long = await dial(rig, '127.0.0.2');
    long.write(
      Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xff', 'latin1'), Buffer.alloc(8_000)]),
    );
    await untilClosed(long);
    expect(await rig.refused()).toEqual({ 'invalid-header': 1 });
  });

  it('counts both doors in one number', async () => {
    const registry = new Registry();
    for (const protocol of ['https', 'sftp'] as const) {
      const rig = await start({ proxiesFrom, registry, protocol });
      const socket = await dial(rig, '127.0.0.3');
      await untilClosed(socket);
    }
    const { values = [] } =
      (await registry.getSingleMetric('sallyport_proxy_protocol_refused_total')?.get()) ?? {};
    expect(values.map(({ labels, value }) => [labels['door'], value])).toEqual([
      ['https', 1],
      ['sftp', 1],
    ]);
  });

  it('lets a balancer look whether the port is open', async () => {
    const rig = await start({ proxiesFrom });
    const socket = await dial(rig, '127.0.0.2');
    socket.end();
    await untilClosed(socket);
    expect(rig.accepted).toEqual([]);
    expect(await rig.refused()).toEqual({});
  });

  it('a balancer that speaks for itself is the client', async () => {
    const rig = await start({ proxiesFrom });
    const socket = await dial(rig, '127.0.0.2');
    socket.end('PROXY UNKNOWN\r\nhello');
    await untilClosed(socket);
    expect(rig.accepted[0]?.client.ip).toBe('127.0.0.2');
  });

  it('drops the oldest of too many that wait for their header, and none that has one', async () => {
    const rig = await start({ proxiesFrom, waitingMax: 3 });
    const first = await dial(rig, '127.0.0.2');
    first.write(header);
    await expect.poll(() => rig.accepted.length).toBe(1);
    const waiting = [];
    for (let count = 0; count < 4; count += 1) waiting.push(await dial(rig, '127.0.0.2'));
    await untilClosed(waiting[0] ?? first);
    expect(await rig.refused()).toEqual({ 'too-many-waiting': 1 });
    expect([first, ...waiting.slice(1)].map((socket) => socket.closed)).toEqual([false, false, false, false]);
  });
});
