import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  authenticationDeadlineMaxMs,
  clientKexInitMs,
  firstFactorMs,
  firstKeyExchangeMs,
  identificationMs,
  lingerMs,
} from '#dmz/sftp/limits.ts';
import { RawClient } from './fakes/raw-client.ts';
import { startTestServer, type TestServer } from './fakes/test-server.ts';

/** What main says of a code it just had mailed. */
const deliveredLifeMs = 300_000;

let running: TestServer;
let monotonic = 0;

beforeEach(async () => {
  monotonic = 0;
  running = await startTestServer(
    {
      alice: { password: 'correct horse', next: 'code', code: '123456' },
      bob: {
        password: 'correct horse',
        next: 'code',
        code: '123456',
        asked: { method: 'email', shapes: ['digits6'] },
        expiresInMs: deliveredLifeMs,
      },
    },
    { clock: { now: () => 0, monotonic: () => monotonic } },
  );
});
afterEach(() => running.close());

/** The sweep looks every half second. */
const soon = { timeout: 5000 };

function silentClient(): { socket: Socket; text: () => string; isClosed: () => boolean } {
  const socket = connect(running.port, '127.0.0.1');
  let text = '';
  let isClosed = false;
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.on('close', () => (isClosed = true));
  return { socket, text: () => text, isClosed: () => isClosed };
}

describe('deadlines', () => {
  it('a hundred silent clients are gone after the time for the first factor', async () => {
    const clients = Array.from({ length: 100 }, silentClient);
    await expect.poll(() => running.server.counts().connections, soon).toBe(100);
    monotonic = firstFactorMs;
    await expect.poll(() => clients.every((client) => client.isClosed()), soon).toBe(true);
    await expect.poll(() => running.guard.open.size, soon).toBe(0);
  });

  it('who never says which protocol it speaks goes sooner, and who says it and no more a little later', async () => {
    const silent = silentClient();
    await expect.poll(() => silent.text(), soon).toContain('SSH-2.0-Sallyport');
    monotonic = identificationMs - 1;
    const hello = silentClient();
    hello.socket.write('SSH-2.0-stalls\r\n');
    await expect.poll(() => hello.text().length, soon).toBeGreaterThan(0);
    expect(silent.isClosed()).toBe(false);
    monotonic = identificationMs;
    await expect.poll(() => silent.isClosed(), soon).toBe(true);
    expect(hello.isClosed()).toBe(false);
    monotonic = identificationMs + firstKeyExchangeMs;
    await expect.poll(() => hello.isClosed(), soon).toBe(true);
  });

  it('a client that waits for our KEXINIT gets it, without ChaCha20', async () => {
    const client = silentClient();
    client.socket.write('SSH-2.0-waits\r\n');
    await expect.poll(() => client.text(), soon).toContain('SSH-2.0-Sallyport');
    expect(client.text()).not.toContain('curve25519');
    monotonic = clientKexInitMs;
    await expect.poll(() => client.text(), soon).toContain('aes128-gcm');
    expect(client.text()).not.toContain('chacha20');
    client.socket.destroy();
  });

  it('who is asked for a code has as long as the challenge lives, and is then told', async () => {
    const raw = await RawClient.connect({ port: running.port });
    await raw.startAuthentication();
    raw.interactive('alice');
    await raw.next();
    raw.answer('correct horse');
    await raw.next();
    monotonic = firstFactorMs + 1000;
    raw.answer('000000');
    expect((await raw.next())?.type).toBe(60);
    monotonic = authenticationDeadlineMaxMs;
    expect((await raw.next())?.type).toBe(1);
    await raw.closed();
    expect(running.login.calls).toContain('cancel alice');
  });

  it('a mailed code that arrives after three minutes, or in its last second, still lets its user in', async () => {
    for (const afterMs of [180_000, deliveredLifeMs - 1_000]) {
      monotonic = 0;
      const raw = await RawClient.connect({ port: running.port });
      await raw.startAuthentication();
      raw.interactive('bob');
      await raw.next();
      raw.answer('correct horse');
      expect((await raw.next())?.type).toBe(60);
      const silent = silentClient();
      await expect.poll(() => running.server.counts().connections, soon).toBe(2);
      monotonic = afterMs;
      // Deadlines were looked at since: who has shown no first factor is gone.
      await expect.poll(() => silent.isClosed(), soon).toBe(true);
      raw.answer('123456');
      expect((await raw.next())?.type).toBe(52);
      raw.socket.destroy();
      await expect.poll(() => running.server.counts().connections, soon).toBe(0);
    }
  });

  it('who does not get it in time is told so', async () => {
    const raw = await RawClient.connect({ port: running.port });
    await raw.startAuthentication();
    raw.interactive('bob');
    await raw.next();
    raw.answer('correct horse');
    await raw.next();
    monotonic = deliveredLifeMs;
    expect((await raw.next())?.type).toBe(1);
    await raw.closed();
  });

  it('a key exchange that does not end ends the connection', async () => {
    const client = silentClient();
    client.socket.write('SSH-2.0-stalls\r\n');
    await expect.poll(() => client.text(), soon).toContain('SSH-2.0-Sallyport');
    monotonic = 30_000;
    await expect.poll(() => client.isClosed(), soon).toBe(true);
  });

  it('a client that is told to go and stays is cut off', async () => {
    const client = silentClient();
    client.socket.write('SSH-2.0-stays\r\n');
    await expect.poll(() => running.server.counts().connections, soon).toBe(1);
    client.socket.pause();
    // Each sweep finds the clock further on: first it is time to say good-bye, then not to wait for it any more.
    const ticking = setInterval(() => (monotonic += firstFactorMs + lingerMs), 100);
    await expect
      .poll(() => running.server.counts().connections, soon)
      .toBe(0)
      .finally(() => clearInterval(ticking));
    client.socket.destroy();
  });
});
