import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
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
        await turn();
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

  it('cuts a peer whose header is longer than any can be', async () => {
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

describe('what waits for its header', () => {
  /** A connection without a network: its two ends close each by itself, and its listeners can be counted. */
  class PlayedSocket extends Duplex {
    readonly remoteAddress: string | undefined;
    readonly remotePort = 4711;
    constructor(remoteAddress: string | undefined) {
      super({ autoDestroy: false, read: () => undefined, write: (_bytes, _encoding, done) => done() });
      this.remoteAddress = remoteAddress;
    }
    heard(): readonly string[] {
      return this.eventNames().flatMap((name) => this.listeners(name).map(() => String(name)));
    }
  }
  const play = (options: Partial<RealClientsOptions> = {}) => {
    const admitted: Endpoint[] = [];
    const clients = buildRealClients({
      protocol: 'sftp',
      proxiesFrom: ['127.0.0.2'],
      clock: systemClock,
      log: buildLog('silent', {}),
      ...options,
    });
    const accept = (socket = new PlayedSocket('127.0.0.2')): PlayedSocket => {
      let times = 0;
      clients.accept(socket as unknown as Socket, (client) => {
        admitted.push(client);
        times += 1;
        // Or it would go on for ever, and nobody else had a turn.
        if (times > 1) socket.destroy();
      });
      return socket;
    };
    return { clients, admitted, accept };
  };
  const withoutTime = (): void => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    open.push(() => vi.useRealTimers());
  };

  it('waits five seconds, and not a moment once it is there', async () => {
    withoutTime();
    const { accept, admitted } = play();
    const [silent, client] = [accept(), accept()];
    client.push(header);
    await turn();
    vi.advanceTimersByTime(4_999);
    expect([silent.destroyed, admitted.length]).toEqual([false, 1]);
    vi.advanceTimersByTime(1);
    expect([silent.destroyed, client.destroyed, vi.getTimerCount()]).toEqual([true, false, 0]);
  });

  it('waits as long as it is told', () => {
    withoutTime();
    const silent = play({ headerTimeoutMs: 50 }).accept();
    vi.advanceTimersByTime(49);
    expect(silent.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(silent.destroyed).toBe(true);
  });

  it('is read to the byte, however it comes', async () => {
    const { accept, admitted } = play();
    const [slow, quick] = [accept(), accept()];
    for (const byte of header) {
      slow.push(byte);
      await turn();
    }
    quick.push(`${header}S`);
    await turn();
    expect(admitted).toHaveLength(2);
    expect(String(quick.read())).toBe('S');
  });

  it('is refused when it ends after its first byte', async () => {
    const registry = new Registry();
    const client = play({ registry }).accept();
    client.push('P');
    await turn();
    client.push(null);
    await turn();
    const metric = await registry.getSingleMetric('sallyport_proxy_protocol_refused_total')?.get();
    expect(metric?.values.map(({ labels }) => labels['reason'])).toEqual(['invalid-header']);
  });

  it('leaves nothing on the socket of a client but an ear for its errors', async () => {
    const { accept, admitted } = play();
    const before = new PlayedSocket('127.0.0.2').heard();
    const client = accept();
    client.push(header);
    await turn();
    expect(admitted).toHaveLength(1);
    expect(client.heard()).toEqual([...before, 'error']);
    expect(() => client.emit('error', new Error('reset by peer'))).not.toThrow();
  });

  it('is closed from this side too when it ends, and waits for nothing then', async () => {
    withoutTime();
    const { accept } = play();
    const looks = accept();
    looks.push(null);
    await turn();
    expect([looks.destroyed, vi.getTimerCount()]).toEqual([true, 0]);
  });

  it('is forgotten when it is gone', () => {
    withoutTime();
    const { accept } = play({ waitingMax: 1 });
    const gone = accept();
    gone.emit('close');
    const next = accept();
    expect([gone.destroyed, next.destroyed, vi.getTimerCount()]).toEqual([false, false, 1]);
    next.emit('close');
  });

  it('ends with the door', () => {
    withoutTime();
    const { accept, clients } = play();
    const waiting = [accept(), accept()];
    clients.close();
    expect(waiting.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  });

  it('S-09: is at most 4,096 connections', () => {
    withoutTime();
    const { accept, clients } = play();
    const waiting = Array.from({ length: 4_096 }, () => accept());
    expect(waiting[0]?.destroyed).toBe(false);
    accept();
    accept();
    expect(waiting.map(({ destroyed }) => destroyed).indexOf(false)).toBe(2);
    clients.close();
  });

  it('is nobody whose address is gone by then', () => {
    for (const proxiesFrom of [[], ['127.0.0.2']]) {
      const { accept, admitted } = play({ proxiesFrom });
      const gone = accept(new PlayedSocket(undefined));
      expect([gone.destroyed, admitted]).toEqual([true, []]);
    }
  });
});
