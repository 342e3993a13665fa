import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { FileClient } from '#dmz/files/file-client.ts';
import { Authentication } from '#dmz/sftp/authenticate.ts';
import { RecordLayer } from '#dmz/sftp/record-layer/record-layer.ts';
import type { CipherInfo, InboundCipher, MacInfo } from '#dmz/sftp/ssh2-shapes.ts';
import { message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage, WireReader, WireWriter } from '#dmz/sftp/wire.ts';
import { buildLog } from '#shared/log.ts';
import { buildFakeLogin } from '#test/dmz/sftp/fakes/fake-login.ts';
import { startTestServer } from '#test/dmz/sftp/fakes/test-server.ts';
import { newUserKey } from '#test/dmz/sftp/fakes/user-key.ts';
import type { Sample, Target } from '#test/fuzz/target.ts';

/** SSH before anybody is signed in: version line and key exchange, authentication, and records. */

/** RFC 4253 §6, before there are keys. */
function packet(payload: Buffer): Buffer {
  const padding = 8 - ((payload.length + 5) % 8) + 8;
  return new WireWriter()
    .uint32(payload.length + padding + 1)
    .byte(padding)
    .raw(payload)
    .raw(Buffer.alloc(padding))
    .finish();
}

const clientLists = [
  'curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com',
  'ssh-ed25519',
  'aes128-gcm@openssh.com,aes256-ctr',
  'aes128-gcm@openssh.com,aes256-ctr',
  'hmac-sha2-256-etm@openssh.com',
  'hmac-sha2-256-etm@openssh.com',
  'none',
  'none',
  '',
  '',
];

function kexInit(): Buffer {
  const writer = new WireWriter().byte(message.kexInit).raw(Buffer.alloc(16, 7));
  for (const list of clientLists) writer.string(list);
  return writer.boolean(false).uint32(0).finish();
}

/** What an honest client says up to its first keys; the same each time, for its own key is. */
function clientSide(): readonly Buffer[] {
  const jwk = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' });
  const ephemeral = new WireWriter()
    .byte(30)
    .string(Buffer.from(jwk.x ?? '', 'base64url'))
    .finish();
  return [
    Buffer.from('SSH-2.0-fuzz_1.0 client\r\n'),
    packet(kexInit()),
    packet(ephemeral),
    packet(Buffer.from([21])),
  ];
}

/** Types of the packets that the server answers with before there are keys. */
function answersIn(bytes: Buffer): number[] {
  const types: number[] = [];
  let at = bytes.indexOf('\r\n') + 2;
  while (at >= 2 && at + 6 <= bytes.length && !types.includes(21)) {
    types.push(bytes[at + 5] ?? 0);
    at += 4 + bytes.readUInt32BE(at);
  }
  return types;
}

const hangsMs = 10_000;

export async function buildSshTransport(): Promise<Target> {
  const server = await startTestServer({ alice: { password: 'p', next: 'admit' } });
  const [line = Buffer.alloc(0), init = line, ephemeral = line, newKeys = line] = clientSide();
  const corpus: Sample[] = [
    {
      kinds: ['identification', 'kexinit', 'ecdh-init'],
      bytes: Buffer.concat([line, init, ephemeral, newKeys]),
    },
    { kinds: ['identification', 'kexinit'], bytes: Buffer.concat([line, init]) },
    // Only one of them is changed, so that it is looked at.
    {
      kinds: ['identification', 'kexinit'],
      bytes: kexInit(),
      seal: (changed) => Buffer.concat([line, packet(changed), ephemeral]),
    },
    {
      kinds: ['ecdh-init'],
      bytes: Buffer.from(ephemeral.subarray(5)),
      seal: (changed) => Buffer.concat([line, init, packet(changed)]),
    },
    {
      kinds: ['kexinit'],
      bytes: Buffer.concat([init, ephemeral]),
      seal: (changed) => Buffer.concat([line, changed]),
    },
  ];
  return {
    name: 'ssh-transport',
    kinds: ['identification', 'kexinit', 'ecdh-init'],
    corpus,
    async run(input) {
      const breachesBefore = server.guard.breaches.length;
      const socket = connect(server.port, '127.0.0.1');
      socket.setTimeout(hangsMs, () => socket.destroy(new Error('the server neither answers nor ends')));
      const pieces: Buffer[] = [];
      let failure: Error | undefined;
      socket.on('data', (piece: Buffer) => pieces.push(piece));
      socket.on('error', (error) => (failure = 'code' in error ? undefined : error));
      socket.end(input);
      if (!socket.closed) await once(socket, 'close').catch(() => undefined);
      if (failure !== undefined) throw failure;
      if (server.login.calls.length > 0) throw new Error(`asked main: ${server.login.calls.join(', ')}`);
      const answers = answersIn(Buffer.concat(pieces));
      return {
        taken: [
          ...(answers.includes(message.kexInit) ? ['identification', 'kexinit'] : []),
          ...(answers.includes(31) ? ['ecdh-init'] : []),
        ],
        isRefused:
          server.guard.breaches.length > breachesBefore ||
          answers.includes(message.disconnect) ||
          answers.length === 0,
      };
    },
    close: () => server.close(),
  };
}

