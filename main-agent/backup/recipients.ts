import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  pbkdf2,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { SallyportError } from '#shared/error.ts';
import {
  bitString,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  tagged,
} from '#shared/identity/der.ts';
import type { Secret } from '#shared/secret.ts';
import { readElements, type Element } from './ber.ts';
import { brokenBackup } from './byte-source.ts';
import {
  passphraseCharactersMin,
  passphraseIterations,
  passphraseIterationsMax,
  recipientsMax,
  rsaBitsMin,
} from './limits.ts';

/**
 * Who may open a backup: RecipientInfos (RFC 5652 §6.2), each with the content key for one of them. A passphrase
 * (RFC 3211), or the key of a certificate: RSA by OAEP (RFC 3560), elliptic curves by an agreed key (RFC 5753).
 *
 * Trust: `openContentKey` reads a file that may be anybody's.
 */

export type Recipient = { readonly passphrase: Secret } | { readonly certificate: X509Certificate };
/** What opens it. */
export type Opener = { readonly passphrase: Secret } | { readonly privateKey: KeyObject };

const deriveKey = promisify(pbkdf2);

const nullValue = Buffer.from([0x05, 0x00]);
const version = (number: number): Buffer => integer(Buffer.from([number]));
const sha256 = sequence(objectIdentifier('2.16.840.1.101.3.4.2.1'));
const oaep = sequence(
  objectIdentifier('1.2.840.113549.1.1.7'),
  sequence(tagged(0xa0, sha256), tagged(0xa1, sequence(objectIdentifier('1.2.840.113549.1.1.8'), sha256))),
);
const pbkdf2Id = objectIdentifier('1.2.840.113549.1.5.12');
const hmacSha256 = sequence(objectIdentifier('1.2.840.113549.2.9'), nullValue);
const passwordWrapId = objectIdentifier('1.2.840.113549.1.9.16.3.9');
const aesCbcId = objectIdentifier('2.16.840.1.101.3.4.1.42');
const aesWrap = sequence(objectIdentifier('2.16.840.1.101.3.4.1.45'));
const agreement = sequence(objectIdentifier('1.3.132.1.11.1'), aesWrap);
const ecPublicKeyId = objectIdentifier('1.2.840.10045.2.1');

const contentKeyBytes = 32;
const tags = { byTransport: 0x30, byAgreement: 0xa1, byPassword: 0xa3 };

/** The certificate of somebody a backup is made for: PEM or DER. Throws `usage` for one that can't be used. */
export function parseRecipient(file: Buffer, name: string): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(file);
  } catch (cause) {
    throw new SallyportError('usage', 'This is no certificate', { detail: name, cause });
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey;
  const isStrong = type === 'rsa' ? (details?.modulusLength ?? 0) >= rsaBitsMin : type === 'ec';
  if (isStrong) return certificate;
  throw new SallyportError('usage', 'Nothing can be encrypted for this certificate', {
    detail: `${name} has a key of type ${type ?? 'unknown'}`,
    hint: `RSA of at least ${rsaBitsMin} bits, or an elliptic curve`,
  });
}

/** Throws `usage` for one that is too short. */
export function requirePassphrase(passphrase: Secret): Secret {
  if (passphrase.expose().length >= passphraseCharactersMin) return passphrase;
  throw new SallyportError('usage', 'The passphrase is too short', {
    detail: `at least ${passphraseCharactersMin} characters: whoever finds the file can try as often as they like`,
    hint: 'openssl rand -base64 24',
  });
}

/** The SET of RecipientInfos. */
export async function sealContentKey(recipients: readonly Recipient[], contentKey: Buffer): Promise<Buffer> {
  if (recipients.length === 0 || recipients.length > recipientsMax)
    throw new SallyportError('usage', `A backup is for 1 to ${recipientsMax} recipients`);
  const infos: Buffer[] = [];
  for (const recipient of recipients)
    infos.push(
      'passphrase' in recipient
        ? await sealForPassphrase(requirePassphrase(recipient.passphrase), contentKey)
        : sealForCertificate(recipient.certificate, contentKey),
    );
  return set(Buffer.concat(infos));
}

/** `infos`: the content of the SET. Rejects `refused` when the opener is for none of them. */
export async function openContentKey(infos: Buffer, opener: Opener): Promise<Buffer> {
  const elements = readElements(infos);
  if (elements.length > recipientsMax) throw brokenBackup('too many recipients');
  for (const element of elements) {
    const key =
      'passphrase' in opener
        ? await openByPassphrase(element, opener.passphrase)
        : openByPrivateKey(element, opener.privateKey);
    if (key?.length === contentKeyBytes) return key;
  }
  throw new SallyportError('refused', 'This does not open the backup', {
    detail:
      'passphrase' in opener
        ? 'the passphrase is another, or it was made for certificates alone'
        : 'it was made for other certificates, or for a passphrase alone',
  });
}

