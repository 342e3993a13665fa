import { generateKeyPairSync } from 'node:crypto';
import { buildSftpServer, type SftpServer, type SftpServerOptions } from '#dmz/sftp/server.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { buildFakeGuard, type FakeGuard } from './fake-guard.ts';
import { buildFakeLogin, type FakeUser } from './fake-login.ts';
import { MemoryFiles } from './memory-files.ts';

/** An Ed25519 key as OpenSSH writes it (PROTOCOL.key), which is what ssh2 and ssh-keygen read. */
export function buildOpensshKey(): { privateText: string; publicBlob: Buffer; publicLine: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const string = (value: Buffer | string) => {
    const bytes = Buffer.from(value as string);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const uint32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const publicBlob = Buffer.concat([string('ssh-ed25519'), string(point)]);
  let secret = Buffer.concat([
    uint32(7),
    uint32(7),
    publicBlob,
    string(Buffer.concat([seed, point])),
    string('test'),
  ]);
  for (let pad = 1; secret.length % 8 !== 0; pad++) secret = Buffer.concat([secret, Buffer.from([pad])]);
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    string('none'),
    string('none'),
    string(''),
    uint32(1),
    string(publicBlob),
    string(secret),
  ]);
  const lines = file.toString('base64').match(/.{1,70}/g) ?? [];
  return {
    privateText: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`,
    publicBlob,
    publicLine: `ssh-ed25519 ${publicBlob.toString('base64')} test`,
  };
}

export interface TestServer {
  readonly server: SftpServer;
  readonly port: number;
  readonly files: MemoryFiles;
  readonly login: ReturnType<typeof buildFakeLogin>;
  readonly guard: FakeGuard;
  readonly hostKeyLine: string;
  /** What would be recorded as refused. */
  readonly refused: string[];
  close(): Promise<void>;
}

export async function startTestServer(
  users: Readonly<Record<string, FakeUser>>,
  options: Partial<SftpServerOptions> = {},
): Promise<TestServer> {
  const files = new MemoryFiles();
  const login = buildFakeLogin(users, () => files);
  const guard = buildFakeGuard();
  const hostKey = buildOpensshKey();
  const refused: string[] = [];
  const server = buildSftpServer({
    listen: { host: '127.0.0.1', port: 0 },
    hostKeys: { pem: [Buffer.from(hostKey.privateText)] },
    login,
    guard,
    publicUrl: 'https://files.example.com',
    clock: systemClock,
    log: buildLog('silent', {}),
    onRefused: (what) => void refused.push(what),
    ...options,
  });
  await server.start();
  return {
    server,
    port: server.address().port,
    files,
    login,
    guard,
    hostKeyLine: hostKey.publicLine,
    refused,
    close: () => server.close(),
  };
}