const key = newUserKey();
const sessionId = Buffer.alloc(32, 5);
const password = 'correct horse';
const code = '123456';

/** The state machine of a login behind its reader, with whole conversations in which one message is changed. */
export function buildSshAuthentication(): Target {
  const request = (method: string, fill: (writer: WireWriter) => WireWriter = (writer) => writer): Buffer =>
    fill(
      new WireWriter().byte(message.userauthRequest).string('alice').string('ssh-connection').string(method),
    ).finish();
  const { unsigned, signature } = key.login('alice', sessionId);
  const messages: Readonly<Record<string, Buffer>> = {
    service: new WireWriter().byte(message.serviceRequest).string('ssh-userauth').finish(),
    none: request('none'),
    password: request('password', (writer) => writer.boolean(false).string(password)),
    'password change': request('password', (writer) => writer.boolean(true).string('old').string('new')),
    probe: request('publickey', (writer) => writer.boolean(false).string('ssh-ed25519').string(key.blob)),
    publickey: new WireWriter().raw(unsigned).string(signature).finish(),
    interactive: request('keyboard-interactive', (writer) => writer.string('').string('')),
    answer: new WireWriter().byte(message.userauthInfoResponse).uint32(1).string(code).finish(),
  };
  /** What comes before each, for it to be in place. */
  const before: Readonly<Record<string, readonly string[]>> = {
    service: [],
    answer: ['service', 'publickey', 'interactive'],
    interactive: ['service', 'publickey'],
  };
  const kinds = Object.keys(messages);
  const corpus = kinds.map((kind): Sample => ({ kinds: [kind], bytes: messages[kind] ?? Buffer.alloc(0) }));
  return {
    name: 'ssh-authentication',
    kinds,
    corpus,
    async run(input, { kinds: [kind = ''] }) {
      let sent = 0;
      let admitted = 0;
      let farewells = 0;
      const login = buildFakeLogin(
        { alice: { password, key: key.blob, next: 'code', code } },
        () => Object.create(null) as FileClient,
      );
      const authentication = new Authentication({
        peer: {
          send: () => void (sent += 1),
          disconnect: () => void (farewells += 1),
          sessionId,
          isDead: false,
        },
        login,
        admission: { awaitCode: () => true, authenticated: () => undefined },
        client: () => ({ ip: '203.0.113.9', port: 4711, agent: 'SSH-2.0-fuzz' }),
        listener: 'sftp',
        publicUrl: 'https://files.example.com',
        banner: undefined,
        clock: { now: () => 0, monotonic: () => 0 },
        log: buildLog('silent', {}),
        onAdmitted: () => void (admitted += 1),
        onForged: () => undefined,
      });
      const settle = async (): Promise<void> => {
        for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      };
      const tell = async (payload: Buffer): Promise<void> => {
        authentication.onMessage(payload[0] ?? 0, payload);
        await settle();
      };
      for (const one of before[kind] ?? ['service']) await tell(messages[one] ?? Buffer.alloc(0));
      const sentBefore = sent;
      let isRefused = false;
      try {
        await tell(input);
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error;
        isRefused = true;
      }
      authentication.close();
      await settle();
      // Nothing but the right code, behind the right key, lets anybody in.
      const answered = isRefused ? undefined : readAnswer(input);
      if (admitted > 0 && !(kind === 'answer' && answered === code)) throw new Error('admitted');
      return { taken: !isRefused && sent > sentBefore ? [kind] : [], isRefused: isRefused || farewells > 0 };
    },
  };
}