async function sealForPassphrase(passphrase: Secret, contentKey: Buffer): Promise<Buffer> {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const iterations = Buffer.alloc(4);
  iterations.writeUInt32BE(passphraseIterations);
  const wrappingKey = await deriveKey(
    passphrase.expose(),
    salt,
    passphraseIterations,
    contentKeyBytes,
    'sha256',
  );
  return tagged(
    tags.byPassword,
    version(0),
    tagged(0xa0, pbkdf2Id, sequence(octetString(salt), integer(shorten(iterations)), hmacSha256)),
    sequence(passwordWrapId, sequence(aesCbcId, octetString(iv))),
    octetString(wrapByPassword(contentKey, wrappingKey, iv)),
  );
}

async function openByPassphrase({ tag, content }: Element, passphrase: Secret): Promise<Buffer | undefined> {
  if (tag !== tags.byPassword) return undefined;
  const [, derivation, wrapping, wrapped] = readElements(content);
  const [derivationId, derivationParameters] = readElements(derivation?.content ?? Buffer.alloc(0));
  const [salt, iterations, prf] = readElements(derivationParameters?.content ?? Buffer.alloc(0));
  const [wrappingId, cipher] = readElements(wrapping?.content ?? Buffer.alloc(0));
  const [cipherId, iv] = readElements(cipher?.content ?? Buffer.alloc(0));
  const isOurs =
    derivationId?.whole.equals(pbkdf2Id) === true &&
    prf?.whole.equals(hmacSha256) === true &&
    wrappingId?.whole.equals(passwordWrapId) === true &&
    cipherId?.whole.equals(aesCbcId) === true;
  if (!isOurs || salt === undefined || iv?.content.length !== 16 || wrapped === undefined) return undefined;
  const octets = iterations?.content ?? Buffer.alloc(0);
  const count = octets.length > 0 && octets.length <= 6 ? octets.readUIntBE(0, octets.length) : 0;
  if (count < 1 || count > passphraseIterationsMax)
    throw brokenBackup('its passphrase can not be tried in time');
  const wrappingKey = await deriveKey(passphrase.expose(), salt.content, count, contentKeyBytes, 'sha256');
  return unwrapByPassword(wrapped.content, wrappingKey, iv.content);
}

/** RFC 3211 §2.3.1: length, three check octets, key, padding; encrypted twice. */
function wrapByPassword(key: Buffer, wrappingKey: Buffer, iv: Buffer): Buffer {
  const check = Buffer.from(key.subarray(0, 3).map((octet) => ~octet));
  const bare = Buffer.concat([Buffer.from([key.length]), check, key]);
  const padded = Buffer.concat([bare, randomBytes(16 - (bare.length % 16))]);
  const cipher = createCipheriv('aes-256-cbc', wrappingKey, iv).setAutoPadding(false);
  return cipher.update(cipher.update(padded));
}

/** RFC 3211 §2.3.2. */
function unwrapByPassword(wrapped: Buffer, wrappingKey: Buffer, iv: Buffer): Buffer | undefined {
  if (wrapped.length < 32 || wrapped.length > 1024 || wrapped.length % 16 !== 0) return undefined;
  const decrypt = (bytes: Buffer, from: Buffer): Buffer =>
    createDecipheriv('aes-256-cbc', wrappingKey, from).setAutoPadding(false).update(bytes);
  const lastButOne = wrapped.subarray(-32, -16);
  const innerLast = decrypt(wrapped.subarray(-16), lastButOne);
  const plain = decrypt(decrypt(wrapped, innerLast), iv);
  const length = plain[0] ?? 0;
  const key = plain.subarray(4, 4 + length);
  const isWhole = key.length === length && length >= 3;
  const isRight = [0, 1, 2].every((at) => (plain[1 + at] ?? 0) === (~(key[at] ?? 0) & 0xff));
  return isWhole && isRight ? key : undefined;
}

function sealForCertificate(certificate: X509Certificate, contentKey: Buffer): Buffer {
  const { publicKey } = certificate;
  return publicKey.asymmetricKeyType === 'rsa'
    ? sequence(
        version(0),
        issuerAndSerialNumber(certificate),
        oaep,
        octetString(publicEncrypt(oaepOptions(publicKey), contentKey)),
      )
    : sealByAgreement(certificate, contentKey);
}

