import { readFileSync } from 'node:fs';
import ssh2 from 'ssh2';
import type { LoginService } from '#dmz/login/login-service.ts';
import type { HostKeys } from '#dmz/sftp/host-keys.ts';
import { buildSftpServer } from '#dmz/sftp/server.ts';
import type { HashedExchange } from '#dmz/sftp/ssh2-shapes.ts';
import { hashExchange } from '#main-agent/host-keys/exchange.ts';
import { systemClock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { FirstFactorEvidence, SshExchange } from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import { generatePrivateKeyFile, parsePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { signForSsh } from '#shared/ssh-key/sign.ts';
import { WireReader } from '#shared/ssh-key/wire.ts';
import { buildFakeGuard } from '#test/dmz/sftp/fakes/fake-guard.ts';

/** What erin signed in an SSH session, as a login shows it to main. */
export type Signed = Extract<FirstFactorEvidence, { type: 'publickey' }>;

/** A server with these keys, which signs nobody in: what erin's client signed for it. */
export async function erinSignsFor(keyFile: string, hostKeys: HostKeys): Promise<Signed> {
  const seen: FirstFactorEvidence[] = [];
  const login = {
    probe: async () => true,
    begin: async ({ factor }: Parameters<LoginService['begin']>[0]) => {
      seen.push(factor);
      throw new SallyportError('refused', 'Sign-in refused');
    },
  } as unknown as LoginService;
  const server = buildSftpServer({
    listen: { host: '127.0.0.1', port: 0 },
    hostKeys,
    login,
    guard: buildFakeGuard(),
    publicUrl: 'https://files.example.com',
    clock: systemClock,
    log: buildLog('silent', {}),
  });
  await server.start();
  const client = new ssh2.Client();
  const ended = new Promise((resolve) => client.once('error', resolve));
  const { port } = server.address();
  client.connect({ host: '127.0.0.1', port, username: 'erin', privateKey: readFileSync(keyFile) });
  await ended;
  client.destroy();
  await server.close();
  const [factor] = seen;
  if (factor?.type !== 'publickey') throw new Error('erin offered no key');
  return factor;
}

/** On a server of the attacker's, with a host key of its own; the key exchange of that session beside it. */
export async function erinSignsForAnother(
  keyFile: string,
): Promise<{ readonly factor: Signed; readonly exchange: SshExchange }> {
  const own = parsePrivateKeyFile(generatePrivateKeyFile('another').file);
  const exchanges: SshExchange[] = [];
  const factor = await erinSignsFor(keyFile, {
    present: () => [{ type: own.publicKey.type, blob: own.publicKey.blob, signs: true }],
    isReady: true,
    prove: () => Promise.reject(new Error('not asked')),
    async sign({ method, hashed }) {
      const exchange = describeExchange(method, hashed);
      exchanges.push(exchange);
      const reader = new WireReader(await signForSsh('ssh-ed25519', own.privateKey, hashExchange(exchange)));
      reader.string();
      return reader.string();
    },
  });
  const [exchange] = exchanges;
  if (exchange === undefined) throw new Error('no keys were exchanged');
  return { factor, exchange };
}

function describeExchange(method: string, hashed: HashedExchange): SshExchange {
  const parts = Object.entries(hashed) as [keyof HashedExchange, Buffer][];
  const described = Object.fromEntries(parts.map(([name, octets]) => [name, octets.toString('base64url')]));
  return { method, ...described } as unknown as SshExchange;
}
