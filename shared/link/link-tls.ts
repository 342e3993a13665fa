/**
 * TLS of the link, the same rules on both ends (S-10, D-09): version 1.3, both sides with a certificate, the peer known
 * by its public key, the protocol named by ALPN (RFC 7301), no session reuse. Checked before the first byte of anything
 * inside.
 *
 * Certificate authorities play no part: `rejectUnauthorized` is off because a chain would prove nothing, and
 * `requirePeer` refuses everybody but the pinned key instead. No socket of the link may be used before it.
 *
 * Trust: the peer's certificate is parsed by OpenSSL; its dates and key are read from there.
 */
import { constants } from 'node:crypto';
import { connect, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { buildIdentityCertificate } from '#shared/identity/certificate.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import type { Secret } from '#shared/secret.ts';
import type { ReadBuffer } from './socket-transport.ts';

export const controlProtocol = 'sallyport-link/1';
export const laneProtocol = 'sallyport-data/1';
type LinkProtocol = typeof controlProtocol | typeof laneProtocol;

/** RFC 5705; assertions are bound to its value. */
const exporterLabel = 'EXPORTER-sallyport-link-v1';
const exporterBytes = 32;
/** In TLS 1.3 the same as none (RFC 8446 §7.5). */
const noContext = Buffer.alloc(0);

export interface LinkIdentity {
  readonly certificatePem: string;
  readonly privateKeyPem: Secret;
}

export function buildLinkIdentity(privateKeyPem: Secret, name: string): LinkIdentity {
  return { certificatePem: buildIdentityCertificate(privateKeyPem, name), privateKeyPem };
}

function commonOptions(identity: LinkIdentity) {
  return {
    cert: identity.certificatePem,
    key: identity.privateKeyPem.expose(),
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    // AES-128-GCM first: fastest with AES instructions, and no weaker where it counts.
    ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
    ecdhCurve: 'X25519MLKEM768:X25519',
    secureOptions: constants.SSL_OP_NO_TICKET,
    rejectUnauthorized: false,
  } as const;
}

/** For the accepting end. */
export function acceptOptions(identity: LinkIdentity, handshakeTimeoutMs: number): TlsOptions {
  return {
    ...commonOptions(identity),
    requestCert: true,
    ALPNProtocols: [controlProtocol, laneProtocol],
    handshakeTimeout: handshakeTimeoutMs,
  };
}

/** Throws unless the peer of a finished handshake holds the pinned key (one of two while keys are rotated) and all else is as it must be. */
export function requirePeer(
  socket: TLSSocket,
  expected: {
    readonly fingerprints: readonly string[];
    readonly protocols: readonly LinkProtocol[];
    /** For the admin of this end, where the peer has another key. */
    readonly cure?: string;
  },
  clock: Clock,
): LinkProtocol {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw refuse('the peer showed no certificate');
  const fingerprint = fingerprintOf(certificate.publicKey);
  if (!expected.fingerprints.includes(fingerprint))
    throw refuse(`the peer's key is ${fingerprint}`, expected.cure);
  const now = clock.now();
  if (certificate.validFromDate.getTime() > now || certificate.validToDate.getTime() < now)
    throw refuse("the peer's certificate is out of date");
  if (socket.getProtocol() !== 'TLSv1.3') throw refuse(`the peer speaks ${String(socket.getProtocol())}`);
  if (socket.isSessionReused()) throw refuse('the TLS session was used before');
  const protocol = expected.protocols.find((name) => name === socket.alpnProtocol);
  if (protocol === undefined) throw refuse(`the peer chose the protocol ${String(socket.alpnProtocol)}`);
  return protocol;
}

/** The value that ties an assertion to this very connection, base64url. */
export function exporterOf(socket: TLSSocket): string {
  return socket.exportKeyingMaterial(exporterBytes, exporterLabel, noContext).toString('base64url');
}

interface DialOptions {
  readonly host: string;
  readonly port: number;
  readonly protocol: LinkProtocol;
  readonly identity: LinkIdentity;
  /** The peer's key; two while keys are rotated. */
  readonly fingerprints: readonly string[];
  readonly timeoutMs: number;
  /** For the admin, where the peer has another key. */
  readonly cure?: string;
  readonly clock: Clock;
  /** For lanes: reads go to one buffer. */
  readonly readBuffer?: ReadBuffer;
}

/** Dials and proves the peer. Rejects `link-down` when it can't be reached, `protocol-violation` when it is not it. */
export function dialPeer(options: DialOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...commonOptions(options.identity),
      host: options.host,
      port: options.port,
      ALPNProtocols: [options.protocol],
      // Names prove nothing here; the key does.
      checkServerIdentity: () => undefined,
      ...(options.readBuffer !== undefined && { onread: options.readBuffer.onread }),
    });
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error instanceof SallyportError ? error : unreachable(error));
    };
    const timer = setTimeout(() => fail(new Error('no answer in time')), options.timeoutMs);
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('closed during the handshake')));
    socket.once('secureConnect', () => {
      try {
        requirePeer(
          socket,
          {
            fingerprints: options.fingerprints,
            protocols: [options.protocol],
            ...(options.cure !== undefined && { cure: options.cure }),
          },
          options.clock,
        );
      } catch (error) {
        fail(error);
        return;
      }
      clearTimeout(timer);
      socket.removeAllListeners('close');
      socket.off('error', fail);
      // Whoever takes the socket adds its own; until then an error must not be nobody's.
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

function unreachable(cause: unknown): SallyportError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new SallyportError('link-down', 'The node can not be reached', { detail, cause });
}

function refuse(
  detail: string,
  hint = 'compare the fingerprints of both nodes with `sallyport doctor`',
): SallyportError {
  return new SallyportError('protocol-violation', 'The peer is not who it should be', { detail, hint });
}
