import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { controlMessageBytesMax } from '#shared/link/limits.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import { connectControl, ControlAcceptor, controlPath } from '#shared/link/ws-transport.ts';
import { eventually } from '#test/harness/patience.ts';

// Whose socket it is was proven before (`link-tls.test.ts`); from here on any socket does.

const closers: (() => void)[] = [];
// Waiting for an upgrade is a matter of this clock.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close();
  vi.useRealTimers();
});

/** What each accepted connection is given to. */
async function listen(accept: (socket: TLSSocket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    closers.push(() => socket.destroy());
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
    accept(socket as TLSSocket);
  });
  closers.push(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function dial(port: number): Promise<TLSSocket> {
  const socket: Socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  closers.push(() => socket.destroy());
  await once(socket, 'connect');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
  return socket as TLSSocket;
}

/** A node's door; what it handed out. */
async function buildAcceptor() {
  const accepted: { transport: MessageTransport; socket: TLSSocket }[] = [];
  const sockets: TLSSocket[] = [];
  const acceptor = new ControlAcceptor((transport, socket) => void accepted.push({ transport, socket }));
  const port = await listen((socket) => {
    sockets.push(socket);
    acceptor.accept(socket);
  });
  return { port, accepted, sockets };
}

/** Main's end, and the node's. */
async function joinControl() {
  const { port, accepted, sockets } = await buildAcceptor();
  const socket = await dial(port);
  const main = await connectControl(socket);
  await eventually(() => expect(accepted.length).toBe(1));
  const node = accepted[0]?.transport;
  if (node === undefined) throw new Error('nothing was handed out');
  expect(accepted[0]?.socket).toBe(sockets[0]);
  return { main, node, mainSocket: socket, nodeSocket: sockets[0] as TLSSocket };
}

/** Main's end, and a peer that may say what it likes. */
async function joinEvilNode(): Promise<{ main: MessageTransport; evil: WebSocket }> {
  const server = new WebSocketServer({ noServer: true });
  const http = createHttpServer();
  const evil = new Promise<WebSocket>((resolve) => {
    http.on('upgrade', (request, socket, head) => server.handleUpgrade(request, socket, head, resolve));
  });
  const port = await listen((socket) => void http.emit('connection', socket));
  const main = await connectControl(await dial(port));
  return { main, evil: await evil };
}

/** Starts it; what it told, in order. */
function start(transport: MessageTransport): string[] {
  const told: string[] = [];
  transport.start({
    onMessage: (message) => void told.push(message.toString()),
    onClose: (reason) => void told.push(`closed: ${reason}`),
  });
  return told;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
}

const upgradeHead = (changes: { path?: string; extra?: string } = {}): string =>
  `GET ${changes.path ?? controlPath} HTTP/1.1\r\nHost: x\r\n${changes.extra ?? ''}Connection: Upgrade\r\n` +
  'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';

describe('a control connection', () => {
  it('carries messages both ways and whole, and says once at each end that it was closed, and why', async () => {
    const { main, node } = await joinControl();
    const told = { main: start(main), node: start(node) };
    await turns();
    expect(told).toEqual({ main: [], node: [] });
    const long = 'x'.repeat(controlMessageBytesMax);
    main.send('one');
    main.send(long);
    node.send('two');
    await eventually(() => expect(told.node).toEqual(['one', long]));
    await eventually(() => expect(told.main).toEqual(['two']));
    await eventually(() => expect(main.queuedBytes).toBe(0));
    main.close('enough');
    await eventually(() => expect(told.main.at(-1)).toBe('closed: enough'));
    await eventually(() => expect(told.node.at(-1)).toBe('closed: closed by the peer'));
    await turns();
    expect([told.main.length, told.node.length]).toEqual([2, 3]);
  });

  it('that is closed takes nothing more to send, and keeps nothing of it', async () => {
    const { main, node } = await joinControl();
    const told = { main: start(main), node: start(node) };
    main.close('enough');
    main.send('late');
    await eventually(() => expect(told.main).toEqual(['closed: enough']));
    main.send('later');
    await turns();
    expect(main.queuedBytes).toBe(0);
    expect(told.node).toEqual(['closed: closed by the peer']);
  });

  it('that is gone before it is started says so then, and not at once', async () => {
    const { main, node, nodeSocket } = await joinControl();
    main.close('enough');
    if (!nodeSocket.destroyed) await once(nodeSocket, 'close');
    await turns();
    const told = start(node);
    expect(told).toEqual([]);
    await eventually(() => expect(told).toEqual(['closed: closed by the peer']));
    await turns();
    expect(told).toHaveLength(1);
  });

  it('tells how much of what was sent is still here', async () => {
    const { main, nodeSocket } = await joinControl();
    nodeSocket.pause();
    for (let count = 0; count < 40; count += 1) main.send('x'.repeat(controlMessageBytesMax));
    expect(main.queuedBytes).toBeGreaterThan(controlMessageBytesMax);
  });

  it('S-05: ends with a binary message, which nobody is given', async () => {
    const { main, evil } = await joinEvilNode();
    const told = start(main);
    evil.send('a text');
    evil.send(Buffer.from('bytes'));
    await eventually(() => expect(told).toEqual(['a text', 'closed: a binary message on control']));
    await eventually(() => expect(evil.readyState).toBe(WebSocket.CLOSED));
  });

  it('S-09: ends with a message over the bound; the peer is told why', async () => {
    const { main, evil } = await joinEvilNode();
    const told = start(main);
    const closed = once(evil, 'close');
    evil.send('x'.repeat(controlMessageBytesMax + 1));
    expect((await closed)[0]).toBe(1009);
    await eventually(() => expect(told).toEqual(['closed: Max payload size exceeded']));
  });
});

describe('main, whom the node answers with no upgrade', () => {
  it.each([
    ['a redirect, which it does not follow', 'HTTP/1.1 302 Found\r\nLocation: /link\r\n\r\n', /302/u],
    ['a refusal', 'HTTP/1.1 403 Forbidden\r\n\r\n', /403/u],
    ['junk', 'junk\r\n\r\n', /Parse Error/u],
    ['a head that is too long', `HTTP/1.1 101 x\r\nX: ${'a'.repeat(5000)}\r\n\r\n`, /Header overflow/u],
    ['answers that say to wait, as many as it likes', 'HTTP/1.1 103 Wait\r\n\r\n'.repeat(1000), /interim/u],
  ])('gives up on %s, and hangs up', async (_name, answer, reason) => {
    let asked = 0;
    const port = await listen((socket) => {
      socket.on('data', () => {
        asked += 1;
        socket.write(answer);
      });
    });
    const socket = await dial(port);
    await expect(connectControl(socket)).rejects.toThrow(reason);
    expect([socket.destroyed, asked]).toEqual([true, 1]);
  });

  it('S-09: waits ten seconds for it and no longer, whatever drips in', async () => {
    const ends: Socket[] = [];
    const port = await listen((socket) => void ends.push(socket));
    const socket = await dial(port);
    const asked = connectControl(socket).catch((error: unknown) => String(error));
    vi.advanceTimersByTime(9_999);
    await eventually(() => expect(ends.length).toBe(1));
    ends[0]?.write('HTTP/1.1 101 ');
    await turns();
    expect(socket.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(await asked).toMatch(/in time/u);
    expect(socket.destroyed).toBe(true);
  });
});

describe('S-10: the node’s door', () => {
  /** Says it; resolves with all that came back before the door hung up. */
  async function say(port: number, words: string): Promise<string> {
    const socket = await dial(port);
    const pieces: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => void pieces.push(bytes));
    socket.write(words, 'latin1');
    if (!socket.destroyed) await once(socket, 'close');
    return Buffer.concat(pieces).toString('latin1');
  }

  it('upgrades what asks for it in form', async () => {
    const { port, accepted } = await buildAcceptor();
    const socket = await dial(port);
    socket.write(upgradeHead());
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 101 /u);
    expect(accepted).toHaveLength(1);
  });

  it.each([
    ['a plain request', `GET ${controlPath} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['another path', upgradeHead({ path: '/' })],
    ['a browser, by its Origin', upgradeHead({ extra: 'Origin: https://evil.example\r\n' })],
    ['a head that is not to the letter', upgradeHead({ extra: 'X: a\u0001b\r\n' })],
    ['a head that is too long', upgradeHead({ extra: `X: ${'a'.repeat(5000)}\r\n` })],
    ['junk', 'junk\r\n\r\n'],
  ])('hangs up without a word on %s', async (_name, words) => {
    const { port, accepted } = await buildAcceptor();
    expect(await say(port, words)).toBe('');
    expect(accepted).toEqual([]);
  });

  it('S-09: waits ten seconds for the upgrade and no longer; one that came is not waited for', async () => {
    const { port, accepted, sockets } = await buildAcceptor();
    await dial(port);
    (await dial(port)).write(upgradeHead());
    await eventually(() => expect([sockets.length, accepted.length]).toEqual([2, 1]));
    const isGone = () => sockets.map(({ destroyed }) => destroyed);
    vi.advanceTimersByTime(9_999);
    expect(isGone()).toEqual([false, false]);
    vi.advanceTimersByTime(1);
    expect(isGone()).toEqual([true, false]);
    vi.advanceTimersByTime(60_000);
    expect(isGone()).toEqual([true, false]);
  });

  it('waits for nobody who hung up', async () => {
    const { port, sockets } = await buildAcceptor();
    const before = vi.getTimerCount();
    const socket = await dial(port);
    await eventually(() => expect(sockets.length).toBe(1));
    expect(vi.getTimerCount()).toBe(before + 1);
    socket.destroy();
    await eventually(() => expect(vi.getTimerCount()).toBe(before));
  });
});