function readAnswer(payload: Buffer): string | undefined {
  if (payload[0] !== message.userauthInfoResponse) return undefined;
  const reader = new WireReader(payload, 1);
  return reader.uint32() === 1 ? reader.text(1000) : undefined;
}

const suites = [
  ['aes128-gcm@openssh.com', undefined],
  ['aes256-gcm@openssh.com', undefined],
  ['aes256-ctr', 'hmac-sha2-256-etm@openssh.com'],
  ['aes128-ctr', 'hmac-sha2-512-etm@openssh.com'],
] as const;

interface Layer {
  write(plaintexts: readonly Buffer[], fill?: (packet: Buffer) => void): Buffer;
  reader(onPayload: (payload: Buffer) => undefined): InboundCipher | undefined;
}

/** Records that were changed on the way, and such as only the client's own keys make. */
export function buildSshRecords(): Target {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- ssh2's tables, which have no types
  const stock = createRequire(import.meta.url)('ssh2/lib/protocol/crypto.js') as {
    readonly CIPHER_INFO: Record<string, CipherInfo>;
    readonly MAC_INFO: Record<string, MacInfo>;
  };
  const layers = new Map<string, Layer>(
    suites.map(([cipher, mac]) => {
      const info = stock.CIPHER_INFO[cipher];
      const macInfo = mac === undefined ? undefined : stock.MAC_INFO[mac];
      if (info === undefined) throw new Error(`no ${cipher}`);
      const [cipherKey, iv, macKey] = [
        randomBytes(info.keyLen),
        randomBytes(info.ivLen),
        randomBytes(macInfo?.len ?? 0),
      ];
      const macPart = () => (macInfo === undefined ? {} : { macInfo, macKey: Buffer.from(macKey) });
      return [
        cipher,
        {
          write(plaintexts: readonly Buffer[], fill?: (packet: Buffer) => void): Buffer {
            const written: Buffer[] = [];
            const writer = new RecordLayer().writer({
              onWrite: (bytes: Buffer) => void written.push(Buffer.from(bytes)),
              seqno: 3,
              cipherInfo: info,
              cipherKey: Buffer.from(cipherKey),
              cipherIV: Buffer.from(iv),
              ...macPart(),
            });
            for (const payload of plaintexts) {
              const record = writer?.allocPacket(payload.length);
              if (record === undefined) throw new Error('no writer');
              record.set(payload, 5);
              fill?.(record);
              writer?.encrypt(record);
            }
            return Buffer.concat(written);
          },
          reader: (onPayload: (payload: Buffer) => undefined) =>
            new RecordLayer().reader({
              onPayload,
              seqno: 3,
              decipherInfo: info,
              decipherKey: Buffer.from(cipherKey),
              decipherIV: Buffer.from(iv),
              ...macPart(),
            }),
        },
      ] as const;
    }),
  );
  const payloads = [Buffer.from('first'), Buffer.alloc(100, 2), Buffer.alloc(1000, 3)];
  const corpus = [...layers].flatMap(([cipher, layer]): Sample[] => [
    { kinds: [cipher], bytes: layer.write(payloads) },
    // The length of the padding, which is inside, says what it likes.
    {
      kinds: [cipher],
      bytes: Buffer.from([7]),
      seal: (changed) => layer.write(payloads, (record) => (record[4] = changed[0] ?? 0)),
    },
  ]);
  return {
    name: 'ssh-records',
    kinds: [...layers.keys()],
    corpus,
    run(input, { kinds: [cipher = ''], seal }) {
      const delivered: Buffer[] = [];
      const reader = layers.get(cipher)?.reader((payload) => void delivered.push(Buffer.from(payload)));
      if (reader === undefined) throw new Error('no reader');
      let isRefused = false;
      try {
        for (let at = 0; at < input.length; at += 100) {
          const piece = Buffer.from(input.subarray(at, at + 100));
          reader.decrypt(piece, 0, piece.length);
        }
      } catch (error) {
        // Its one word for all of it: no more is read.
        if (!(error instanceof Error) || error instanceof RangeError || error instanceof TypeError)
          throw error;
        isRefused = true;
      }
      if (
        seal === undefined &&
        !delivered.every((payload, index) => payload.equals(payloads[index] ?? Buffer.alloc(0)))
      )
        throw new Error('delivered what nobody sent');
      return { taken: delivered.length === payloads.length ? [cipher] : [], isRefused };
    },
  };
}
