import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { formatPublicKeyLine, parsePublicKeyBlob, parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import { wireString } from '#shared/ssh-key/wire.ts';
import { makeOpensshKey } from './ssh-keygen.ts';

const ed25519Blob = (point: Buffer) => Buffer.concat([wireString('ssh-ed25519'), wireString(point)]);
const goodPoint = Buffer.from(
  generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x ?? '',
  'base64url',
);
const goodLine = `ssh-ed25519 ${ed25519Blob(goodPoint).toString('base64')}`;
const rsaBlob = (e: Buffer, n: Buffer) =>
  Buffer.concat([wireString('ssh-rsa'), wireString(e), wireString(n)]);
const e65537 = Buffer.from('010001', 'hex');

/** Odd, of exactly so many bits, with the sign octet an mpint of that length needs. */
function modulus(bits: number): Buffer {
  const octets = Buffer.alloc(Math.ceil(bits / 8), 0xff);
  octets[0] = 0xff >> (octets.length * 8 - bits);
  return (octets[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), octets]) : octets;
}

function whyRefused(blob: Buffer): string {
  return reasonOf(() => parsePublicKeyBlob(blob));
}

function reasonOf(parse: () => unknown): string {
  try {
    parse();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'accepted';
}

describe('a public key line', () => {
  test.each([
    ['ed25519', undefined, 'ssh-ed25519'],
    ['ecdsa', 256, 'ecdsa-sha2-nistp256'],
    ['ecdsa', 384, 'ecdsa-sha2-nistp384'],
    ['ecdsa', 521, 'ecdsa-sha2-nistp521'],
    ['rsa', 3072, 'ssh-rsa'],
  ] as const)('of OpenSSH (%s %s) is read as OpenSSH means it', async (type, bits, name) => {
    const { line, fingerprint } = await makeOpensshKey(type, bits);
    const key = parsePublicKeyLine(line);
    expect(key).toMatchObject({ type: name, fingerprint, comment: 'alice@laptop' });
    expect(`${formatPublicKeyLine(key)}\n`).toBe(line);
    expect(parsePublicKeyBlob(key.blob).key.equals(key.key)).toBe(true);
  });

  test('of OpenSSH with a short RSA key is refused and says how long it must be', async () => {
    const { line } = await makeOpensshKey('rsa', 2048);
    expect(reasonOf(() => parsePublicKeyLine(line))).toMatch(/2048 bits; at least 3072/);
  });

  test('may have no comment, several blanks, and blanks in the comment', () => {
    expect(parsePublicKeyLine(goodLine).comment).toBe('');
    expect(parsePublicKeyLine(`  ${goodLine}\t two words \n`).comment).toBe('two words');
  });

  test.each([
    ['nothing', ''],
    ['a type alone', 'ssh-ed25519'],
    ['options before it', `command="id" ${goodLine}`],
    ['two lines', `${goodLine}\n${goodLine}`],
    ['an escape sequence in the comment', `${goodLine} \u001b[2J`],
    ['a NUL in the comment', `${goodLine} a\0b`],
    ['another type in front', goodLine.replace('ssh-ed25519', 'ssh-rsa')],
    ['an unknown type', goodLine.replace('ssh-ed25519', 'ssh-ed448')],
    ['DSA', goodLine.replace('ssh-ed25519', 'ssh-dss')],
    ['a security key', goodLine.replace('ssh-ed25519', 'sk-ssh-ed25519@openssh.com')],
    ['a certificate', goodLine.replace('ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com')],
    ['base64url', goodLine.replaceAll('+', '-').concat('-')],
    ['padding that says nothing', `${goodLine}=`],
    ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----'],
    ['far too much', `${goodLine} ${'x'.repeat(9_000)}`],
  ])('with %s is refused', (_name, line) => {
    expect(reasonOf(() => parsePublicKeyLine(line))).toMatch(/^Not valid SSH key data/);
  });
});

describe('a public key blob', () => {
  test('cut anywhere or with one octet more is refused', () => {
    const blob = ed25519Blob(goodPoint);
    for (let length = 0; length < blob.length; length += 1) {
      expect(whyRefused(blob.subarray(0, length))).toMatch(/too early|not printable/);
    }
    expect(whyRefused(Buffer.concat([blob, Buffer.of(0)]))).toMatch(/1 octets left over/);
  });

  test('with a length of 4 GiB inside is refused without reading it', () => {
    expect(whyRefused(Buffer.from('ffffffff00', 'hex'))).toMatch(/too early/);
  });

  test.each([31, 33, 0])('of Ed25519 with %s octets is refused', (octets) => {
    expect(whyRefused(ed25519Blob(Buffer.alloc(octets, 7)))).toMatch(/32 octets/);
  });

  test('of Ed25519 with a point of small order is refused: one signature would fit many messages under it', () => {
    const points = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ].map((hex) => Buffer.from(hex, 'hex'));
    for (const point of points) {
      for (const signBit of [0, 0x80]) {
        const spelled = Buffer.from(point);
        spelled[31] = (spelled[31] ?? 0) | signBit;
        expect(whyRefused(ed25519Blob(spelled))).toMatch(/small order/);
      }
    }
  });

  test('of Ed25519 in a second spelling (y not below p) is refused', () => {
    for (let low = 0xed; low <= 0xff; low += 1) {
      const point = Buffer.alloc(32, 0xff);
      point[0] = low;
      expect(whyRefused(ed25519Blob(point))).toMatch(/not canonical/);
      point[31] = 0x7f;
      expect(whyRefused(ed25519Blob(point))).toMatch(/not canonical/);
    }
  });

  test('of RSA is accepted from 3072 to 16384 bits and refused one bit outside', () => {
    expect(whyRefused(rsaBlob(e65537, modulus(3_071)))).toMatch(/3071 bits/);
    expect(whyRefused(rsaBlob(e65537, modulus(3_072)))).toBe('accepted');
    expect(whyRefused(rsaBlob(e65537, modulus(3_073)))).toBe('accepted');
    expect(whyRefused(rsaBlob(e65537, modulus(16_384)))).toBe('accepted');
    expect(whyRefused(rsaBlob(e65537, modulus(16_385)))).toMatch(/16385 bits/);
  });

  test.each([
    ['1', '01'],
    ['0', ''],
    ['an even number', '010000'],
    ['a negative number', 'ff'],
    ['more than 32 bits', '0100000001'],
    ['needless zeros', '00010001'],
  ])('of RSA with the exponent %s is refused', (_name, e) => {
    expect(whyRefused(rsaBlob(Buffer.from(e, 'hex'), modulus(3_072)))).not.toBe('accepted');
  });

  test('of RSA with an even, negative or zero-padded modulus is refused', () => {
    const even = modulus(3_072);
    even[even.length - 1] = 0xfe;
    expect(whyRefused(rsaBlob(e65537, even))).toMatch(/even/);
    expect(whyRefused(rsaBlob(e65537, modulus(3_072).subarray(1)))).toMatch(/negative/);
    expect(whyRefused(rsaBlob(e65537, Buffer.concat([Buffer.of(0), modulus(3_072)])))).toMatch(/zeros/);
  });

  test('of ECDSA is refused when the curve differs, the point is compressed, cut or not on the curve', () => {
    const { x = '', y = '' } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
      format: 'jwk',
    });
    const [xOctets, yOctets] = [Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')];
    const blob = (curve: string, point: Buffer) =>
      Buffer.concat([wireString('ecdsa-sha2-nistp256'), wireString(curve), wireString(point)]);
    const point = Buffer.concat([Buffer.of(4), xOctets, yOctets]);
    expect(whyRefused(blob('nistp256', point))).toBe('accepted');
    expect(whyRefused(blob('nistp384', point))).toMatch(/curve/);
    expect(whyRefused(blob('nistp256', Buffer.concat([Buffer.of(2), xOctets])))).toMatch(/uncompressed/);
    expect(whyRefused(blob('nistp256', point.subarray(0, -1)))).toMatch(/uncompressed/);
    const off = Buffer.from(point);
    off[64] = (off[64] ?? 0) ^ 1;
    expect(whyRefused(blob('nistp256', off))).toMatch(/no such key/);
    expect(whyRefused(blob('nistp256', Buffer.concat([Buffer.of(4), Buffer.alloc(64)])))).toMatch(/no such/);
  });

  test('keeps its own octets: changing the buffer it came in changes nothing', () => {
    const blob = ed25519Blob(goodPoint);
    const key = parsePublicKeyBlob(blob);
    blob.fill(0);
    expect(key.blob.equals(ed25519Blob(goodPoint))).toBe(true);
  });
});

test('the key object is the key: what its private half signs, it verifies', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const message = Buffer.from('message');
  const key = parsePublicKeyBlob(ed25519Blob(point));
  expect(verify(null, message, key.key, sign(null, message, privateKey))).toBe(true);
});
