import { constants } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import type { Secret } from '#shared/secret.ts';
import { handshakeTimeoutMs } from './limits.ts';

/** What the door speaks below HTTP. `compat` adds TLS 1.2 with forward secrecy and AEAD only. */
export type TlsProfile = 'strict' | 'compat';

export interface Certificate {
  readonly certificatePem: string;
  readonly keyPem: Secret;
}

const suites13 = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
const suites12 =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';

/** Undefined: main has not given one yet, and every handshake fails. */
export function tlsOptions(profile: TlsProfile, certificate: Certificate | undefined): TlsOptions {
  return {
    ...(certificate !== undefined && { cert: certificate.certificatePem, key: certificate.keyPem.expose() }),
    minVersion: profile === 'strict' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: profile === 'strict' ? suites13 : `${suites13}:${suites12}`,
    // The hybrid first: what is recorded today stays closed to a quantum computer.
    ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384',
    honorCipherOrder: true,
    // curl -0 and old clients offer HTTP/1.0 alone; without it here they would be told nothing but a TLS alert.
    ALPNProtocols: ['http/1.1', 'http/1.0'],
    handshakeTimeout: handshakeTimeoutMs,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
  };
}
