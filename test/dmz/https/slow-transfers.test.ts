import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Pace } from '#dmz/https/exchange/pace.ts';
import { downloadPace, uploadPace, uploadTurnBytes } from '#dmz/https/limits.ts';
import { Stream } from '#shared/link/streams.ts';
import { BytesPerTurn } from '#test/harness/bytes-per-turn.ts';
import { Door, readAll } from './door.ts';

/** The door looks often, so that nobody waits for it here. */
vi.mock(import('#dmz/https/limits.ts'), async (original) => ({
  ...(await original()),
  paceCheckMs: 10 as 1_000,
}));

describe('the pace of a transfer', () => {
  function setUp(pace = uploadPace) {
    let nowMs = 0;
    const pacer = new Pace({ now: () => nowMs, monotonic: () => nowMs });
    let tooSlow = 0;
    const transfer = pacer.watch(pace, () => {
      tooSlow += 1;
    });
    return {
      transfer,
      wait: (ms: number) => {
        nowMs += ms;
        pacer.check();
      },
      tooSlow: () => tooSlow,
    };
  }

  it('is judged after ten seconds: 10 KiB are enough, a byte less is not', () => {
    const enough = setUp();
    enough.transfer.moved(10 * 1024);
    enough.wait(10_000);
    expect(enough.tooSlow()).toBe(0);
    enough.wait(10_000);
    expect(enough.tooSlow()).toBe(1);
    const less = setUp();
    less.transfer.moved(10 * 1024 - 1);
    less.wait(9_999);
    expect(less.tooSlow()).toBe(0);
    less.wait(1);
    expect(less.tooSlow()).toBe(1);
    less.wait(100_000);
    expect(less.tooSlow()).toBe(1);
  });

  it("counts the client's turns only", () => {
    const { transfer, wait, tooSlow } = setUp();
    wait(9_000);
    transfer.setClientsTurn(false);
    wait(1_000_000);
    transfer.setClientsTurn(true);
    wait(999);
    expect(tooSlow()).toBe(0);
    wait(1);
    expect(tooSlow()).toBe(1);
  });

  it('is not judged once it is done', () => {
    const { transfer, wait, tooSlow } = setUp();
    transfer.done();
    wait(100_000);
    expect(tooSlow()).toBe(0);
  });

  it('of a download is one piece in two minutes', () => {
    const { transfer, wait, tooSlow } = setUp(downloadPace);
    wait(119_999);
    transfer.moved(1);
    wait(1);
    expect(tooSlow()).toBe(0);
    wait(120_000);
    expect(tooSlow()).toBe(1);
  });
});

describe('a client that crawls', () => {
  let door: Door;
  let nowMs = 0;
  let cookie = '';
  beforeAll(async () => {
    door = await Door.open({
      clock: { now: () => Date.now(), monotonic: () => nowMs },
    });
    cookie = (await door.signedIn('frank')).cookie ?? '';
  });
  afterAll(() => door.close());

  /** Waits for a while until the door has one upload open, or none. */
  async function untilUploads(count: number): Promise<void> {
    for (let turn = 0; turn < 500 && door.inside.openUploads() !== count; turn += 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
  }

  const expectToldSlow = (text: string, status: number): void => {
    const [head = '', body = ''] = text.split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(head).toMatch(/\r\nConnection: close(\r\n|$)/);
    expect(head).toContain('\r\nContent-Type: application/problem+json');
    expect(JSON.parse(body)).toMatchObject({ status, reason: 'too-slow' });
  };

  it.for([100_000, 100])(
    'is told so (408) when it stops in an upload of %i bytes, and nothing of it stays',
    async (bytes) => {
      const socket = await door.raw();
      socket.write(
        `PUT /api/files/slow HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\nContent-Length: ${bytes}\r\n\r\nhello`,
      );
      await untilUploads(1);
      nowMs += 10_000;
      expectToldSlow(await readAll(socket, 10_000), 408);
      await untilUploads(0);
      expect([door.inside.openUploads(), door.inside.files.has('/slow')]).toEqual([0, false]);
    },
  );

  it('is told so in a way that has tus clients come back, and what came stays', async () => {
    const client = await door.signedIn('frank');
    const { headers } = await client.send('POST', '/api/uploads', undefined, {
      'Tus-Resumable': '1.0.0',
      'Upload-Length': '100000',
      'Upload-Metadata': `path ${Buffer.from('/slow-tus').toString('base64')}`,
    });
    const location = headers.location ?? '';
    const socket = await door.raw();
    socket.write(
      `PATCH ${location} HTTP/1.1\r\nHost: x\r\nCookie: ${client.cookie ?? ''}\r\nTus-Resumable: 1.0.0\r\n` +
        'Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 100000\r\n\r\nhello',
    );
    await untilUploads(1);
    nowMs += 10_000;
    expectToldSlow(await readAll(socket, 10_000), 503);
    const offset = async (): Promise<unknown> =>
      (await client.send('HEAD', location, undefined, { 'Tus-Resumable': '1.0.0' })).headers['upload-offset'];
    await expect.poll(offset).toBe('5');
  });

  it('is told so when it stops in a sign-in', async () => {
    const socket = await door.raw();
    socket.write(
      'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n',
    );
    // "100 Continue": from here the body is waited for.
    await once(socket, 'data');
    nowMs += 10_000;
    const told = await readAll(socket, 10_000);
    expectToldSlow(told, 408);
    expect(told).not.toContain('Set-Cookie');
  });

  it('loses a download it does not read', async () => {
    door.inside.files.set('/huge', { type: 'file', content: Buffer.alloc(64 * 1024 * 1024), mtimeMs: 0 });
    const socket = await door.raw();
    socket.write(`GET /api/files/huge HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\n\r\n`);
    await once(socket, 'data');
    socket.pause();
    expect(door.inside.openStreams()).toBe(1);
    // What the kernel's buffers take counts as read; after them nothing moves.
    for (let turn = 0; turn < 300 && door.inside.openStreams() > 0; turn += 1) {
      nowMs += 60_000;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(door.inside.openStreams()).toBe(0);
    socket.destroy();
  });
});

describe('a client that is fast', () => {
  it('lets everybody else have their turn between two shares of its upload', async () => {
    const door = await Door.open();
    const { cookie } = await door.signedIn('frank');
    const turns = new BytesPerTurn();
    // oxlint-disable-next-line typescript/unbound-method -- called with its own stream
    const { write } = Stream.prototype;
    vi.spyOn(Stream.prototype, 'write').mockImplementation(function (this: Stream, piece, sent) {
      turns.count(piece.byteLength);
      return write.call(this, piece, sent);
    });
    const bytes = Buffer.alloc(8 * 1024 * 1024, 'x');
    const socket = await door.raw();
    socket.write(
      `PUT /api/files/fast HTTP/1.0\r\nHost: x\r\nCookie: ${cookie ?? ''}\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    );
    socket.write(bytes);
    expect(await readAll(socket, 10_000)).toMatch(/^HTTP\/1\.1 201 /);
    // One read of the socket, and as much again that the request holds, may have been on their way.
    expect(turns.finish()).toBeLessThanOrEqual(uploadTurnBytes + 2 * 64 * 1024);
    expect(turns.total).toBe(bytes.length);
    vi.restoreAllMocks();
    await door.close();
  });
});
