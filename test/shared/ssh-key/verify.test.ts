import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parsePublicKeyBlob } from '#shared/ssh-key/parse.ts';
import { isUserauthSignature, parseUserauthRequest } from '#shared/ssh-key/verify.ts';
import { wireString } from '#shared/ssh-key/wire.ts';

function mpint(octets: Buffer): Buffer {
  const start = octets.findIndex((octet) => octet !== 0);
  const short = octets.subarray(start === -1 ? octets.length : start);
  return wireString((short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), short]) : short);
}

interface Signer {
  readonly algorithm: string;
  readonly blob: Buffer;
  sign(data: Buffer): Buffer;
}

function ed25519(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  return {
    algorithm: 'ssh-ed25519',
    blob: Buffer.concat([wireString('ssh-ed25519'), wireString(point)]),
    sign: (data) => sign(null, data, privateKey),
  };
}

function ecdsa(curve: 'nistp256' | 'nistp384' | 'nistp521', jwkName: string, hash: string): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: jwkName });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  return {
    algorithm: `ecdsa-sha2-${curve}`,
    blob: Buffer.concat([wireString(`ecdsa-sha2-${curve}`), wireString(curve), wireString(point)]),
    sign: (data) => {
      const fixed = sign(hash, data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      const half = fixed.length / 2;
      return Buffer.concat([mpint(fixed.subarray(0, half)), mpint(fixed.subarray(half))]);
    },
  };
}

const rsaPair = generateKeyPairSync('rsa', { modulusLength: 3072 });
function rsa(algorithm: string, hash: string, key: KeyObject = rsaPair.privateKey): Signer {
  const { n = '', e = '' } = rsaPair.publicKey.export({ format: 'jwk' });
  return {
    algorithm,
    blob: Buffer.concat([
      wireString('ssh-rsa'),
      mpint(Buffer.from(e, 'base64url')),
      mpint(Buffer.from(n, 'base64url')),
    ]),
    sign: (data) => sign(hash, data, key),
  };
}

const sessionId = createHash('sha256').update('kex').digest();

interface Parts {
  sessionId: Buffer;
  type: number;
  user: Buffer | string;
  service: string;
  method: string;
  hasSignature: number;
  algorithm: string;
  blob: Buffer;
}

function requestOf(signer: Signer, change: Partial<Parts> = {}): Buffer {
  const parts: Parts = {
    sessionId,
    type: 50,
    user: 'erin',
    service: 'ssh-connection',
    method: 'publickey',
    hasSignature: 1,
    algorithm: signer.algorithm,
    blob: signer.blob,
    ...change,
  };
  return Buffer.concat([
    wireString(parts.sessionId),
    Buffer.of(parts.type),
    wireString(parts.user),
    wireString(parts.service),
    wireString(parts.method),
    Buffer.of(parts.hasSignature),
    wireString(parts.algorithm),
    wireString(parts.blob),
  ]);
}

const signatureOf = (signer: Signer, signed: Buffer) =>
  Buffer.concat([wireString(signer.algorithm), wireString(signer.sign(signed))]);

/** Whether a login with these octets and this signature proves the key; a malformed one proves nothing. */
function proves(signed: Buffer, signature: Buffer): boolean {
  try {
    return isUserauthSignature(parseUserauthRequest(signed), signature);
  } catch {
    return false;
  }
}

const signers: readonly (readonly [string, Signer])[] = [
  ['ssh-ed25519', ed25519()],
  ['ecdsa-sha2-nistp256', ecdsa('nistp256', 'P-256', 'sha256')],
  ['ecdsa-sha2-nistp384', ecdsa('nistp384', 'P-384', 'sha384')],
  ['ecdsa-sha2-nistp521', ecdsa('nistp521', 'P-521', 'sha512')],
  ['rsa-sha2-256', rsa('rsa-sha2-256', 'sha256')],
  ['rsa-sha2-512', rsa('rsa-sha2-512', 'sha512')],
];

describe.each(signers)('a signature by %s', (algorithm, signer) => {
  const signed = requestOf(signer);

  test('proves the key, and the request says who, where and how', () => {
    const request = parseUserauthRequest(signed);
    expect(request).toMatchObject({ user: 'erin', algorithm });
    expect(request.sessionId.equals(sessionId)).toBe(true);
    expect(request.key.fingerprint).toBe(parsePublicKeyBlob(signer.blob).fingerprint);
    expect(isUserauthSignature(request, signatureOf(signer, signed))).toBe(true);
  });

  test('S-01: does not prove anything about other octets', () => {
    const signature = signatureOf(signer, signed);
    for (const change of [
      { user: 'alice' },
      { sessionId: createHash('sha256').update('other').digest() },
    ] satisfies Partial<Parts>[]) {
      expect(proves(requestOf(signer, change), signature)).toBe(false);
    }
  });

  test('with any octet changed, cut or added proves nothing', () => {
    const signature = signatureOf(signer, signed);
    const step = algorithm.startsWith('rsa') ? 7 : 1;
    for (let index = 0; index < signature.length; index += step) {
      const other = Buffer.from(signature);
      other[index] = (other[index] ?? 0) ^ 0x40;
      expect(proves(signed, other)).toBe(false);
      expect(proves(signed, signature.subarray(0, index))).toBe(false);
    }
    expect(proves(signed, Buffer.concat([signature, Buffer.of(0)]))).toBe(false);
  });
});

