import { RecordLayer } from '#dmz/sftp/record-layer/record-layer.ts';
import { type AlgorithmProfile, fullOffer } from '#dmz/sftp/transport/algorithms.ts';
import { loadSsh2, type Ssh2Modules } from '#dmz/sftp/transport/ssh2-modules.ts';
import type { AlgorithmOffer, Ssh2HostKey, Ssh2Protocol } from '#dmz/sftp/ssh2-shapes.ts';

/** Who answers when ssh2 asks about a connection's first key exchange. */
export interface FirstExchange {
  /** True: our KEXINIT waits for the client's. */
  holdsKexInit(): boolean;
  onClientKexInit(payload: Buffer): void;
  /** It is over: the first keys are in use. */
  isOver(): boolean;
}

/** Everything the connections of one server share. */
export interface TransportSetup {
  readonly modules: Ssh2Modules;
  readonly hostKeys: Readonly<Record<string, Ssh2HostKey>>;
  readonly offer: AlgorithmOffer;
  readonly exchanges: WeakMap<Ssh2Protocol, FirstExchange>;
}

/** Throws `config` for a host key that can't be read, or an ssh2 that the patches don't fit. */
export async function buildTransportSetup(
  hostKeysPem: readonly Buffer[],
  profile: AlgorithmProfile,
): Promise<TransportSetup> {
  const exchanges = new WeakMap<Ssh2Protocol, FirstExchange>();
  const records = new RecordLayer();
  const modules = await loadSsh2({
    createCipher: (config) => records.writer(config),
    createDecipher: (config) => records.reader(config),
    holdsKexInit: (protocol) => exchanges.get(protocol)?.holdsKexInit() ?? false,
    onClientKexInit: (protocol, payload) => exchanges.get(protocol)?.onClientKexInit(payload),
    hasKeys: (protocol) => exchanges.get(protocol)?.isOver() ?? false,
  });
  const hostKeys: Record<string, Ssh2HostKey> = {};
  for (const pem of hostKeysPem) {
    const key = modules.parseHostKey(pem);
    const names = key.type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [key.type];
    for (const name of names) hostKeys[name] ??= key;
  }
  const types = [...new Set(Object.values(hostKeys).map((key) => key.type))];
  return { modules, hostKeys, offer: fullOffer(profile, types), exchanges };
}
