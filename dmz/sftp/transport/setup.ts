import { localHostKeys, type HostKeys, type PresentHostKey } from '#dmz/sftp/host-keys.ts';
import { RecordLayer } from '#dmz/sftp/record-layer/record-layer.ts';
import { type AlgorithmProfile, fullOffer } from '#dmz/sftp/transport/algorithms.ts';
import { loadSsh2, type Ssh2Modules } from '#dmz/sftp/transport/ssh2-modules.ts';
import type { AlgorithmOffer, Ssh2Exchange, Ssh2Protocol, Ssh2Signer } from '#dmz/sftp/ssh2-shapes.ts';

/** Who answers when ssh2 asks about a connection's key exchanges. */
export interface ExchangeOwner {
  /** True: our KEXINIT waits for the client's. */
  holdsKexInit(): boolean;
  onClientKexInit(payload: Buffer): void;
  /** The first one is over: its keys are in use. */
  isOver(): boolean;
  /** A signature is waited for; the client has nothing to send meanwhile. */
  isSigning(): boolean;
  /** `ask` resolves when there is a signature, for which `finish` is called then. */
  waitForSignature(
    ask: (about: { readonly isFirst: boolean; readonly gone: AbortSignal }) => Promise<void>,
    finish: () => void,
  ): void;
}

/** What a connection has from its start to its end. */
export interface ConnectionKeys {
  /** By the names of the algorithms that they sign with. */
  readonly signers: Readonly<Record<string, Ssh2Signer>>;
  readonly offer: AlgorithmOffer;
}

/** Everything the connections of one server share. */
export interface TransportSetup {
  readonly modules: Ssh2Modules;
  readonly hostKeys: HostKeys;
  /** Undefined: there are no host keys now. */
  connectionKeys(): ConnectionKeys | undefined;
  readonly exchanges: WeakMap<Ssh2Protocol, ExchangeOwner>;
}

/** PEM or OpenSSH private keys, without passphrase, or keys that are elsewhere. */
export type HostKeySource = { readonly pem: readonly Buffer[] } | HostKeys;

/** Throws `config` for a host key that can't be read, or an ssh2 that the patches don't fit. */
export async function buildTransportSetup(
  source: HostKeySource,
  profile: AlgorithmProfile,
): Promise<TransportSetup> {
  const exchanges = new WeakMap<Ssh2Protocol, ExchangeOwner>();
  const records = new RecordLayer();
  const modules = await loadSsh2({
    createCipher: (config) => records.writer(config),
    createDecipher: (config) => records.reader(config),
    holdsKexInit: (protocol) => exchanges.get(protocol)?.holdsKexInit() ?? false,
    onClientKexInit: (protocol, payload) => exchanges.get(protocol)?.onClientKexInit(payload),
    hasKeys: (protocol) => exchanges.get(protocol)?.isOver() ?? false,
    isSigning: (protocol) => exchanges.get(protocol)?.isSigning() ?? false,
  });
  const hostKeys =
    'pem' in source ? localHostKeys(source.pem.map((pem) => modules.parseHostKey(pem))) : source;
  return {
    modules,
    hostKeys,
    connectionKeys() {
      const signing = hostKeys.present().filter(({ signs }) => signs);
      if (signing.length === 0) return undefined;
      const offer = fullOffer(
        profile,
        signing.map(({ type }) => type),
      );
      const signers: Record<string, Ssh2Signer> = {};
      for (const name of offer.serverHostKey) {
        const key = signing.find(({ type }) => type === (name.startsWith('rsa-') ? 'ssh-rsa' : name));
        if (key !== undefined) signers[name] = key.own ?? buildDistantSigner(name, key, hostKeys, exchanges);
      }
      return { signers, offer };
    },
    exchanges,
  };
}

/** ssh2 asks twice: the second time, when `finish` was called, there is something to give. */
function buildDistantSigner(
  name: string,
  { blob }: PresentHostKey,
  hostKeys: HostKeys,
  exchanges: TransportSetup['exchanges'],
): Ssh2Signer {
  const signed = new WeakMap<Ssh2Exchange, Buffer>();
  return {
    // What comes is in SSH's form already, and ssh2 leaves it so for every type it does not know.
    type: 'distant',
    getPublicSSH: () => blob,
    sign(_hash, _digest, { protocol, exchange, hashed }) {
      const signature = signed.get(exchange);
      if (signature !== undefined) return signature;
      exchanges.get(protocol)?.waitForSignature(
        async ({ isFirst, gone }) => {
          const asked = { algorithm: name, method: exchange.negotiated.kex, isFirst, hashed, gone };
          const answer = await hostKeys.sign?.(asked);
          if (answer !== undefined) signed.set(exchange, answer);
        },
        () => void exchange.finish(),
      );
      return undefined;
    },
  };
}
