import { generateKeyPairSync } from 'node:crypto';
import { CompactSign } from 'jose';
import { describe, expect, it } from 'vitest';
import { Assertions, type ExpectedClaims } from '#main-agent/login/assertions.ts';
import { assertionIdKeptMs } from '#main-agent/login/limits.ts';
import { assertionLifeSeconds, assertionType } from '#shared/assertion/claims.ts';
import type { SallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';

/** The honest signer draws each `jti` itself; this one is told. */
function setUp() {
  const nodes = new Map(
    ['dmz1', 'dmz2'].map((node) => [node, { ...generateKeyPairSync('ed25519'), exporter: randomId() }]),
  );
  const time = { ms: 1_800_000_000_000 };
  const assertions = new Assertions({
    mainName: 'main1',
    findSigningKey: (node) => {
      const keys = nodes.get(node);
      return keys === undefined ? undefined : { node, publicKey: keys.publicKey, status: 'active' };
    },
    clock: { now: () => time.ms, monotonic: () => time.ms },
  });

  /** A login without a code through this node; `detail` of the refusal, or undefined. */
  async function show(node: string, jti: string, claims: object = {}): Promise<string | undefined> {
    const keys = nodes.get(node);
    if (keys === undefined) throw new Error('no such node');
    const expected: ExpectedClaims = {
      purpose: 'login',
      challenge: randomId(),
      nonce: randomId(),
      username: 'frank',
      protocol: 'https',
      methods: new Set(['none']),
      withCode: false,
    };
    const iat = Math.floor(time.ms / 1000);
    const all = {
      iss: node,
      aud: 'main1',
      sub: 'frank',
      jti,
      iat,
      exp: iat + assertionLifeSeconds,
      challenge: expected.challenge,
      nonce: expected.nonce,
      purpose: 'login',
      amr: ['pwd'],
      method: 'none',
      protocol: 'https',
      client_ip: '192.0.2.1',
      client_port: 1,
      listener: 'https',
      agent: 'test',
      link: keys.exporter,
      ...claims,
    };
    const assertion = await new CompactSign(Buffer.from(JSON.stringify(all)))
      .setProtectedHeader({ typ: assertionType, alg: 'EdDSA', kid: node })
      .sign(keys.privateKey);
    return assertions.require({ assertion }, expected, { node, exporter: keys.exporter }).then(
      () => undefined,
      (error: SallyportError) => error.detail,
    );
  }
  return { show, time };
}

describe('ids of assertions', () => {
  it('S-03: are good once on their node, for as long as the assertion could live', async () => {
    const { show, time } = setUp();
    const jti = randomId();
    expect(await show('dmz1', jti)).toBeUndefined();
    expect(await show('dmz1', jti)).toContain('used before');
    time.ms += assertionIdKeptMs - 1;
    expect(await show('dmz1', jti)).toContain('used before');
    time.ms += 1;
    expect(await show('dmz1', jti)).toBeUndefined();
  });

  it('S-09: are kept by node: what one node showed takes no other node a place', async () => {
    const { show } = setUp();
    const jti = randomId();
    expect(await show('dmz1', jti)).toBeUndefined();
    expect(await show('dmz2', jti)).toBeUndefined();
    expect(await show('dmz2', jti)).toContain('used before');
  });

  it('S-09: of an assertion that is refused anyway take no place', async () => {
    const { show } = setUp();
    const jti = randomId();
    expect(await show('dmz1', jti, { nonce: randomId() })).toContain('nonce');
    expect(await show('dmz1', jti)).toBeUndefined();
  });
});
