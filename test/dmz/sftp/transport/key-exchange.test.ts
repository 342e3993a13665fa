import {
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  verify,
} from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WireReader, WireWriter } from '#dmz/sftp/wire.ts';
import { RawClient } from '../fakes/raw-client.ts';
import { startTestServer, type TestServer } from '../fakes/test-server.ts';

let running: TestServer;
beforeAll(async () => {
  running = await startTestServer({ frank: { password: 'pw', next: 'admit' } }, { profile: 'compat' });
});
afterAll(() => running.close());

/** The unencrypted part of SSH, by hand: a connection that can send and receive plain packets. */
class PlainConnection {
  readonly socket = connect(running.port, '127.0.0.1');
  #received = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  isClosed = false;

  constructor() {
    this.socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  send(payload: Buffer): void {
    const padding = 8 + (8 - ((5 + payload.length) % 8));
    const length = Buffer.alloc(5);
    length.writeUInt32BE(1 + payload.length + padding, 0);
    length[4] = padding;
    this.socket.write(Buffer.concat([length, payload, Buffer.alloc(padding)]));
  }

  async take(test: (bytes: Buffer) => number | undefined): Promise<Buffer> {
    for (;;) {
      const count = test(this.#received);
      if (count !== undefined) {
        const taken = this.#received.subarray(0, count);
        this.#received = this.#received.subarray(count);
        return taken;
      }
      if (this.isClosed) throw new Error('closed');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async line(): Promise<string> {
    const bytes = await this.take((all) => (all.includes(10) ? all.indexOf(10) + 1 : undefined));
    return bytes.toString().trimEnd();
  }

  async packet(): Promise<Buffer> {
    const bytes = await this.take((all) =>
      all.length >= 4 && all.length >= 4 + all.readUInt32BE(0) ? 4 + all.readUInt32BE(0) : undefined,
    );
    return bytes.subarray(5, bytes.length - (bytes[4] ?? 0));
  }
}

function kexInit(lists: { kex: string[]; cipher: string[] }): Buffer {
  const { kex, cipher } = lists;
  const writer = new WireWriter().byte(20).raw(randomBytes(16)).string(kex.join(',')).string('ssh-ed25519');
  writer.string(cipher.join(',')).string(cipher.join(','));
  const mac = 'hmac-sha2-256-etm@openssh.com';
  writer.string(mac).string(mac).string('none').string('none').string('').string('');
  return writer.boolean(false).uint32(0).finish();
}

const gcm = ['aes128-gcm@openssh.com'];

describe('key exchange', () => {
  it('mlkem768x25519-sha256: the exchange hash is what a client computes, signed by the host key', async () => {
    const peer = new PlainConnection();
    peer.socket.write('SSH-2.0-test\r\n');
    const serverIdent = await peer.line();
    const ours = kexInit({ kex: ['mlkem768x25519-sha256'], cipher: gcm });
    peer.send(ours);
    const theirs = await peer.packet();
    expect(theirs.toString('latin1')).toContain('mlkem768x25519-sha256');

    const kem = generateKeyPairSync('ml-kem-768');
    const x25519 = generateKeyPairSync('x25519');
    const share = Buffer.concat([
      kem.publicKey.export({ type: 'spki', format: 'der' }).subarray(-1184),
      x25519.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32),
    ]);
    peer.send(new WireWriter().byte(30).string(share).finish());
    const reply = new WireReader(await peer.packet(), 1);
    const hostKey = reply.string(999);
    const serverShare = reply.string(1088 + 32);
    const signature = reply.string(999);

    const kemSecret = decapsulate(kem.privateKey, serverShare.subarray(0, 1088));
    const xSecret = diffieHellman({
      privateKey: x25519.privateKey,
      publicKey: createPublicKey({
        key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), serverShare.subarray(1088)]),
        format: 'der',
        type: 'spki',
      }),
    });
    const secret = createHash('sha256').update(kemSecret).update(xSecret).digest();
    const hashed = new WireWriter()
      .string('SSH-2.0-test')
      .string(serverIdent)
      .string(ours)
      .string(theirs)
      .string(hostKey)
      .string(share)
      .string(serverShare)
      .string(secret);
    const exchangeHash = createHash('sha256').update(hashed.finish()).digest();
    const key = new WireReader(hostKey);
    key.string(99);
    const field = new WireReader(signature);
    field.string(99);
    const verifier = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: key.string(32).toString('base64url') },
      format: 'jwk',
    });
    expect(verify(null, exchangeHash, verifier, field.string(64))).toBe(true);
    expect(`ssh-ed25519 ${hostKey.toString('base64')} test`).toBe(running.hostKeyLine);
    peer.socket.destroy();
  });

  it.each([
    ['too short', 1215],
    ['too long', 1217],
    ['empty', 0],
  ])('a client share that is %s ends the connection', async (_name, length) => {
    const peer = new PlainConnection();
    peer.socket.write('SSH-2.0-test\r\n');
    await peer.line();
    peer.send(kexInit({ kex: ['mlkem768x25519-sha256'], cipher: gcm }));
    await peer.packet();
    peer.send(new WireWriter().byte(30).string(Buffer.alloc(length, 1)).finish());
    expect((await peer.packet())[0]).toBe(1);
    peer.socket.destroy();
  });

  it('an X25519 share that gives no secret ends the connection', async () => {
    const peer = new PlainConnection();
    peer.socket.write('SSH-2.0-test\r\n');
    await peer.line();
    peer.send(kexInit({ kex: ['curve25519-sha256'], cipher: gcm }));
    await peer.packet();
    peer.send(new WireWriter().byte(30).string(Buffer.alloc(32)).finish());
    expect((await peer.packet())[0]).toBe(1);
    peer.socket.destroy();
  });

  it('ChaCha20 alone without strict key exchange is refused with a reason', async () => {
    const peer = new PlainConnection();
    peer.socket.write('SSH-2.0-old\r\n');
    await peer.line();
    peer.send(kexInit({ kex: ['curve25519-sha256'], cipher: ['chacha20-poly1305@openssh.com'] }));
    const goodbye = new WireReader(await peer.packet(), 1);
    expect(goodbye.uint32()).toBe(3);
    expect(goodbye.text(200)).toContain('strict key exchange');
    peer.socket.destroy();
  });

  it.each([
    ['aes128-gcm@openssh.com', undefined, 'curve25519-sha256'],
    ['aes256-gcm@openssh.com', undefined, 'curve25519-sha256@libssh.org'],
    ['aes256-ctr', 'hmac-sha2-256-etm@openssh.com', 'ecdh-sha2-nistp256'],
    ['aes256-ctr', 'hmac-sha2-512', 'ecdh-sha2-nistp521'],
  ])('logs in with %s %s %s, over several key exchanges', async (cipher, mac, kex) => {
    const raw = await RawClient.connect({
      port: running.port,
      cipher,
      kex,
      ...(mac !== undefined && { mac }),
    });
    await raw.startAuthentication();
    for (let count = 0; count < 3; count++) {
      raw.isReady = false;
      raw.protocol.rekey();
      while (!raw.isReady && !raw.isClosed) await new Promise((resolve) => setImmediate(resolve));
    }
    raw.password('frank', 'pw');
    expect((await raw.next())?.type).toBe(52);
    raw.socket.destroy();
  });

  it('a byte changed anywhere on the wire ends the connection, and nobody is signed in', async () => {
    const begun = () => running.login.calls.filter((call) => call.startsWith('begin')).length;
    const before = begun();
    const loginBytes = 84; // the record with the password; what is changed behind it comes too late for the login
    for (const cipher of ['aes128-gcm@openssh.com', 'aes256-ctr'])
      for (let position = 0; position < loginBytes; position += 3) {
        const raw = await RawClient.connect({ port: running.port, cipher });
        await raw.startAuthentication();
        let passed = 0;
        raw.onWrite = (bytes) => {
          const at = position - passed;
          passed += bytes.length;
          if (at < 0 || at >= bytes.length) return bytes;
          const forged = Buffer.from(bytes);
          forged[at] = (forged[at] ?? 0) ^ 0x10;
          return forged;
        };
        raw.password('frank', 'pw');
        // If the forged length makes the server wait for more, there is more.
        for (let count = 0; count < 3; count++)
          raw.send(new WireWriter().byte(2).string(Buffer.alloc(30_000)).finish());
        await raw.closed();
        expect(await raw.next()).toBeUndefined();
      }
    expect(begun()).toBe(before);
  });
});

