import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HostKeysOfMain } from '#dmz/sftp/host-keys.ts';
import { SallyportError } from '#shared/error.ts';
import type { FirstFactorEvidence, Params, SshExchange } from '#shared/link/messages.ts';
import { waitUntil } from '#test/harness/product.ts';
import { evilClient, type EvilDmz, startEvilDmz } from '#test/harness/evil-dmz.ts';
import { erinSignsFor, erinSignsForAnother } from '#test/harness/signing-user.ts';

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
    const factor = await erinSignsFor(evil.files.erinKey, new HostKeysOfMain(evil.link));
    expect(await begin(factor)).toMatchObject({ username: 'erin', next: 'code' });
  });

  it('S-01: of another server is refused, also when main is asked to sign that exchange afterwards', async () => {
    const { factor, exchange } = await erinSignsForAnother(evil.files.erinKey);
    await expect(begin(factor)).rejects.toMatchObject({ code: 'refused' });

    const [hostKey] = evil.link.hostKeys;
    if (hostKey === undefined) throw new Error('no key of main');
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
