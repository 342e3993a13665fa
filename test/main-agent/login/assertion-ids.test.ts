import { generateKeyPairSync } from 'node:crypto';
import { CompactSign } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { Assertions, type ExpectedClaims, type SignedEvidence } from '#main-agent/login/assertions.ts';
import type * as Limits from '#main-agent/login/limits.ts';
import { assertionIdKeptMs, assertionIdsMax } from '#main-agent/login/limits.ts';
import { commitToChange } from '#shared/assertion/account-change.ts';
import { assertionLifeSeconds, assertionType } from '#shared/assertion/claims.ts';
import { commitToCode } from '#shared/assertion/code-commitment.ts';
import type { SallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';

// As many as in life would take a minute to sign.
vi.mock('#main-agent/login/limits.ts', async (original) => ({
  ...(await original<typeof Limits>()),
  assertionIdsMax: 5,
}));

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
  async function show(
    node: string,
    jti: string,
    claims: object = {},
    beside: Omit<SignedEvidence, 'assertion'> = {},
    also: Partial<ExpectedClaims> = {},
  ): Promise<string | undefined> {
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
      ...also,
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
    return assertions.require({ assertion, ...beside }, expected, { node, exporter: keys.exporter }).then(
      () => undefined,
      (error: SallyportError) => error.detail ?? error.code,
    );
  }
  return { show, time, countOf: (node: string) => assertions.countOf(node) };
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

describe('ids of assertions of a busy node', () => {
  it('S-09: are so many; one more is refused rather than one forgotten, until some ran out', async () => {
    const { show, time, countOf } = setUp();
    expect(countOf('dmz1')).toBe(0);
    const first = randomId();
    await show('dmz1', first);
    time.ms += 1_000;
    for (let number = 1; number < assertionIdsMax; number += 1)
      expect(await show('dmz1', randomId())).toBeUndefined();
    expect(countOf('dmz1')).toBe(assertionIdsMax);
    expect(await show('dmz1', randomId())).toBe('busy');
    expect(await show('dmz1', first)).toContain('used before');
    expect(await show('dmz2', randomId())).toBeUndefined();
    time.ms += assertionIdKeptMs - 1_000;
    expect(await show('dmz1', randomId())).toBeUndefined();
    expect(await show('dmz1', randomId())).toBe('busy');
    expect(countOf('dmz1')).toBe(assertionIdsMax);
  });
});

describe('what comes beside an assertion', () => {
  const shown = (
    claims: object,
    beside: Omit<SignedEvidence, 'assertion'>,
    also: Partial<ExpectedClaims>,
  ): Promise<string | undefined> => setUp().show('dmz1', randomId(), claims, beside, also);

  it('S-01: is a code with what commits to it where one was asked, and nothing of it where none was', async () => {
    const code = '123456';
    const { commitment, salt } = commitToCode(new Secret(code));
    const claims = { amr: ['pwd', 'otp'], code_commit: commitment };
    const asked = { withCode: true };
    expect(await shown(claims, { code, salt }, asked)).toBeUndefined();
    const missing = 'assertion: no code where one was asked';
    expect(await shown(claims, { code }, asked)).toBe(missing);
    expect(await shown(claims, { salt }, asked)).toBe(missing);
    expect(await shown({ amr: ['pwd', 'otp'] }, { code, salt }, asked)).toBe(missing);
    const other = 'assertion: the code is not the committed one';
    expect(await shown(claims, { code: '123457', salt }, asked)).toBe(other);
    const odd = 'assertion: a code where none was asked';
    expect(await shown({}, {}, {})).toBeUndefined();
    expect(await shown({}, { code }, {})).toBe(odd);
    expect(await shown({}, { salt }, {})).toBe(odd);
    expect(await shown({ code_commit: commitment }, {}, {})).toBe(odd);
  });

  it('S-01: is the change that was signed where one is asked for, and none where none is', async () => {
    const change = { kind: 'password', value: 'a wholly different phrase' } as const;
    const { commitment, salt: changeSalt } = commitToChange(change);
    expect(await shown({ change: commitment }, { changeSalt }, { change })).toBeUndefined();
    const missing = 'assertion: signed for no change';
    expect(await shown({}, { changeSalt }, { change })).toBe(missing);
    expect(await shown({ change: commitment }, {}, { change })).toBe(missing);
    const other = { change: { ...change, value: 'the attacker picked this' } };
    expect(await shown({ change: commitment }, { changeSalt }, other)).toBe(
      'assertion: the change is not the committed one',
    );
    const odd = 'assertion: a change where none is asked for';
    expect(await shown({ change: commitment }, {}, {})).toBe(odd);
    expect(await shown({}, { changeSalt }, {})).toBe(odd);
  });
});
