import { WireReader } from '#dmz/sftp/wire.ts';
import type { AlgorithmOffer } from '#dmz/sftp/ssh2-shapes.ts';

/**
 * What we offer, and how the offer is fitted to a client. In SSH the client's order decides; OpenSSH up to 9 puts
 * ChaCha20 and CTR before GCM, which cost several times the CPU here. So a client that has GCM is offered GCM alone.
 */
export type AlgorithmProfile = 'strict' | 'compat';

const strictKexClient = 'kex-strict-c-v00@openssh.com';
const strictKexServer = 'kex-strict-s-v00@openssh.com';
const chacha20 = 'chacha20-poly1305@openssh.com';
const gcm = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'];

const offers: Readonly<Record<AlgorithmProfile, Omit<AlgorithmOffer, 'serverHostKey'>>> = {
  strict: {
    kex: ['mlkem768x25519-sha256', 'curve25519-sha256', 'curve25519-sha256@libssh.org', strictKexServer],
    cipher: [...gcm, chacha20, 'aes256-ctr'],
    mac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  },
  compat: {
    kex: [
      'mlkem768x25519-sha256',
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
      'ecdh-sha2-nistp256',
      'ecdh-sha2-nistp384',
      'ecdh-sha2-nistp521',
      strictKexServer,
    ],
    cipher: [...gcm, chacha20, 'aes256-ctr', 'aes128-ctr'],
    mac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  },
};

export function fullOffer(profile: AlgorithmProfile, hostKeyTypes: readonly string[]): AlgorithmOffer {
  return { ...offers[profile], serverHostKey: hostKeyTypes.flatMap(signaturesOf) };
}

/** RSA host keys sign with SHA-2 only. */
function signaturesOf(hostKeyType: string): string[] {
  return hostKeyType === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [hostKeyType];
}

/** Lists of a client's KEXINIT that the fitting looks at (RFC 4253 §7.1). */
interface ClientLists {
  readonly kex: readonly string[];
  readonly cipherIn: readonly string[];
  readonly cipherOut: readonly string[];
}

/** KEXINIT is at most 35,000 bytes (the packet limit before keys exist), so each list is. Throws MalformedMessage. */
export function readClientLists(kexInitPayload: Buffer): ClientLists {
  const reader = new WireReader(kexInitPayload, 1 + 16);
  const list = () => reader.string(kexInitPayload.length).toString('latin1').split(',');
  const kex = list();
  list(); // server host key algorithms
  return { kex, cipherIn: list(), cipherOut: list() };
}

/**
 * The offer for this client: GCM alone if it has it; ChaCha20 only with strict key exchange, without which a
 * man in the middle can cut packets off the front of the stream (CVE-2023-48795).
 */
export function fitOffer(offer: AlgorithmOffer, client: ClientLists): AlgorithmOffer {
  const isShared = (cipher: string) => client.cipherIn.includes(cipher) && client.cipherOut.includes(cipher);
  const shared = offer.cipher.filter(isShared);
  const sharedGcm = shared.filter((cipher) => gcm.includes(cipher));
  if (sharedGcm.length > 0) return { ...offer, cipher: sharedGcm };
  const isStrict = client.kex.includes(strictKexClient);
  const safe = shared.filter((cipher) => cipher !== chacha20 || isStrict);
  // Nothing shared: our whole list, so that the client's error message shows what it could have had.
  return safe.length > 0 ? { ...offer, cipher: safe } : blindOffer(offer);
}

/** For a client that waits for our KEXINIT before it sends its own: what it supports is not known yet. */
export function blindOffer(offer: AlgorithmOffer): AlgorithmOffer {
  return { ...offer, cipher: offer.cipher.filter((cipher) => cipher !== chacha20) };
}

/** True: all we share is ChaCha20, and the client lacks strict key exchange. */
export function sharesOnlyUnsafe(offer: AlgorithmOffer, client: ClientLists): boolean {
  const shared = offer.cipher.filter(
    (cipher) => client.cipherIn.includes(cipher) && client.cipherOut.includes(cipher),
  );
  return shared.length === 1 && shared[0] === chacha20 && !client.kex.includes(strictKexClient);
}
