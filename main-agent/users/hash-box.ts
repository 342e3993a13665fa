import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import type { RandomBytes } from '#shared/random-id.ts';
import { replaceHashes } from './shown-text.ts';

/**
 * Password hashes on their way from the command line to the vault, through main, which can't open them (D-161): X25519
 * with a fresh key of the sender's, HKDF-SHA-256 over both public keys, AES-256-GCM. Main hands them on as it got them.
 *
 *     $sealed$ base64url(sender's public key 32 ‖ iv 12 ‖ ciphertext ‖ tag 16)
 */

const keyBytes = 32;
const ivBytes = 12;
const tagBytes = 16;
const sealed = /\$sealed\$([\w-]{80,2048})/g;

/** RFC 8410: what stands before the 32 octets of a key. */
const privatePrefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
const publicPrefix = Buffer.from('302a300506032b656e032100', 'hex');

export interface HashSealer {
  seal(hash: string): string;
  /** A text with each of its hashes under seal. */
  sealAll(text: string): string;
}

/** `boxKey`: what `HashBox.publicKey` says. */
export function buildHashSealer(boxKey: string, random: RandomBytes): HashSealer {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const own = rawPublicKey(publicKey);
  const box = Buffer.from(boxKey, 'base64url');
  const key = deriveKey(privateKey, importPublicKey(box), own, box);
  const seal = (hash: string): string => {
    const iv = random(ivBytes);
    const cipher = createCipheriv('aes-256-gcm', key, iv);
    const body = Buffer.concat([cipher.update(hash, 'utf8'), cipher.final()]);
    return `$sealed$${Buffer.concat([own, iv, body, cipher.getAuthTag()]).toString('base64url')}`;
  };
  return { seal, sealAll: (text) => replaceHashes(text, seal) };
}

/** The vault's end. */
export class HashBox {
  /** Raw, base64url. */
  readonly publicKey: string;
  readonly #private: KeyObject;
  readonly #own: Buffer;
  /** Of the last sender, who most likely sent all hashes of a text. */
  #last: { readonly sender: string; readonly key: Buffer } | undefined;

  /** `seed`: 32 octets. */
  constructor(seed: Buffer) {
    this.#private = createPrivateKey({
      key: Buffer.concat([privatePrefix, seed]),
      format: 'der',
      type: 'pkcs8',
    });
    this.#own = rawPublicKey(createPublicKey(this.#private));
    this.publicKey = this.#own.toString('base64url');
  }

  /** The text with what was sealed for this box; what was not stays as it is. */
  open(text: string): string {
    return text.replaceAll(sealed, (whole, encoded: string) => this.#openOne(encoded) ?? whole);
  }

  #openOne(encoded: string): string | undefined {
    const octets = Buffer.from(encoded, 'base64url');
    if (octets.length <= keyBytes + ivBytes + tagBytes) return undefined;
    try {
      const decipher = createDecipheriv(
        'aes-256-gcm',
        this.#keyOf(octets.subarray(0, keyBytes)),
        octets.subarray(keyBytes, keyBytes + ivBytes),
        { authTagLength: tagBytes },
      );
      decipher.setAuthTag(octets.subarray(-tagBytes));
      const body = octets.subarray(keyBytes + ivBytes, -tagBytes);
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }

  #keyOf(senderKey: Buffer): Buffer {
    const sender = senderKey.toString('base64url');
    if (this.#last?.sender !== sender) {
      const key = deriveKey(this.#private, importPublicKey(senderKey), senderKey, this.#own);
      this.#last = { sender, key };
    }
    return this.#last.key;
  }
}

function deriveKey(privateKey: KeyObject, publicKey: KeyObject, sender: Buffer, box: Buffer): Buffer {
  const shared = diffieHellman({ privateKey, publicKey });
  return Buffer.from(hkdfSync('sha256', shared, Buffer.concat([sender, box]), 'sallyport hash v1', keyBytes));
}

function rawPublicKey(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(publicPrefix.length);
}

function importPublicKey(raw: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: 'der', type: 'spki' });
}
