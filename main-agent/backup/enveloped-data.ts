import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { integer, objectIdentifier, octetString, sequence } from '#shared/identity/der.ts';
import { endOfContents, indefiniteLength, readElement, readElements, readHead } from './ber.ts';
import { brokenBackup, ByteSource } from './byte-source.ts';
import { contentBytesMax, pieceBytes, recipientInfosBytesMax } from './limits.ts';
import { openContentKey, sealContentKey, type Opener, type Recipient } from './recipients.ts';

/**
 * CMS AuthEnvelopedData (RFC 5083) with AES-256-GCM (RFC 5084), written and read as a stream (D-119). `openssl cms
 * -decrypt -inform DER` opens it.
 *
 * Trust: `openEnvelope` reads a file that may be anybody's. What it yields is only true once it has ended: the tag of
 * all of it comes last.
 */

const authEnvelopedDataId = objectIdentifier('1.2.840.113549.1.9.16.1.23');
const dataId = objectIdentifier('1.2.840.113549.1.7.1');
const aesGcmId = objectIdentifier('2.16.840.1.101.3.4.1.46');
const version = integer(Buffer.from([0]));
const nonceBytes = 12;
const tagBytes = 16;
/** Heads of a sequence, and of [0], without a length. */
const openSequence = Buffer.concat([Buffer.from([0x30]), indefiniteLength]);
const openContext = Buffer.concat([Buffer.from([0xa0]), indefiniteLength]);
const octetStringTag = 0x04;
/** An object identifier, an algorithm: what stands between them is small. */
const smallBytesMax = 128;

export async function* sealEnvelope(
  content: AsyncIterable<Buffer>,
  recipients: readonly Recipient[],
): AsyncGenerator<Buffer> {
  const key = randomBytes(32);
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  yield Buffer.concat([
    openSequence,
    authEnvelopedDataId,
    openContext,
    openSequence,
    version,
    await sealContentKey(recipients, key),
    openSequence,
    dataId,
    aesGcm(nonce),
    openContext,
  ]);
  let sealed = 0;
  for await (const piece of content) {
    for (let at = 0; at < piece.length; at += pieceBytes) {
      const part = cipher.update(piece.subarray(at, at + pieceBytes));
      sealed += part.length;
      if (sealed > contentBytesMax) throw brokenBackup('it is longer than one key may encrypt');
      yield octetString(part);
    }
  }
  cipher.final();
  yield Buffer.concat([
    endOfContents,
    endOfContents,
    octetString(cipher.getAuthTag()),
    endOfContents,
    endOfContents,
    endOfContents,
  ]);
}

/** Rejects `refused` for another opener, `io-error` where it is not whole. */
export async function* openEnvelope(file: AsyncIterable<Buffer>, opener: Opener): AsyncGenerator<Buffer> {
  const source = new ByteSource(file);
  const expect = async (octets: Buffer, what: string): Promise<void> => {
    if (!(await source.take(octets.length)).equals(octets)) throw brokenBackup(`its ${what} is not one`);
  };
  await expect(
    Buffer.concat([openSequence, authEnvelopedDataId, openContext, openSequence, version]),
    'head',
  );
  const key = await openContentKey(await readElement(source, 0x31, recipientInfosBytesMax), opener);
  await expect(Buffer.concat([openSequence, dataId]), 'content');
  const algorithm = await readElement(source, 0x30, smallBytesMax);
  const [, parameters] = readElements(algorithm);
  const [nonce] = readElements(parameters?.content ?? Buffer.alloc(0));
  // As it is written here to the last octet: a shorter tag, for one, would be easier to hit.
  if (nonce?.content.length !== nonceBytes || !aesGcm(nonce.content).equals(sequence(algorithm)))
    throw brokenBackup('its cipher is another');
  await expect(openContext, 'content');
  const decipher = createDecipheriv('aes-256-gcm', key, nonce.content);
  for (;;) {
    const head = await readHead(source);
    if (head.tag === 0 && head.length === 0) break;
    if (head.tag !== octetStringTag || head.length === undefined || head.length > pieceBytes)
      throw brokenBackup('its content is not in pieces');
    yield decipher.update(await source.take(head.length));
  }
  await expect(endOfContents, 'end');
  decipher.setAuthTag(await readElement(source, octetStringTag, tagBytes).then(requireTag));
  try {
    decipher.final();
  } catch (cause) {
    throw brokenBackup('it was changed after it was made', cause);
  }
  await expect(Buffer.concat([endOfContents, endOfContents, endOfContents]), 'end');
  if (!(await source.isAtEnd())) throw brokenBackup('something follows its end');
}

/** RFC 5084 §3.2. */
function aesGcm(nonce: Buffer): Buffer {
  return sequence(aesGcmId, sequence(octetString(nonce), integer(Buffer.from([tagBytes]))));
}

function requireTag(tag: Buffer): Buffer {
  if (tag.length !== tagBytes) throw brokenBackup('its tag is too short');
  return tag;
}
