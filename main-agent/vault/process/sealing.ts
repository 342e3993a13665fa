import type { RandomBytes } from '#shared/random-id.ts';
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';

/**
 * What the vault key does: seals secrets (AES-256-GCM), fingerprints codes and puts names in an order (HMAC-SHA-256),
 * each with a key of its own derived from it (HKDF), so that no output of one use says anything about another.
 */

const keyBytes = 32;
const ivBytes = 12; // NIST SP 800-38D §8.2
const tagBytes = 16;
const prefix = 'sealed:v1:';

export class Sealer {
  readonly #sealKey: Buffer;
  readonly #codeKey: Buffer;
  readonly #nameKey: Buffer;
  /** Names the key, and says nothing of it: 128 bits, base64url. */
  readonly id: string;
  /** What main fingerprints codes with that it makes and mails itself; 256 bits. */
  readonly deliveredKey: Secret<Buffer>;
  /** Of the box in which hashes may be sent to the vault; 32 octets. */
  readonly boxSeed: Secret<Buffer>;
  readonly #random: RandomBytes;

  /** Rejects a key of another length: a truncated file must not become a weak key. */
  constructor(vaultKey: Secret<Buffer>, random: RandomBytes) {
    const key = vaultKey.expose();
    if (key.length !== keyBytes) {
      throw new SallyportError('config', 'The vault key is damaged', {
        detail: `${key.length} bytes, must be ${keyBytes}`,
        hint: 'Restore it from the backup; without it no enrolled secret can be read.',
      });
    }
    this.#sealKey = Buffer.from(hkdfSync('sha256', key, '', 'sallyport seal v1', keyBytes));
    this.#codeKey = Buffer.from(hkdfSync('sha256', key, '', 'sallyport code v1', keyBytes));
    this.#nameKey = Buffer.from(hkdfSync('sha256', key, '', 'sallyport name v1', keyBytes));
    this.id = Buffer.from(hkdfSync('sha256', key, '', 'sallyport id v1', 16)).toString('base64url');
    const delivered = hkdfSync('sha256', key, '', 'sallyport delivered v1', keyBytes);
    this.deliveredKey = new Secret(Buffer.from(delivered));
    this.boxSeed = new Secret(Buffer.from(hkdfSync('sha256', key, '', 'sallyport box v1', keyBytes)));
    this.#random = random;
  }

  /** `sealed:v1:` + base64url(iv ‖ ciphertext ‖ tag). `owner` and `id` are bound to it, so it can't be moved. */
  seal(plain: Secret<Buffer>, owner: string, id: string): string {
    const iv = this.#random(ivBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#sealKey, iv);
    cipher.setAAD(bind(owner, id));
    const body = Buffer.concat([cipher.update(plain.expose()), cipher.final()]);
    return prefix + Buffer.concat([iv, body, cipher.getAuthTag()]).toString('base64url');
  }

  /** Rejects `internal` when it was not sealed with this key for this owner and id. */
  open(sealed: string, owner: string, id: string): Secret<Buffer> {
    try {
      if (!sealed.startsWith(prefix)) throw new Error(`does not start with ${prefix}`);
      const octets = Buffer.from(sealed.slice(prefix.length), 'base64url');
      if (octets.length <= ivBytes + tagBytes) throw new Error('too short');
      const decipher = createDecipheriv('aes-256-gcm', this.#sealKey, octets.subarray(0, ivBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(bind(owner, id));
      decipher.setAuthTag(octets.subarray(-tagBytes));
      return new Secret(
        Buffer.concat([decipher.update(octets.subarray(ivBytes, -tagBytes)), decipher.final()]),
      );
    } catch (cause) {
      throw new SallyportError('internal', 'Something went wrong on our side', {
        detail: `the sealed secret of ${owner} can not be opened`,
        hint: 'Is this the vault key it was sealed with? Was the file edited or copied from another user?',
        cause,
      });
    }
  }

  /** A code's name at rest, base64url; different for each owner, id and use. */
  fingerprint(code: Secret, use: 'recovery' | 'bypass', owner: string, id: string): string {
    return createHmac('sha256', this.#codeKey)
      .update(JSON.stringify([use, owner, id, code.expose()]))
      .digest('base64url');
  }

  /** 0 ≤ x < 1, evenly over all names; the same over restarts, and nobody without the key can work it out. */
  placeOf(name: string): number {
    return createHmac('sha256', this.#nameKey).update(name).digest().readUIntBE(0, 6) / 2 ** 48;
  }
}

function bind(owner: string, id: string): Buffer {
  return Buffer.from(JSON.stringify([owner, id]), 'utf8');
}