/** RFC 5753 §2.1: with a key pair for this backup alone. */
function sealByAgreement(certificate: X509Certificate, contentKey: Buffer): Buffer {
  const { publicKey } = certificate;
  const { namedCurve = '' } = publicKey.asymmetricKeyDetails ?? {};
  const own = generateKeyPairSync('ec', { namedCurve });
  const wrappingKey = agreeKey(own.privateKey, publicKey);
  return tagged(
    tags.byAgreement,
    version(3),
    tagged(0xa0, tagged(0xa1, sequence(ecPublicKeyId), bitString(pointOf(own.publicKey)))),
    agreement,
    sequence(sequence(issuerAndSerialNumber(certificate), octetString(wrapByKey(contentKey, wrappingKey)))),
  );
}

function openByPrivateKey({ tag, content }: Element, privateKey: KeyObject): Buffer | undefined {
  const type = privateKey.asymmetricKeyType;
  const parts = readElements(content);
  try {
    if (tag === tags.byTransport && type === 'rsa') {
      const [, , algorithm, wrapped] = parts;
      if (algorithm?.whole.equals(oaep) !== true || wrapped === undefined) return undefined;
      return privateDecrypt(oaepOptions(privateKey), wrapped.content);
    }
    if (tag === tags.byAgreement && type === 'ec') return openByAgreement(parts, privateKey);
  } catch {
    // For another recipient's key.
  }
  return undefined;
}

function openByAgreement(parts: readonly Element[], privateKey: KeyObject): Buffer | undefined {
  const [, originator, algorithm, keys] = parts;
  const [originatorKey] = readElements(originator?.content ?? Buffer.alloc(0));
  const [, point] = readElements(originatorKey?.content ?? Buffer.alloc(0));
  const [key] = readElements(keys?.content ?? Buffer.alloc(0));
  const [, wrapped] = readElements(key?.content ?? Buffer.alloc(0));
  if (algorithm?.whole.equals(agreement) !== true || point === undefined || wrapped === undefined)
    return undefined;
  // The curve is the recipient's: its SubjectPublicKeyInfo with the other point in it.
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const [whole] = readElements(spki);
  const [curve] = readElements(whole?.content ?? Buffer.alloc(0));
  const other = createPublicKey({
    key: sequence(curve?.whole ?? Buffer.alloc(0), point.whole),
    type: 'spki',
    format: 'der',
  });
  return unwrapByKey(wrapped.content, agreeKey(privateKey, other));
}

/** X9.63 with SHA-256 (SEC 1 §3.6.1), of which one block is the key. */
function agreeKey(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const bits = Buffer.alloc(4);
  bits.writeUInt32BE(contentKeyBytes * 8);
  const sharedInfo = sequence(aesWrap, tagged(0xa2, octetString(bits)));
  return createHash('sha256')
    .update(diffieHellman({ privateKey, publicKey }))
    .update(Buffer.from([0, 0, 0, 1]))
    .update(sharedInfo)
    .digest();
}

/** RFC 3394. */
const wrapIv = Buffer.alloc(8, 0xa6);

function wrapByKey(key: Buffer, wrappingKey: Buffer): Buffer {
  const cipher = createCipheriv('id-aes256-wrap', wrappingKey, wrapIv);
  return Buffer.concat([cipher.update(key), cipher.final()]);
}

function unwrapByKey(wrapped: Buffer, wrappingKey: Buffer): Buffer {
  const decipher = createDecipheriv('id-aes256-wrap', wrappingKey, wrapIv);
  return Buffer.concat([decipher.update(wrapped), decipher.final()]);
}

function oaepOptions(key: KeyObject) {
  return { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
}

/** The point of a public key, as its SubjectPublicKeyInfo has it. */
function pointOf(publicKey: KeyObject): Buffer {
  const [whole] = readElements(publicKey.export({ type: 'spki', format: 'der' }));
  const [, point] = readElements(whole?.content ?? Buffer.alloc(0));
  // Without the count of unused bits.
  return point?.content.subarray(1) ?? Buffer.alloc(0);
}

/** RFC 5652 §10.2.4, cut out of a certificate that OpenSSL has parsed. */
function issuerAndSerialNumber(certificate: X509Certificate): Buffer {
  const [whole] = readElements(certificate.raw);
  const [toBeSigned] = readElements(whole?.content ?? Buffer.alloc(0));
  const fields = readElements(toBeSigned?.content ?? Buffer.alloc(0));
  // Its version, [0], is left out in certificates of version 1.
  const [serial, , issuer] = fields[0]?.tag === 0xa0 ? fields.slice(1) : fields;
  return sequence(issuer?.whole ?? Buffer.alloc(0), serial?.whole ?? Buffer.alloc(0));
}

/** Without leading zeros, as DER wants an integer. */
function shorten(octets: Buffer): Buffer {
  return octets.subarray(octets.findIndex((octet) => octet !== 0));
}