describe('a signed request', () => {
  const signer = ed25519();

  test.each<[string, Partial<Parts>]>([
    ['another message type', { type: 51 }],
    ['another service', { service: 'ssh-userauth' }],
    ['another method', { method: 'hostbased' }],
    ['the probe form', { hasSignature: 0 }],
    ['a boolean of 2', { hasSignature: 2 }],
    ['a short session id', { sessionId: Buffer.alloc(31) }],
    ['a long session id', { sessionId: Buffer.alloc(65) }],
    ['a user name that is not UTF-8', { user: Buffer.from([0x65, 0xff]) }],
    ['an algorithm of another key type', { algorithm: 'rsa-sha2-256' }],
    ['a key of another type', { blob: rsa('rsa-sha2-256', 'sha256').blob }],
    ['a blob with something left over', { blob: Buffer.concat([signer.blob, Buffer.of(0)]) }],
  ])('with %s is refused although the signature fits', (_name, change) => {
    const signed = requestOf(signer, change);
    expect(() => parseUserauthRequest(signed)).toThrow(/Not valid SSH key data/);
  });

  test('cut anywhere, extended, or enormous is refused', () => {
    const signed = requestOf(signer);
    for (let length = 0; length < signed.length; length += 1) {
      expect(() => parseUserauthRequest(signed.subarray(0, length))).toThrow(/Not valid/);
    }
    expect(() => parseUserauthRequest(Buffer.concat([signed, Buffer.of(0)]))).toThrow(/left over/);
    expect(() => parseUserauthRequest(Buffer.alloc(12 * 1024 + 1))).toThrow(/longer/);
  });

  test('keeps the user name byte for byte, so that nobody’s name is folded into another’s', () => {
    for (const user of ['Erin', ' erin', 'erin\0', 'ėrin', 'e\u0307rin', '']) {
      expect(parseUserauthRequest(requestOf(signer, { user })).user).toBe(user);
    }
  });

  test('random octets never crash the reader in another way than by refusal', () => {
    for (let round = 0; round < 2_000; round += 1) {
      const signed = requestOf(signer);
      const at = Math.floor(Math.random() * signed.length);
      randomBytes(4).copy(signed, Math.min(at, signed.length - 4));
      expect(proves(signed, Buffer.alloc(83))).toBe(false);
    }
  });
});

describe('SHA-1', () => {
  test('is refused as ssh-rsa in the request', () => {
    expect(() => parseUserauthRequest(requestOf(rsa('ssh-rsa', 'sha1')))).toThrow(/does not sign with/);
  });

  test('is refused in the signature under a good request', () => {
    const signed = requestOf(rsa('rsa-sha2-256', 'sha256'));
    const sha1 = rsa('rsa-sha2-256', 'sha1');
    expect(proves(signed, signatureOf(sha1, signed))).toBe(false);
    expect(proves(signed, signatureOf(rsa('ssh-rsa', 'sha1'), signed))).toBe(false);
  });
});

describe('algorithm confusion', () => {
  test('the signature’s algorithm must be the announced one, even when it verifies', () => {
    const announced = requestOf(rsa('rsa-sha2-512', 'sha512'));
    const other = rsa('rsa-sha2-256', 'sha256');
    expect(() => isUserauthSignature(parseUserauthRequest(announced), signatureOf(other, announced))).toThrow(
      /another algorithm/,
    );
  });
});

test('an RSA signature that starts with a zero octet is accepted with and without it', () => {
  const signer = rsa('rsa-sha2-256', 'sha256');
  // One in 256 signatures starts with zero: try session ids until one does.
  let signed = requestOf(signer);
  let raw = signer.sign(signed);
  for (let counter = 0; raw[0] !== 0; counter += 1) {
    signed = requestOf(signer, { sessionId: createHash('sha256').update(String(counter)).digest() });
    raw = signer.sign(signed);
  }
  for (const blob of [raw, raw.subarray(1)]) {
    expect(proves(signed, Buffer.concat([wireString('rsa-sha2-256'), wireString(blob)]))).toBe(true);
  }
});
