import { connect } from 'node:net';
import { sign } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HostKeys } from '#dmz/sftp/host-keys.ts';
import { firstKeyExchangeMs, keyExchangeMs, rekeyMs } from '#dmz/sftp/limits.ts';
import { WireWriter } from '#dmz/sftp/wire.ts';
import { hashExchange } from '#main-agent/host-keys/exchange.ts';
import { SallyportError } from '#shared/error.ts';
import type { SshExchange } from '#shared/link/messages.ts';
import { generatePrivateKeyFile, parsePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { RawClient } from '../fakes/raw-client.ts';
import { startTestServer, type TestServer } from '../fakes/test-server.ts';

const soon = { timeout: 5000 };

describe('host keys that are not on this box', () => {
  const key = parsePrivateKeyFile(generatePrivateKeyFile('elsewhere').file);
  let running: TestServer;
  let isAway: boolean;
  let monotonic: number;
  /** Signatures that are waited for, with whether each is of a connection's first keys. */
  let asked: { readonly isFirst: boolean; readonly give: () => void; readonly refuse: () => void }[];
  let isHeld: boolean;

  beforeEach(async () => {
    [isAway, isHeld, monotonic, asked] = [false, false, 0, []];
    const hostKeys: HostKeys = {
      present: () => (isAway ? [] : [{ type: key.publicKey.type, blob: key.publicKey.blob, signs: true }]),
      get isReady() {
        return !isAway;
      },
      prove: () => Promise.reject(new Error('not asked')),
      async sign({ method, isFirst, hashed }) {
        const parts = Object.entries(hashed).map(([name, octets]) => [name, octets.toString('base64url')]);
        const exchange = { method, ...Object.fromEntries(parts) } as SshExchange;
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const refuse = (): void =>
          reject(new SallyportError('link-down', 'The connection to the inside is down'));
        asked.push({ isFirst, give: resolve, refuse });
        if (!isHeld) resolve();
        await promise;
        return sign(null, hashExchange(exchange), key.privateKey);
      },
    };
    running = await startTestServer(
      { frank: { password: 'pw', next: 'admit' } },
      { hostKeys, profile: 'compat', clock: { now: () => 0, monotonic: () => monotonic } },
    );
  });
  afterEach(() => running.close());

  async function logIn(kex = 'curve25519-sha256'): Promise<RawClient> {
    const raw = await RawClient.connect({ port: running.port, kex });
    await raw.startAuthentication();
    raw.password('frank', 'pw');
    expect((await raw.next())?.type).toBe(52);
    return raw;
  }

  it.each(['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp521'])(
    '%s: a client is in with what is signed elsewhere, and new keys are signed there too',
    async (kex) => {
      const raw = await logIn(kex);
      raw.isReady = false;
      raw.protocol.rekey();
      await expect.poll(() => raw.isReady, soon).toBe(true);
      expect(asked.map(({ isFirst }) => isFirst)).toEqual([true, false]);
      raw.socket.destroy();
    },
  );

  it('new keys wait for their signature as long as it takes, and the connection goes on with them', async () => {
    const raw = await logIn();
    isHeld = true;
    raw.isReady = false;
    raw.protocol.rekey();
    await expect.poll(() => asked.length, soon).toBe(2);
    monotonic += 10 * keyExchangeMs;
    // A sweep or two goes by.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(raw.isClosed).toBe(false);
    asked[1]?.give();
    await expect.poll(() => raw.isReady, soon).toBe(true);
    raw.send(new WireWriter().byte(80).string('keepalive@openssh.com').boolean(true).finish());
    expect((await raw.next())?.type).toBe(82);
    raw.socket.destroy();
  });

  it('whoever waits for them goes when nobody signs, and is no breaker of the protocol', async () => {
    const raw = await logIn();
    isHeld = true;
    raw.protocol.rekey();
    await expect.poll(() => asked.length, soon).toBe(2);
    asked[1]?.refuse();
    await raw.closed();
    expect(running.guard.breaches).toEqual([]);
  });

  it('NEWKEYS before our reply ends the connection', async () => {
    const raw = await logIn();
    isHeld = true;
    raw.protocol.rekey();
    await expect.poll(() => asked.length, soon).toBe(2);
    raw.send(Buffer.from([21]), true);
    await raw.closed();
    expect(running.guard.breaches).toHaveLength(1);
  });

  it('the server begins no new keys while nobody would sign them', async () => {
    const raw = await logIn();
    isAway = true;
    monotonic += rekeyMs;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(asked).toHaveLength(1);
    isAway = false;
    await expect.poll(() => asked.length, soon).toBe(2);
    raw.socket.destroy();
  });

  it('a client that comes while nobody signs is told so before any key exchange; one that waits, too', async () => {
    isAway = true;
    const heard: Buffer[] = [];
    const socket = connect(running.port, '127.0.0.1', () => socket.write('SSH-2.0-new\r\n'));
    socket.on('data', (chunk) => heard.push(chunk));
    await new Promise((resolve) => socket.once('close', resolve));
    expect(Buffer.concat(heard).toString('latin1')).toContain('can not be reached right now');

    [isAway, isHeld] = [false, true];
    const waiting = RawClient.connect({ port: running.port });
    await expect.poll(() => asked.length, soon).toBe(1);
    monotonic += 2 * firstKeyExchangeMs;
    asked[0]?.refuse();
    await (await waiting).closed();
    expect(running.guard.breaches).toEqual([]);
  });
});
