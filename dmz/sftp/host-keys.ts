import { createPrivateKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MainLink } from '#dmz/link/main-link.ts';
import { firstKeyExchangeMs, signatureRetryMs } from '#dmz/sftp/limits.ts';
import type { HashedExchange, Ssh2HostKey } from '#dmz/sftp/ssh2-shapes.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { exchangeMethods, type EventBody, type Params } from '#shared/link/messages.ts';
import { signatureAlgorithms, type SignatureAlgorithm } from '#shared/ssh-key/algorithms.ts';
import { hostKeyProof, signForSsh } from '#shared/ssh-key/sign.ts';
import { WireReader } from '#shared/ssh-key/wire.ts';

/**
 * The keys by which clients know this server: on this box, or at main, which signs each key exchange then, so that
 * whoever takes the box has nothing to play the server with once main no longer answers (D-150).
 */

type RsaAlgorithm = Params<'hostkey.prove'>['rsaAlgorithm'];

/** One that connections may get. */
export interface PresentHostKey {
  /** In its wire form. */
  readonly blob: Buffer;
  /** Of the key, e.g. `ssh-rsa`; RSA keys sign by two algorithms. */
  readonly type: string;
  /** Else it is only announced: the next one. */
  readonly signs: boolean;
  /** On this box, as ssh2 read it. */
  readonly own?: Ssh2HostKey;
}

/** What is to be signed: a key exchange, with what goes into its hash. */
interface ExchangeToSign {
  readonly algorithm: string;
  readonly method: string;
  /** The connection has no keys yet. */
  readonly isFirst: boolean;
  readonly hashed: HashedExchange;
  /** Aborts with the connection. */
  readonly gone: AbortSignal;
}

export interface HostKeys {
  /** In the order of preference; none: nobody can be shown who we are, so no connection can be secured. */
  present(): readonly PresentHostKey[];
  /** Whether a key exchange that is begun now would be signed soon. */
  readonly isReady: boolean;
  /**
   * With a key that is not on this box. Resolves with the value of the signature alone, as it stands in SSH. Rejects as
   * requests of the link do.
   */
  sign?(exchange: ExchangeToSign): Promise<Buffer>;
  /** OpenSSH PROTOCOL §2.5: whole signatures, one for each key. Rejects `not-found` for another's key. */
  prove(sessionId: Buffer, keys: readonly Buffer[], rsaAlgorithm: RsaAlgorithm): Promise<Buffer[]>;
}

/** Keys on this box; the first of each type signs. */
export function localHostKeys(keys: readonly Ssh2HostKey[]): HostKeys {
  const types = new Set<string>();
  const present = keys.map((key): PresentHostKey => {
    const signs = !types.has(key.type);
    types.add(key.type);
    return { blob: key.getPublicSSH(), type: key.type, signs, own: key };
  });
  return {
    present: () => present,
    isReady: true,
    async prove(sessionId, blobs, rsaAlgorithm) {
      const signed = blobs.map(async (blob) => {
        const key = keys.find((one) => one.getPublicSSH().equals(blob));
        if (key === undefined) throw notOurs();
        const privateKey = createPrivateKey(key.getPrivatePEM() ?? '');
        const algorithm = key.type === 'ssh-rsa' ? rsaAlgorithm : requireAlgorithm(key.type);
        return signForSsh(algorithm, privateKey, hostKeyProof(sessionId, blob));
      });
      return Promise.all(signed);
    },
  };
}

type LinkPart = Pick<MainLink, 'isUp' | 'request' | 'hostKeys'>;

/** Keys at main. */
export class HostKeysOfMain implements HostKeys {
  readonly #link: LinkPart;

  constructor(link: LinkPart) {
    this.#link = link;
  }

  get isReady(): boolean {
    return this.#link.isUp;
  }

  present(): readonly PresentHostKey[] {
    return this.#link.isUp ? this.#link.hostKeys.map(readTold) : [];
  }

  async sign({ algorithm, method, isFirst, hashed, gone }: ExchangeToSign): Promise<Buffer> {
    const text = (octets: Buffer): string => octets.toString('base64url');
    const params: Params<'hostkey.sign'> = {
      algorithm: requireAlgorithm(algorithm),
      isFirst,
      exchange: {
        method: requireMethod(method),
        clientVersion: text(hashed.clientVersion),
        serverVersion: text(hashed.serverVersion),
        clientKexInit: text(hashed.clientKexInit),
        serverKexInit: text(hashed.serverKexInit),
        hostKey: text(hashed.hostKey),
        clientShare: text(hashed.clientShare),
        serverShare: text(hashed.serverShare),
        secret: text(hashed.secret),
      },
    };
    const { signature } = await this.#patiently(gone, () =>
      // A new client is told at once that main is away; who has files open waits for it, as these do.
      isFirst
        ? this.#link.request('hostkey.sign', async () => params, {
            signal: gone,
            timeoutMs: firstKeyExchangeMs,
          })
        : this.#link.request('hostkey.sign', params, { signal: gone }),
    );
    const reader = new WireReader(Buffer.from(signature, 'base64url'));
    reader.string();
    return reader.string();
  }

  async prove(sessionId: Buffer, keys: readonly Buffer[], rsaAlgorithm: RsaAlgorithm): Promise<Buffer[]> {
    const told = this.present();
    if (!keys.every((key) => told.some(({ blob }) => blob.equals(key)))) throw notOurs();
    const { signatures } = await this.#link.request('hostkey.prove', {
      sessionId: sessionId.toString('base64url'),
      keys: keys.map((key) => key.toString('base64url')),
      rsaAlgorithm,
    });
    return signatures.map((signature) => Buffer.from(signature, 'base64url'));
  }

  /** Over main's rate: again and again, as long as the connection lives. */
  async #patiently<T>(gone: AbortSignal, ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!isSallyportError(error, 'rate-limited') && !isSallyportError(error, 'busy')) throw error;
      }
      await sleep(signatureRetryMs, undefined, { signal: gone });
    }
  }
}

function readTold({ type, blob, signs }: EventBody<'hostkeys'>['keys'][number]): PresentHostKey {
  return { type, blob: Buffer.from(blob, 'base64url'), signs };
}

function requireMethod(name: string): (typeof exchangeMethods)[number] {
  const found = exchangeMethods.find((one) => one === name);
  if (found === undefined) throw new Error(`no key exchange ${name}`);
  return found;
}

function requireAlgorithm(name: string): SignatureAlgorithm {
  const found = signatureAlgorithms.find((one) => one === name);
  if (found === undefined) throw new Error(`no host key signs with ${name}`);
  return found;
}

function notOurs(): SallyportError {
  return new SallyportError('not-found', 'Not one of our host keys');
}
