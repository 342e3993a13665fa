/**
 * What the objects of ssh2 1.17.0 look like, as far as they are used. The names are ssh2's own.
 */

/** Negotiated algorithms of one key exchange; cs = from the client. */
export interface Negotiated {
  readonly kex: string;
  readonly serverHostKey: string;
  readonly cs: { readonly cipher: string };
  readonly sc: { readonly cipher: string };
}

export interface AlgorithmOffer {
  readonly kex: readonly string[];
  readonly serverHostKey: readonly string[];
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
}

/** What `createCipher` and `createDecipher` are given: one direction of one key exchange. */
export interface CipherInfo {
  readonly sslName: string;
  readonly blockLen: number;
  readonly keyLen: number;
  readonly ivLen: number;
  readonly authLen: number;
}
export interface MacInfo {
  readonly sslName: string;
  readonly len: number;
  readonly actualLen: number;
  readonly isETM: boolean;
}
export interface OutboundConfig {
  readonly onWrite: (bytes: Buffer) => void;
  readonly seqno: number;
  readonly cipherInfo: CipherInfo;
  readonly cipherIV: Buffer;
  readonly cipherKey: Buffer;
  readonly macInfo?: MacInfo;
  readonly macKey?: Buffer;
}
export interface InboundConfig {
  /** `false` and numbers come back from ssh2's own handlers: stop here, hand the rest to another decipher. */
  readonly onPayload: (payload: Buffer) => number | false | undefined;
  readonly seqno: number;
  readonly decipherInfo: CipherInfo;
  readonly decipherIV: Buffer;
  readonly decipherKey: Buffer;
  readonly macInfo?: MacInfo;
  readonly macKey?: Buffer;
}
/** The names ssh2 itself uses on these objects. */
export interface OutboundCipher {
  outSeqno: number;
  allocPacket(payloadLength: number): Buffer;
  encrypt(packet: Buffer): void;
  free(): void;
}
export interface InboundCipher {
  inSeqno: number;
  _onPayload?: (payload: Buffer) => number | false | undefined;
  decrypt(data: Buffer, position: number, end: number): number | undefined;
  free(): void;
}

/** ssh2's Protocol, as far as `packet-protocol.ts` uses it; the names are ssh2's. */
export interface Ssh2Protocol {
  start: (() => void) | undefined;
  parse(chunk: Buffer, position: number, end: number): void;
  cleanup(): void;
  rekey(): void;
  _offer: unknown;
  _kex: Ssh2Exchange | undefined;
  _kexinit: Buffer | undefined;
  _strictMode: boolean | undefined;
  _skipNextInboundPacket: boolean;
  _queue: Buffer[] | undefined;
  _server: boolean;
  _cipher: OutboundCipher;
  _decipher: InboundCipher | undefined;
  _onPayload: (payload: Buffer) => number | false | undefined;
  _onHandshakeComplete: (negotiated: Negotiated) => void;
  _packetRW: {
    write: {
      allocStart: number;
      allocStartKEX: number;
      alloc(length: number, force?: boolean): Buffer;
      finalize(packet: Buffer, force?: boolean): Buffer;
    };
  };
}

export interface Ssh2ProtocolConfig {
  readonly server: true;
  readonly hostKeys: Readonly<Record<string, unknown>>;
  readonly ident: string;
  readonly offer: unknown;
  readonly onWrite: (bytes: Buffer) => void;
  readonly onError: (error: Error) => void;
  readonly onHeader: () => void;
  readonly messageHandlers: Readonly<Record<string, (...args: never[]) => void>>;
}

/** One key exchange. */
export interface Ssh2Exchange {
  sessionID?: Buffer;
  negotiated: Negotiated;
  remoteExtInfoEnabled: boolean;
  /** Sends the reply, once there is a signature for it. */
  finish(): unknown;
}

/** What is hashed in a key exchange (RFC 4253 §8, RFC 5656 §4), in its order, each as the content of a string. */
export interface HashedExchange {
  readonly clientVersion: Buffer;
  readonly serverVersion: Buffer;
  readonly clientKexInit: Buffer;
  readonly serverKexInit: Buffer;
  readonly hostKey: Buffer;
  readonly clientShare: Buffer;
  readonly serverShare: Buffer;
  readonly secret: Buffer;
}

/** What patch 5 hands over. */
interface SigningContext {
  readonly protocol: Ssh2Protocol;
  readonly exchange: Ssh2Exchange;
  readonly hashed: HashedExchange;
}

/** What ssh2 asks of a host key. Undefined: the signature comes later, and `finish` is called then. */
export interface Ssh2Signer {
  /** Of ECDSA keys ssh2 turns what `sign` gives from DER into SSH's form. */
  readonly type: string;
  getPublicSSH(): Buffer;
  sign(hash: Buffer, digest: string | undefined, context: SigningContext): Buffer | Error | undefined;
}

export interface Ssh2HostKey extends Ssh2Signer {
  getPrivatePEM(): string | null;
}
