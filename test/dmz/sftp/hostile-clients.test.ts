import { connect } from 'node:net';
import { sign, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { receiveTurnBytes } from '#dmz/sftp/limits.ts';
import { PacketProtocol } from '#dmz/sftp/transport/packet-protocol.ts';
import { WireWriter } from '#dmz/sftp/wire.ts';
import { SallyportError } from '#shared/error.ts';
import { BytesPerTurn } from '#test/harness/bytes-per-turn.ts';
import { RawClient } from './fakes/raw-client.ts';
import { startTestServer, type TestServer } from './fakes/test-server.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const keyBlob = new WireWriter()
  .string('ssh-ed25519')
  .string(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'))
  .finish();

let running: TestServer;

beforeAll(async () => {
  running = await startTestServer({
    alice: { password: 'correct horse', next: 'code', code: '123456' },
    erin: { key: keyBlob, next: 'code', code: '123456' },
    frank: { password: 'correct horse', next: 'admit' },
    dave: { password: 'correct horse', next: 'instruct' },
    leased: { password: 'correct horse', next: 'admit', admitAs: 'lease' },
    early: {
      password: 'correct horse',
      next: 'admit',
      failsWith: new SallyportError('busy', 'Too many people are signing in', {
        data: { retryAfterMs: 2_100 },
      }),
    },
    full: {
      password: 'correct horse',
      next: 'admit',
      failsWith: new SallyportError('too-many-sessions', 'As many of your SFTP sessions are open as may be'),
    },
    unlucky: {
      password: 'correct horse',
      next: 'code',
      failsWith: new SallyportError('delivery-failed', 'The code could not be sent'),
    },
  });
});
afterAll(() => running.close());
beforeEach(() => {
  running.guard.breaches.length = 0;
  running.login.calls.length = 0;
  running.login.down = false;
  running.guard.mayAwaitCode = true;
});

async function client(): Promise<RawClient> {
  const raw = await RawClient.connect({ port: running.port });
  await raw.startAuthentication();
  return raw;
}

/** The process is alive and serves others. */
async function expectAlive(): Promise<void> {
  const other = await client();
  other.password('frank', 'correct horse');
  expect((await other.next())?.type).toBe(52);
  other.socket.destroy();
  await other.closed();
}

function signedLogin(user: string, sessionId: Buffer, key: KeyObject, blob = keyBlob): Buffer {
  const request = new WireWriter()
    .byte(50)
    .string(user)
    .string('ssh-connection')
    .string('publickey')
    .boolean(true)
    .string('ssh-ed25519')
    .string(blob)
    .finish();
  const signature = sign(null, new WireWriter().string(sessionId).raw(request).finish(), key);
  const field = new WireWriter().string('ssh-ed25519').string(signature).finish();
  return new WireWriter().raw(request).string(field).finish();
}

const failure = (partial: boolean, methods: string) =>
  new WireWriter().byte(51).string(methods).boolean(partial).finish();
const allMethods = 'publickey,keyboard-interactive,password';

describe('logins as they should be', () => {
  it('asks the password hidden and the code visibly, and never says "password" with the code', async () => {
    const raw = await client();
    raw.interactive('alice');
    const first = await raw.next();
    expect(first?.payload).toEqual(
      new WireWriter()
        .byte(60)
        .string('')
        .string('')
        .string('')
        .uint32(1)
        .string('Password: ')
        .boolean(false)
        .finish(),
    );
    raw.answer('correct horse');
    const second = await raw.next();
    expect([second?.reader.text(99), second?.reader.text(999)]).toEqual([
      '',
      expect.stringContaining('authenticator app'),
    ]);
    expect(second?.payload.toString('latin1')).not.toMatch(/password/i);
    expect(second?.payload.subarray(-('Verification code: '.length + 1))).toEqual(
      Buffer.from('Verification code: \x01', 'latin1'),
    );
    raw.answer('000000');
    expect((await raw.next())?.payload.toString()).toMatch(/wrong.*4 tries left/);
    raw.answer('123456');
    expect((await raw.next())?.type).toBe(52);
    raw.socket.destroy();
  });

  it('key, then code; the evidence is the octets the client signed', async () => {
    const raw = await client();
    raw.request('erin', 'publickey', (writer) => writer.boolean(false).string('ssh-ed25519').string(keyBlob));
    expect((await raw.next())?.type).toBe(60);
    raw.send(signedLogin('erin', raw.sessionId, privateKey));
    expect((await raw.next())?.payload).toEqual(failure(true, 'keyboard-interactive'));
    const evidence = running.login.evidence.at(-1);
    if (evidence?.type !== 'publickey') throw new Error('no key evidence');
    const signed = Buffer.from(evidence.signed, 'base64url');
    expect(signed.subarray(4, 36)).toEqual(raw.sessionId);
    expect(signed.subarray(-keyBlob.length)).toEqual(keyBlob);
    raw.interactive('erin');
    expect((await raw.next())?.type).toBe(60);
    raw.answer('123456');
    expect((await raw.next())?.type).toBe(52);
    raw.socket.destroy();
  });

  it('a lease asks no code', async () => {
    const raw = await client();
    raw.interactive('leased');
    await raw.next();
    raw.answer('correct horse');
    expect((await raw.next())?.type).toBe(52);
    raw.socket.destroy();
  });

  it('who must set up is told where, in one empty round, and refused', async () => {
    const raw = await client();
    raw.interactive('dave');
    await raw.next();
    raw.answer('correct horse');
    const told = await raw.next();
    expect(told?.payload.toString()).toContain('https://files.example.com');
    expect(told?.payload.subarray(-4)).toEqual(Buffer.alloc(4));
    raw.answer();
    expect((await raw.next())?.payload).toEqual(failure(false, allMethods));
    raw.socket.destroy();
  });

  it('a code that could not be sent is said after the right password only', async () => {
    const raw = await client();
    raw.interactive('unlucky');
    await raw.next();
    raw.answer('wrong');
    expect((await raw.next())?.payload).toEqual(failure(false, allMethods));
    raw.interactive('unlucky');
    await raw.next();
    raw.answer('correct horse');
    expect((await raw.next())?.payload.toString()).toContain('could not be sent');
    raw.socket.destroy();
  });

  it('a service request is accepted again for each method (paramiko)', async () => {
    const raw = await client();
    raw.password('alice', 'wrong');
    await raw.next();
    await raw.startAuthentication();
    raw.interactive('alice');
    expect((await raw.next())?.type).toBe(60);
    raw.socket.destroy();
  });

  it('says why when main can not be reached', async () => {
    running.login.down = true;
    const raw = await client();
    raw.password('frank', 'correct horse');
    const goodbye = await raw.next();
    expect([goodbye?.type, goodbye?.reader.uint32()]).toEqual([1, 7]);
    expect(goodbye?.reader.text(200)).toContain('can not be reached');
    await raw.closed();
  });

  for (const [user, words] of [
    ['early', 'Too many people are signing in (in 3 s)'],
    ['full', 'As many of your SFTP sessions are open as may be'],
  ] as const)
    it(`a right password that there is no room for is not called wrong; the client reads why: ${user}`, async () => {
      const raw = await client();
      raw.password(user, 'correct horse');
      const goodbye = await raw.next();
      expect([goodbye?.type, goodbye?.reader.uint32()]).toEqual([1, 12]);
      expect(goodbye?.reader.text(200)).toBe(words);
      await raw.closed();
    });

  it('S-07: unknown user and wrong password get the same bytes', async () => {
    const answers: string[] = [];
    for (const [user, password] of [
      ['alice', 'wrong'],
      ['nobody', 'wrong'],
      ['nobody', 'correct horse'],
    ] as const) {
      const raw = await client();
      raw.request(user, 'none');
      answers.push((await raw.next())?.payload.toString('hex') ?? '');
      raw.interactive(user);
      answers.push((await raw.next())?.payload.toString('hex') ?? '');
      raw.answer(password);
      answers.push((await raw.next())?.payload.toString('hex') ?? '');
      raw.password(user, password);
      answers.push((await raw.next())?.payload.toString('hex') ?? '');
      raw.socket.destroy();
    }
    expect(answers.slice(4, 8)).toEqual(answers.slice(0, 4));
    expect(answers.slice(8)).toEqual(answers.slice(0, 4));
  });
});

describe('hostile logins end their own connection and nothing else', () => {
  const probe = (raw: RawClient) =>
    raw.request('alice', 'publickey', (writer) =>
      writer.boolean(false).string('ssh-ed25519').string(keyBlob),
    );
  const attacks: readonly [string, (raw: RawClient) => Promise<void> | void][] = [
    [
      'a key probe during a password prompt',
      async (raw) => {
        raw.interactive('alice');
        await raw.next();
        probe(raw);
        raw.answer('correct horse');
      },
    ],
    [
      'a password during a code prompt',
      async (raw) => {
        raw.interactive('alice');
        await raw.next();
        raw.answer('correct horse');
        await raw.next();
        raw.password('alice', 'correct horse');
      },
    ],
    [
      'two passwords at once',
      (raw) => {
        raw.password('alice', 'correct horse');
        raw.password('alice', 'correct horse');
      },
    ],
    ['an answer nobody asked for', (raw) => raw.answer('123456')],
    [
      'no answer to a prompt',
      async (raw) => {
        raw.interactive('alice');
        await raw.next();
        raw.answer();
      },
    ],
    [
      'two answers to one prompt',
      async (raw) => {
        raw.interactive('alice');
        await raw.next();
        raw.answer('a', 'b');
      },
    ],
    [
      'four billion answers',
      async (raw) => {
        raw.interactive('alice');
        await raw.next();
        raw.send(Buffer.from('3dffffffff', 'hex'));
      },
    ],
    [
      'another user name half-way',
      async (raw) => {
        raw.password('alice', 'correct horse');
        await raw.next();
        raw.interactive('frank');
      },
    ],
    ['a password of more than 1 KiB', (raw) => raw.password('alice', 'x'.repeat(1025))],
    ['a user name of more than 255 bytes', (raw) => raw.password('a'.repeat(256), 'x')],
    ['a name that is no UTF-8', (raw) => raw.send(Buffer.from('3200000001ff', 'hex'))],
    [
      'a key blob of more than 3 KiB',
      (raw) =>
        raw.request('alice', 'publickey', (w) =>
          w.boolean(false).string('ssh-rsa').string(Buffer.alloc(3073)),
        ),
    ],
    ['a truncated request', (raw) => raw.send(Buffer.from([50, 0, 0, 0, 5, 0x61]))],
    ['leftovers behind a request', (raw) => raw.request('alice', 'none', (writer) => writer.byte(1))],
    [
      'another service',
      (raw) =>
        raw.send(new WireWriter().byte(50).string('alice').string('ssh-userauth').string('none').finish()),
    ],
    [
      'a channel before the login',
      (raw) => raw.send(new WireWriter().byte(90).string('session').uint32(0).uint32(1).uint32(1).finish()),
    ],
    [
      'a global request before the login',
      (raw) => raw.send(new WireWriter().byte(80).string('tcpip-forward').boolean(true).finish()),
    ],
    ['a server’s own message', (raw) => raw.send(Buffer.from([52]))],
    ['an empty message', (raw) => raw.send(Buffer.alloc(0))],
    [
      'a flood of service requests',
      (raw) => {
        for (let count = 0; count < 40; count++)
          raw.send(new WireWriter().byte(5).string('ssh-userauth').finish());
      },
    ],
    ['the connection service', (raw) => raw.send(new WireWriter().byte(5).string('ssh-connection').finish())],
    [
      'key exchanges without end',
      async (raw) => {
        for (let count = 0; count < 12 && !raw.isClosed; count++) {
          raw.isReady = false;
          raw.protocol.rekey();
          while (!raw.isReady && !raw.isClosed) await new Promise((resolve) => setImmediate(resolve));
        }
      },
    ],
  ];

  it.each(attacks)('%s', async (_name, attack) => {
    const raw = await client();
    await attack(raw);
    await raw.closed();
    expect(running.login.calls.filter((call) => call.startsWith('admitted'))).toEqual([]);
    await expectAlive();
  });

  const refusedTries: readonly [string, (raw: RawClient) => void][] = [
    [
      'a password change',
      (raw) => raw.request('alice', 'password', (w) => w.boolean(true).string('correct horse').string('new')),
    ],
    [
      'hostbased',
      (raw) =>
        raw.request('alice', 'hostbased', (w) =>
          w.string('ssh-ed25519').string(keyBlob).string('h').string('u').string('s'),
        ),
    ],
    ['an unknown method', (raw) => raw.request('alice', 'toString')],
    [
      'a signature of another key',
      (raw) => raw.send(signedLogin('erin', raw.sessionId, generateKeyPairSync('ed25519').privateKey)),
    ],
    [
      'a signature over another session',
      (raw) => raw.send(signedLogin('erin', Buffer.alloc(32, 1), privateKey)),
    ],
    [
      'a signature for another user',
      (raw) => raw.send(Buffer.concat([signedLogin('erin', raw.sessionId, privateKey)]).fill('dave', 5, 9)),
    ],
    [
      'a junk key',
      (raw) =>
        raw.request('erin', 'publickey', (w) =>
          w.boolean(true).string('ssh-ed25519').string(Buffer.alloc(51, 7)).string('junk'),
        ),
    ],
    [
      'an algorithm that is not the key’s',
      (raw) =>
        raw.request('erin', 'publickey', (w) =>
          w.boolean(true).string('rsa-sha2-512').string(keyBlob).string('junk'),
        ),
    ],
  ];
  it.each(refusedTries)('%s is one failed try and never reaches main', async (_name, attempt) => {
    const raw = await client();
    attempt(raw);
    expect((await raw.next())?.payload).toEqual(failure(false, allMethods));
    expect(running.login.calls.filter((call) => call.startsWith('begin'))).toEqual([]);
    raw.socket.destroy();
  });

  it('the fourth failed try ends the connection', async () => {
    const raw = await client();
    for (let count = 0; count < 3; count++) {
      raw.password('alice', 'wrong');
      expect((await raw.next())?.type).toBe(51);
    }
    raw.password('alice', 'wrong');
    expect((await raw.next())?.type).toBe(1);
    await raw.closed();
  });

  it('too many who wait for a code: told so, and the challenge is given up', async () => {
    running.guard.mayAwaitCode = false;
    const raw = await client();
    raw.interactive('alice');
    await raw.next();
    raw.answer('correct horse');
    expect((await raw.next())?.payload.toString()).toContain('wait for a code');
    expect(running.login.calls).toContain('cancel alice');
    raw.socket.destroy();
  });

  it('a client that leaves while main decides leaves no session behind', async () => {
    const raw = await client();
    raw.password('frank', 'correct horse');
    raw.socket.destroy();
    await raw.closed();
    await expectAlive();
    const admitted = running.login.calls.filter((call) => call === 'admitted frank none').length;
    await expect.poll(() => running.login.calls.filter((call) => call === 'end frank').length).toBe(admitted);
  });

  it.each([
    ['no SSH at all', 'GET / HTTP/1.1\r\n'],
    ['SSH 1', 'SSH-1.5-x\r\n'],
    ['a line without end', 'S'.repeat(400)],
    ['carriage returns without end', '\r'.repeat(400)],
  ])('%s on the wire', async (_name, bytes) => {
    const socket = connect(running.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    socket.write(bytes);
    await new Promise((resolve) => socket.on('close', resolve));
    expect(running.guard.breaches).toHaveLength(1);
  });

  it('an identification line that comes byte by byte is read', async () => {
    const socket = connect(running.port, '127.0.0.1');
    socket.setNoDelay(true);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    for (const byte of 'SSH-2.0-slow\r\n') {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => text).toMatch(/^SSH-2\.0-Sallyport\r\n/);
    expect(running.guard.breaches).toEqual([]);
    socket.destroy();
  });

  it('who is not admitted by the guard gets no byte', async () => {
    running.guard.admits = false;
    const socket = connect(running.port, '127.0.0.1');
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.on('close', resolve));
    running.guard.admits = true;
    expect(bytes).toBe(0);
  });
});

describe('hostile clients after the login', () => {
  async function signedIn(): Promise<RawClient> {
    const raw = await client();
    raw.password('frank', 'correct horse');
    await raw.next();
    return raw;
  }

  it.each([
    ['env', (w: WireWriter) => w.string('LD_PRELOAD').string('x')],
    ['x11-req', (w: WireWriter) => w.boolean(true).string('').string('').uint32(0)],
    ['auth-agent-req@openssh.com', (w: WireWriter) => w],
    ['subsystem', (w: WireWriter) => w.string('netconf')],
  ])('channel request %s is refused', async (type, fill) => {
    const raw = await signedIn();
    raw.send(new WireWriter().byte(90).string('session').uint32(5).uint32(1000).uint32(1000).finish());
    const confirmed = await raw.next();
    expect(confirmed?.type).toBe(91);
    raw.send(fill(new WireWriter().byte(98).uint32(0).string(type).boolean(true)).finish());
    expect((await raw.next())?.type).toBe(100);
    raw.socket.destroy();
  });

  it.each<[string, (w: WireWriter) => WireWriter, boolean]>([
    ['shell', (w) => w, false],
    ['shell', (w) => w, true],
    ['exec', (w) => w.string('scp -t /etc'), false],
    ['exec', (w) => w.string('/bin/sh'), true],
  ])(
    'channel request %s gets a line that says what is served, and exit status 1',
    async (type, fill, pty) => {
      const raw = await signedIn();
      raw.send(new WireWriter().byte(90).string('session').uint32(5).uint32(1000).uint32(1000).finish());
      expect((await raw.next())?.type).toBe(91);
      const ask = (what: string, rest: (w: WireWriter) => WireWriter) =>
        raw.send(rest(new WireWriter().byte(98).uint32(0).string(what).boolean(true)).finish());
      if (pty) {
        ask('pty-req', (w) => w.string('xterm').uint32(1).uint32(1).uint32(1).uint32(1).string(''));
        await raw.next();
      }
      ask(type, fill);
      expect((await raw.next())?.type).toBe(99);
      const line = await raw.next();
      expect([line?.type, line?.reader.uint32(), line?.reader.uint32()]).toEqual([95, 5, 1]);
      expect(line?.reader.text(200)).toBe(
        `This server speaks SFTP only: use sftp, or scp without -O.${pty ? '\r\n' : '\n'}`,
      );
      expect((await raw.next())?.type).toBe(96);
      const exit = await raw.next();
      expect([exit?.type, exit?.reader.uint32(), exit?.reader.text(20)]).toEqual([98, 5, 'exit-status']);
      expect([exit?.reader.boolean(), exit?.reader.uint32()]).toEqual([false, 1]);
      expect((await raw.next())?.type).toBe(97);
      // Nothing more runs on it, and what it still sends is dropped.
      raw.send(new WireWriter().byte(94).uint32(0).string('C0644 5 x\n').finish());
      ask('subsystem', (w) => w.string('sftp'));
      expect((await raw.next())?.type).toBe(100);
      raw.socket.destroy();
    },
  );

  it.each([
    'direct-tcpip',
    'direct-streamlocal@openssh.com',
    'x11',
    'auth-agent@openssh.com',
    'tun@openssh.com',
  ])('channel %s is refused', async (type) => {
    const raw = await signedIn();
    raw.send(new WireWriter().byte(90).string(type).uint32(5).uint32(1000).uint32(1000).string('x').finish());
    expect((await raw.next())?.type).toBe(92);
    raw.socket.destroy();
  });

  it.each(['tcpip-forward', 'streamlocal-forward@openssh.com', 'keepalive@openssh.com'])(
    'global request %s is refused',
    async (name) => {
      const raw = await signedIn();
      raw.send(new WireWriter().byte(80).string(name).boolean(true).string('x').finish());
      expect((await raw.next())?.type).toBe(82);
      raw.socket.destroy();
    },
  );

  const data = (id: number, bytes: Buffer) => new WireWriter().byte(94).uint32(id).string(bytes).finish();
  it.each<[string, (raw: RawClient, id: number) => void]>([
    ['data for a channel that is not', (raw, id) => raw.send(data(id + 1, Buffer.alloc(9)))],
    [
      'more than the window',
      (raw, id) => {
        // A channel on which nothing was asked for: nobody takes what it sends.
        raw.send(new WireWriter().byte(90).string('session').uint32(1).uint32(1000).uint32(1000).finish());
        for (let count = 0; count < 70; count++) raw.send(data(id + 1, Buffer.alloc(32_000)));
      },
    ],
    [
      'data after its own EOF',
      (raw, id) => {
        raw.send(new WireWriter().byte(96).uint32(id).finish());
        raw.send(data(id, Buffer.alloc(9)));
      },
    ],
    [
      'a window beyond 2^32',
      (raw, id) => raw.send(new WireWriter().byte(93).uint32(id).uint32(0xffff_ffff).finish()),
    ],
    ['a message that does not exist', (raw) => raw.send(Buffer.from([200]))],
    ['a malformed open', (raw) => raw.send(Buffer.from([90, 0xff, 0xff, 0xff, 0xff]))],
  ])('%s ends the connection', async (_name, attack) => {
    const raw = await signedIn();
    const id = await raw.openSftp();
    attack(raw, id);
    await raw.closed();
    expect(running.guard.breaches).toHaveLength(1);
    await expectAlive();
  });

  it('the eleventh channel is refused', async () => {
    const raw = await signedIn();
    for (let count = 0; count < 11; count++)
      raw.send(new WireWriter().byte(90).string('session').uint32(count).uint32(1000).uint32(1000).finish());
    const types: (number | undefined)[] = [];
    for (let count = 0; count < 11; count++) types.push((await raw.next())?.type);
    expect(types).toEqual([...Array.from({ length: 10 }, () => 91), 92]);
    raw.socket.destroy();
  });

  it('a flood of bytes is read a share at a time, and everybody else has their turn between', async () => {
    const raw = await signedIn();
    const turns = new BytesPerTurn();
    // oxlint-disable-next-line typescript/unbound-method -- called with its own protocol
    const { parse } = PacketProtocol.prototype;
    const spy = vi.spyOn(PacketProtocol.prototype, 'parse').mockImplementation(function (
      this: PacketProtocol,
      chunk,
    ) {
      turns.count(chunk.length);
      parse.call(this, chunk);
    });
    const ignored = new WireWriter()
      .byte(2)
      .string(Buffer.alloc(32 * 1024))
      .finish();
    for (let count = 0; count < 256; count += 1) raw.send(ignored);
    expect(await raw.openSftp()).toBe(0);
    spy.mockRestore();
    expect(turns.total).toBeGreaterThan(256 * 32 * 1024);
    expect(turns.finish()).toBeLessThanOrEqual(receiveTurnBytes + 64 * 1024);
    raw.socket.destroy();
  });

  it('a second login after success is ignored', async () => {
    const raw = await signedIn();
    raw.password('alice', 'correct horse');
    const id = await raw.openSftp();
    expect(id).toBe(0);
    raw.socket.destroy();
  });

  it('when main ends the session the connection closes at once, with the reason', async () => {
    const raw = await signedIn();
    await raw.openSftp();
    running.login.sessions.at(-1)?.controller.abort(new Error('kicked by an admin'));
    const goodbye = await raw.next();
    goodbye?.reader.uint32();
    expect([goodbye?.type, goodbye?.reader.text(200)]).toEqual([1, 'Session ended: kicked by an admin']);
    await raw.closed();
  });

  it('a closed connection ends its session on main', async () => {
    const raw = await signedIn();
    await raw.openSftp();
    const session = running.login.sessions.at(-1);
    raw.socket.destroy();
    await expect.poll(() => session?.ended).toBe(true);
    expect(running.guard.open.size).toBe(running.server.counts().connections);
  });
});