describe('a message that has no place in the first key exchange', () => {
  const idle: readonly [string, Buffer][] = [
    ['IGNORE', new WireWriter().byte(2).string('x').finish()],
    ['UNIMPLEMENTED', new WireWriter().byte(3).uint32(0).finish()],
    ['DEBUG', new WireWriter().byte(4).boolean(false).string('x').string('').finish()],
  ];
  const never: readonly [string, Buffer][] = [
    ['an empty one', Buffer.alloc(0)],
    ['an unknown one', Buffer.from([200])],
    ['one that SSH does not define', Buffer.from([9])],
    ['SERVICE_REQUEST', new WireWriter().byte(5).string('ssh-userauth').finish()],
    ['EXT_INFO', new WireWriter().byte(7).uint32(0).finish()],
    ['a login', new WireWriter().byte(50).string('frank').string('ssh-connection').string('none').finish()],
    ['another method’s', Buffer.from([31])],
  ];
  const places = ['before KEXINIT', 'after KEXINIT', 'before NEWKEYS'] as const;
  const newKeys = Buffer.from([21]);

  /** One exchange with this message in this place; whether the server went on to the end. */
  async function exchange(
    place: (typeof places)[number],
    stray: Buffer | undefined,
    client: { readonly isStrict: boolean; readonly guesses?: boolean },
  ): Promise<'done' | 'closed'> {
    running.guard.breaches.length = 0;
    const peer = new PlainConnection();
    try {
      peer.socket.write('SSH-2.0-test\r\n');
      await peer.line();
      const send = (at: (typeof places)[number]): void => {
        if (at === place && stray !== undefined) peer.send(stray);
      };
      const strict = client.isStrict ? ['kex-strict-c-v00@openssh.com'] : [];
      const guessed = client.guesses === true ? ['diffie-hellman-group1-sha1'] : [];
      send('before KEXINIT');
      const init = kexInit({ kex: [...guessed, 'curve25519-sha256', ...strict, 'ext-info-c'], cipher: gcm });
      // first_kex_packet_follows
      if (client.guesses === true) init[init.length - 5] = 1;
      peer.send(init);
      expect((await peer.packet())[0]).toBe(20);
      send('after KEXINIT');
      const share = generateKeyPairSync('x25519')
        .publicKey.export({ type: 'spki', format: 'der' })
        .subarray(-32);
      peer.send(new WireWriter().byte(30).string(share).finish());
      expect((await peer.packet())[0]).toBe(31);
      expect((await peer.packet())[0]).toBe(21);
      send('before NEWKEYS');
      peer.send(newKeys);
      // EXT_INFO under the new keys, or the end.
      await peer.take((all) => (all.length > 0 ? all.length : undefined));
      return running.guard.breaches.length > 0 ? 'closed' : 'done';
    } catch {
      return 'closed';
    } finally {
      peer.socket.destroy();
    }
  }

  it('is none: an exchange without one goes through, strict or not, with a wrong guess or without', async () => {
    for (const isStrict of [true, false]) {
      expect(await exchange('before KEXINIT', undefined, { isStrict })).toBe('done');
      const guess = new WireWriter().byte(30).string(Buffer.alloc(128, 1)).finish();
      expect(await exchange('after KEXINIT', guess, { isStrict, guesses: true })).toBe('done');
    }
  });

  it.each(places)('%s ends a strict exchange, whatever it is', async (place) => {
    for (const [name, stray] of [...idle, ...never])
      expect([name, await exchange(place, stray, { isStrict: true })]).toEqual([name, 'closed']);
  });

  it.each(places)(
    '%s is passed over without strict exchange where RFC 4253 says so, and ends it else',
    async (place) => {
      for (const [name, stray] of idle)
        expect([name, await exchange(place, stray, { isStrict: false })]).toEqual([name, 'done']);
      for (const [name, stray] of never)
        expect([name, await exchange(place, stray, { isStrict: false })]).toEqual([name, 'closed']);
    },
  );

  it('is not dropped in place of a wrong guess', async () => {
    for (const [name, stray] of [...idle, ...never.filter(([, [type = 0]]) => type < 30 || type > 49)])
      expect([name, await exchange('after KEXINIT', stray, { isStrict: true, guesses: true })]).toEqual([
        name,
        'closed',
      ]);
  });

  it('may come later: after the first keys, and in a later exchange where RFC 4253 says so', async () => {
    const later = async (stray: Buffer): Promise<'done' | 'closed'> => {
      const raw = await RawClient.connect({ port: running.port });
      await raw.startAuthentication();
      raw.send(idle[0]?.[1] ?? Buffer.alloc(0));
      raw.isReady = false;
      raw.protocol.rekey();
      raw.send(stray, true);
      while (!raw.isReady && !raw.isClosed) await new Promise((resolve) => setImmediate(resolve));
      raw.password('frank', 'pw');
      const outcome = (await raw.next())?.type === 52 ? 'done' : 'closed';
      raw.socket.destroy();
      return outcome;
    };
    for (const [name, stray] of idle) expect([name, await later(stray)]).toEqual([name, 'done']);
    for (const [name, stray] of never) expect([name, await later(stray)]).toEqual([name, 'closed']);
  });
});
