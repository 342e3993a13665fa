import { readFileSync } from 'node:fs';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoginService } from '#dmz/login/login-service.ts';
import { HostKeysOfMain, type HostKeys } from '#dmz/sftp/host-keys.ts';
import { buildSftpServer } from '#dmz/sftp/server.ts';
import type { HashedExchange } from '#dmz/sftp/ssh2-shapes.ts';
import { hashExchange } from '#main-agent/host-keys/exchange.ts';
import { systemClock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { FirstFactorEvidence, Params, SshExchange } from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import { signForSsh } from '#shared/ssh-key/sign.ts';
import { generatePrivateKeyFile, parsePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { WireReader } from '#shared/ssh-key/wire.ts';
import { buildFakeGuard } from '#test/dmz/sftp/fakes/fake-guard.ts';
import { waitUntil } from '#test/harness/product.ts';
import { evilClient, type EvilDmz, startEvilDmz } from '#test/harness/evil-dmz.ts';

const patienceMs = 20_000;

/**
 * A broken-in node with host_key: main, and a user who signs in with the same key on a server of the attacker's: what the
 * user signs there must be worth nothing here.
 */
describe('a signature that a user made in an SSH session', () => {
  let evil: EvilDmz;
  beforeAll(async () => {
    evil = await startEvilDmz({ people: 0, links: 1 });
  });
  afterAll(() => evil.close());

  /** A server with these keys, which signs nobody in: what erin's client signed for it. */
  async function erinSignsFor(
    hostKeys: HostKeys,
  ): Promise<Extract<FirstFactorEvidence, { type: 'publickey' }>> {
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
    client.connect({
      host: '127.0.0.1',
      port,
      username: 'erin',
      privateKey: readFileSync(evil.files.erinKey),
    });
    await ended;
    client.destroy();
    await server.close();
    const [factor] = seen;
    if (factor?.type !== 'publickey') throw new Error('erin offered no key');
    return factor;
  }

  const begin = (factor: FirstFactorEvidence) =>
    evil.link.request('login.begin', {
      user: 'erin',
      protocol: 'sftp',
      listener: 'sftp',
      client: evilClient,
      factor,
    });
  const rules = (): unknown[] =>
    readFileSync(evil.files.main.audit, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { rule?: unknown }).rule);

  it('S-01: of this node, whose key exchange main signed, signs its user in', async () => {
    const factor = await erinSignsFor(new HostKeysOfMain(evil.link));
    expect(await begin(factor)).toMatchObject({ username: 'erin', next: 'code' });
  });

  it('S-01: of another server is refused, also when main is asked to sign that exchange afterwards', async () => {
    const own = parsePrivateKeyFile(generatePrivateKeyFile('another').file);
    const exchanges: SshExchange[] = [];
    const factor = await erinSignsFor({
      present: () => [{ type: own.publicKey.type, blob: own.publicKey.blob, signs: true }],
      isReady: true,
      prove: () => Promise.reject(new Error('not asked')),
      async sign({ method, hashed }) {
        const exchange = describeExchange(method, hashed);
        exchanges.push(exchange);
        const reader = new WireReader(signForSsh('ssh-ed25519', own.privateKey, hashExchange(exchange)));
        reader.string();
        return reader.string();
      },
    });
    await expect(begin(factor)).rejects.toMatchObject({ code: 'refused' });

    const [exchange] = exchanges;
    const [hostKey] = evil.link.hostKeys;
    if (exchange === undefined || hostKey === undefined) throw new Error('no exchange, or no key of main');
    const sign = (changed: Partial<SshExchange>): Promise<unknown> => {
      const params: Params<'hostkey.sign'> = {
        algorithm: 'ssh-ed25519',
        isFirst: true,
        exchange: { ...exchange, ...changed },
      };
      return evil.link.request('hostkey.sign', params);
    };
    await expect(sign({})).rejects.toMatchObject({ code: 'not-found' });
    // It has another hash with our key in it.
    await sign({ hostKey: hostKey.blob });
    await expect(begin(factor)).rejects.toMatchObject({ code: 'refused' });
    const told = () => rules().filter((rule) => /session that main did not sign/.test(String(rule)));
    await waitUntil(() => told().length === 2, patienceMs);
  });

  it('the announced key, one of nobody and a bare hash are not signed with or over', async () => {
    const [first, next] = evil.link.hostKeys;
    if (first === undefined || next === undefined) throw new Error('main told no keys');
    const exchange: SshExchange = {
      method: 'curve25519-sha256',
      clientVersion: text('SSH-2.0-evil'),
      serverVersion: text('SSH-2.0-Sallyport'),
      clientKexInit: text('\x14'),
      serverKexInit: text('\x14'),
      hostKey: first.blob,
      clientShare: Buffer.alloc(32).toString('base64url'),
      serverShare: Buffer.alloc(32).toString('base64url'),
      secret: text('x'),
    };
    const sign = (changed: Partial<SshExchange>, algorithm: 'ssh-ed25519' | 'rsa-sha2-512' = 'ssh-ed25519') =>
      evil.link
        .request('hostkey.sign', { algorithm, isFirst: true, exchange: { ...exchange, ...changed } })
        .then(
          () => 'signed',
          (error: unknown) => (error instanceof SallyportError ? error.code : 'failed'),
        );
    expect(await sign({})).toBe('signed');
    expect(await sign({}, 'rsa-sha2-512')).toBe('bad-request');
    expect(await sign({ hostKey: next.blob })).toBe('not-found');
    expect(await sign({ serverVersion: text('SSH-2.0-OpenSSH_10.0') })).toBe('bad-request');
    expect(await sign({ clientVersion: text('') })).toBe('bad-request');
    expect(await sign({ serverKexInit: text('\x32') })).toBe('bad-request');
    expect(await sign({ clientShare: text('short') })).toBe('bad-request');
    expect(await sign({ secret: '' })).toBe('bad-request');
    const proof = {
      sessionId: text('x'.repeat(32)),
      keys: [next.blob],
      rsaAlgorithm: 'rsa-sha2-512' as const,
    };
    await expect(evil.link.request('hostkey.prove', proof)).rejects.toMatchObject({ code: 'not-found' });
  });
});

function text(octets: string): string {
  return Buffer.from(octets, 'latin1').toString('base64url');
}

function describeExchange(method: string, hashed: HashedExchange): SshExchange {
  const parts = Object.entries(hashed) as [keyof HashedExchange, Buffer][];
  const described = Object.fromEntries(parts.map(([name, octets]) => [name, octets.toString('base64url')]));
  return { method, ...described } as unknown as SshExchange;
}
