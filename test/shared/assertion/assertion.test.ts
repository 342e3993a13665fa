import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { commitToChange, isCommitmentToChange } from '#shared/assertion/account-change.ts';
import { assertionBytesMax, type AssertionClaims } from '#shared/assertion/claims.ts';
import { commitToCode, isCommitmentTo } from '#shared/assertion/code-commitment.ts';
import { signAssertion } from '#shared/assertion/sign.ts';
import { verifyAssertion, type AssertionExpectation, type SigningKey } from '#shared/assertion/verify.ts';
import { isSallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';

const nowMs = Date.UTC(2026, 10, 24, 3, 0, 0);
const iat = nowMs / 1000;
const pair = generateKeyPairSync('ed25519');
const kid = 'dmz1-signing';

function claimsToSign(): Omit<AssertionClaims, 'jti' | 'iat' | 'exp'> {
  return {
    iss: 'dmz1',
    aud: 'main1',
    sub: 'alice',
    challenge: randomId(),
    nonce: randomId(),
    purpose: 'login',
    amr: ['pwd', 'otp'],
    method: 'totp',
    code_commit: commitToCode(new Secret('123456')).commitment,
    protocol: 'https',
    client_ip: '203.0.113.9',
    client_port: 50_123,
    listener: 'https',
    agent: 'curl/8',
    link: randomId(),
  };
}

function expectation(change: Partial<AssertionExpectation> = {}): AssertionExpectation {
  const key: SigningKey = { node: 'dmz1', publicKey: pair.publicKey, status: 'active' };
  return {
    audience: 'main1',
    node: 'dmz1',
    findKey: (wanted) => (wanted === kid ? key : undefined),
    nowMs,
    leewayMs: 1_000,
    ...change,
  };
}

const signed = (change: Partial<AssertionClaims> = {}, at = nowMs) =>
  signAssertion({ ...claimsToSign(), ...change }, { kid, privateKey: pair.privateKey, nowMs: at });

const part = (text: string) => Buffer.from(text, 'utf8').toString('base64url');

/** What an evil DMZ can do: sign any bytes under any header with its real key. */
function forge(header: string, payload: string, key: KeyObject = pair.privateKey): string {
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`;
}
const goodHeader = JSON.stringify({ typ: 'sallyport-login+jwt', alg: 'EdDSA', kid });
const fullClaims = (change: Record<string, unknown> = {}) => ({
  ...claimsToSign(),
  jti: randomId(),
  iat,
  exp: iat + 30,
  ...change,
});

/** The private reason of a refusal; `accepted` if there was none. Any other error is thrown on. */
async function whyRefused(jws: string, change: Partial<AssertionExpectation> = {}): Promise<string> {
  try {
    await verifyAssertion(jws, expectation(change));
  } catch (error) {
    if (isSallyportError(error, 'refused') && error.publicMessage === 'Sign-in refused') {
      return error.detail ?? '';
    }
    throw error;
  }
  return 'accepted';
}

describe('an assertion', () => {
  test('comes back as the claims that were signed, with a life of 30 seconds and an id of its own', async () => {
    const claims = claimsToSign();
    const jws = await signAssertion(claims, { kid, privateKey: pair.privateKey, nowMs });
    const read = await verifyAssertion(jws, expectation());
    expect(read).toEqual({ ...claims, jti: expect.any(String), iat, exp: iat + 30 });
    const again = await verifyAssertion(await signed(), expectation());
    expect(again.jti).not.toBe(read.jti);
  });

  test('forged from the same bytes by our own helper is accepted, so that the refusals below mean something', async () => {
    expect(await whyRefused(forge(goodHeader, JSON.stringify(fullClaims())))).toBe('accepted');
  });

  test('may leave out the commitment and nothing else', async () => {
    const optional: string[] = [];
    for (const name of Object.keys(fullClaims())) {
      const claims: Record<string, unknown> = fullClaims();
      delete claims[name];
      if ((await whyRefused(forge(goodHeader, JSON.stringify(claims)))) === 'accepted') optional.push(name);
    }
    expect(optional).toEqual(['code_commit']);
  });

  test.each([
    ['an unknown claim', { admin: true }],
    ['a number where text belongs', { sub: 7 }],
    ['an unknown method', { method: 'trust-me' }],
    ['an unknown purpose', { purpose: 'admin' }],
    ['an empty amr', { amr: [] }],
    ['a port out of range', { client_port: 65_536 }],
    ['a time that is no whole number', { iat: iat + 0.5 }],
    ['a longer life', { exp: iat + 31 }],
    ['a life of nothing', { exp: iat }],
    ['another audience', { aud: 'main2' }],
    ['another issuer', { iss: 'dmz2' }],
    ['a list as audience', { aud: ['main1'] }],
  ])('with %s is refused although the signature is right', async (_name, change) => {
    expect(await whyRefused(forge(goodHeader, JSON.stringify(fullClaims(change))))).not.toBe('accepted');
  });

  test.each([
    ['another type', { typ: 'JWT', alg: 'EdDSA', kid }],
    ['no type', { alg: 'EdDSA', kid }],
    ['alg none', { typ: 'sallyport-login+jwt', alg: 'none', kid }],
    ['alg HS256', { typ: 'sallyport-login+jwt', alg: 'HS256', kid }],
    ['the other name of the algorithm', { typ: 'sallyport-login+jwt', alg: 'Ed25519', kid }],
    ['crit', { typ: 'sallyport-login+jwt', alg: 'EdDSA', kid, crit: ['b64'], b64: false }],
    ['b64', { typ: 'sallyport-login+jwt', alg: 'EdDSA', kid, b64: true }],
    [
      'a key of its own',
      { typ: 'sallyport-login+jwt', alg: 'EdDSA', kid, jwk: pair.publicKey.export({ format: 'jwk' }) },
    ],
    ['a key address', { typ: 'sallyport-login+jwt', alg: 'EdDSA', kid, jku: 'https://evil.example' }],
    ['an unknown key', { typ: 'sallyport-login+jwt', alg: 'EdDSA', kid: 'other' }],
    ['no key', { typ: 'sallyport-login+jwt', alg: 'EdDSA' }],
  ])('whose header has %s is refused', async (_name, header) => {
    expect(await whyRefused(forge(JSON.stringify(header), JSON.stringify(fullClaims())))).not.toBe(
      'accepted',
    );
  });

  test('in a second spelling is refused: white space, a member twice, another escape', async () => {
    const payload = JSON.stringify(fullClaims());
    for (const [header, body] of [
      [goodHeader.replace(',', ', '), payload],
      [goodHeader.replace('{', '{"alg":"none",'), payload],
      [goodHeader, payload.replace('{', '{"sub":"bob",')],
      [goodHeader, payload.replace('alice', '\\u0061lice')],
      [goodHeader, `${payload}\n`],
      [goodHeader, `\ufeff${payload}`],
    ] as const) {
      expect(await whyRefused(forge(header, body))).toMatch(/spelling|not JSON/);
    }
  });

  test('that is no JSON, or not UTF-8 although it would read as some, is refused for that', async () => {
    const payload = JSON.stringify(fullClaims());
    expect(await whyRefused(forge(goodHeader, `${payload}x`))).toMatch(/payload is not JSON/);
    const octets = Buffer.from(payload.replace('alice', 'ali\u00ffe'), 'latin1');
    const input = `${part(goodHeader)}.${octets.toString('base64url')}`;
    const jws = `${input}.${sign(null, Buffer.from(input), pair.privateKey).toString('base64url')}`;
    expect(await whyRefused(jws)).toMatch(/payload is not UTF-8/);
  });

  test('of another number of parts than three, or with an empty one, is not looked into', async () => {
    const [header = '', payload = '', signature = ''] = (await signed()).split('.');
    for (const parts of [
      [header, payload],
      [header, payload, signature, ''],
      [header, payload, signature, signature],
      ['', payload, signature],
      [header, '', signature],
      [header, payload, ''],
    ])
      expect(await whyRefused(parts.join('.'))).toMatch(/not three parts/);
  });

  test('is dated with the whole second it was signed in, and may live for a second only', async () => {
    const { iat: signedAt } = await verifyAssertion(await signed({}, nowMs + 999), expectation());
    expect(signedAt).toBe(iat);
    expect(await whyRefused(forge(goodHeader, JSON.stringify(fullClaims({ exp: iat + 1 }))))).toBe(
      'accepted',
    );
  });

  test('may be five seconds off where nothing else is said', async () => {
    const jws = await signed();
    const { leewayMs: _said, ...usual } = expectation();
    const early = (ms: number) => verifyAssertion(jws, { ...usual, nowMs: nowMs - ms });
    await expect(early(5_000)).resolves.toMatchObject({ iat });
    await expect(early(5_001)).rejects.toMatchObject({ code: 'refused' });
  });

  test('is refused at the wrong time and accepted up to the leeway on both sides', async () => {
    const jws = await signed();
    const at = (ms: number) => whyRefused(jws, { nowMs: nowMs + ms });
    expect(await at(-1_001)).toMatch(/future/);
    expect(await at(-1_000)).toBe('accepted');
    expect(await at(30_999)).toBe('accepted');
    expect(await at(31_000)).toMatch(/expired/);
  });

  test('is refused when its key is retired, revoked, unknown or another node’s', async () => {
    const jws = await signed();
    for (const status of ['retired', 'revoked'] as const) {
      const findKey = (): SigningKey => ({ node: 'dmz1', publicKey: pair.publicKey, status });
      expect(await whyRefused(jws, { findKey })).toContain(status);
    }
    expect(await whyRefused(jws, { findKey: () => undefined })).toMatch(/unknown key/);
    expect(await whyRefused(jws, { node: 'dmz2' })).toMatch(/key of node dmz1, sent by dmz2/);
    const foreign = generateKeyPairSync('ed25519').publicKey;
    expect(
      await whyRefused(jws, { findKey: () => ({ node: 'dmz1', publicKey: foreign, status: 'active' }) }),
    ).toMatch(/signature/);
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
    expect(
      await whyRefused(jws, { findKey: () => ({ node: 'dmz1', publicKey: rsa, status: 'active' }) }),
    ).toMatch(/not Ed25519/);
  });

  test('with any one bit flipped anywhere is refused', async () => {
    const jws = Buffer.from(await signed(), 'ascii');
    for (let index = 0; index < jws.length; index += 1) {
      const flipped = Buffer.from(jws);
      flipped[index] = (flipped[index] ?? 0) ^ 1;
      expect(await whyRefused(flipped.toString('latin1'))).not.toBe('accepted');
    }
  });

  test('cut, extended, padded or in other serialisations is refused', async () => {
    const jws = await signed();
    const [header, payload, signature] = jws.split('.');
    for (const other of [
      '',
      '.',
      '..',
      `${header}.${payload}`,
      `${header}.${payload}.`,
      `${header}..${signature}`,
      `${jws}.`,
      `${jws}=`,
      ` ${jws}`,
      `${jws}\n`,
      JSON.stringify({ protected: header, payload, signature }),
    ]) {
      expect(await whyRefused(other)).not.toBe('accepted');
    }
  });

  test('of the greatest length is read, one octet more is not looked at', async () => {
    expect(await whyRefused('a'.repeat(assertionBytesMax))).toMatch(/three parts/);
    expect(await whyRefused('a'.repeat(assertionBytesMax + 1))).toMatch(/longer/);
    const long = { agent: '\u0001'.repeat(255), sub: '\u0001'.repeat(255) };
    await expect(signed(long)).rejects.toMatchObject({ code: 'bad-request' });
  });

  test('is signed up to the greatest length and not an octet beyond', async () => {
    // A control character takes six octets in JSON.
    const fill = (octets: number) => '\u0001'.repeat(octets / 6) + 'a'.repeat(octets % 6);
    const lengths: number[] = [];
    for (let octets = 1_000; octets < 1_400; octets += 1)
      await signed({ agent: fill(octets), sub: fill(octets) }).then(
        (jws) => lengths.push(jws.length),
        () => undefined,
      );
    expect(Math.max(...lengths)).toBe(assertionBytesMax);
  });
});

describe('a code commitment', () => {
  const code = new Secret('123456');

  test('fits its code and salt, and no other code, salt or commitment', () => {
    const { salt, commitment } = commitToCode(code);
    expect(isCommitmentTo(commitment, salt, code)).toBe(true);
    expect(isCommitmentTo(commitment, salt, new Secret('123457'))).toBe(false);
    expect(isCommitmentTo(commitment, commitToCode(code).salt, code)).toBe(false);
    expect(isCommitmentTo(commitToCode(code).commitment, salt, code)).toBe(false);
  });

  test('needs a salt of exactly 128 bit, so that salt and code can’t be cut at another place', () => {
    const { salt, commitment } = commitToCode(code);
    const octets = Buffer.from(salt, 'base64url');
    const shorter = octets.subarray(0, 15);
    expect(isCommitmentTo(commitment, shorter.toString('base64url'), code)).toBe(false);
    expect(isCommitmentTo(commitment, `${salt}AA`, code)).toBe(false);
    expect(isCommitmentTo(commitment, '', code)).toBe(false);
    expect(isCommitmentTo('', salt, code)).toBe(false);
  });

  test('of a salt of another length, or in a second spelling, is none although its digest is right', () => {
    const commitUnder = (salt: Buffer): string =>
      createHash('sha256').update(salt).update('123456').digest('base64url');
    for (const length of [15, 16, 17]) {
      const salt = Buffer.alloc(length, 7);
      expect(isCommitmentTo(commitUnder(salt), salt.toString('base64url'), code)).toBe(length === 16);
    }
    const salt = Buffer.alloc(16);
    expect(isCommitmentTo(commitUnder(salt), salt.toString('base64url').replace(/A$/, 'B'), code)).toBe(
      false,
    );
  });

  test('is different each time, so that equal codes can’t be seen in the audit', () => {
    expect(commitToCode(code).commitment).not.toBe(commitToCode(code).commitment);
  });
});

describe('a commitment to a change', () => {
  test('is over its kind and its value, in the one spelling that both nodes use', () => {
    const salt = Buffer.alloc(16, 7);
    const over = (text: string) => createHash('sha256').update(salt).update(text).digest('base64url');
    for (const [change, spelling] of [
      [{ kind: 'password', value: 'a "new" one' }, '["password","a \\"new\\" one"]'],
      [{ kind: 'recovery-codes' }, '["recovery-codes",""]'],
    ] as const)
      expect([change, isCommitmentToChange(over(spelling), salt.toString('base64url'), change)]).toEqual([
        change,
        true,
      ]);
  });

  test('fits no other change', () => {
    const { salt, commitment } = commitToChange({ kind: 'add-ssh-key', value: 'a' });
    expect(isCommitmentToChange(commitment, salt, { kind: 'add-ssh-key', value: 'b' })).toBe(false);
    expect(isCommitmentToChange(commitment, salt, { kind: 'remove-ssh-key', value: 'a' })).toBe(false);
  });
});
