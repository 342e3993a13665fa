/**
 * A certificate authority that lives as long as this object: for the demo and for tests, whose public listener needs a
 * certificate that a browser or curl can be told to trust. Its key is never written anywhere.
 */
import { generateKeyPairSync, randomUUID, type KeyPairKeyObjectResult } from 'node:crypto';
import { Secret } from '#shared/secret.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  buildCertificate,
  keyUsage,
  serverAuthentication,
  subjectAlternativeNames,
  subjectKeyIdentifier,
} from './certificate.ts';

/** Longest life browsers accept for a server certificate. */
const lifeMs = 397 * 24 * 60 * 60 * 1000;
/** A client whose clock is a little behind must not find it "not yet valid". */
const backdateMs = 60 * 60 * 1000;

interface ThrowAwayAuthority {
  /** For the client's trust store. */
  readonly certificatePem: string;
  /** Names and IP addresses the server is reached by; default `localhost`, `127.0.0.1`, `::1`. */
  issueServerCertificate(names?: readonly string[]): {
    readonly certificatePem: string;
    readonly privateKeyPem: Secret;
  };
}

export function createThrowAwayAuthority(nowMs: number): ThrowAwayAuthority {
  const keys = generatePair();
  const life = {
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs - backdateMs + lifeMs),
  };
  // A name of its own each time: a browser that remembers an older one must not mix them up.
  const issuer = `Sallyport throw-away authority ${randomUUID().slice(0, 8)}`;
  return {
    certificatePem: buildCertificate({
      ...life,
      subject: issuer,
      issuer,
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      extensions: [
        basicConstraints(true),
        keyUsage('sign certificates'),
        subjectKeyIdentifier(keys.publicKey),
      ],
    }),
    issueServerCertificate: (names = ['localhost', '127.0.0.1', '::1']) => {
      const server = generatePair();
      return {
        certificatePem: buildCertificate({
          ...life,
          subject: names[0] ?? 'server',
          issuer,
          publicKey: server.publicKey,
          signingKey: keys.privateKey,
          extensions: [
            basicConstraints(false),
            keyUsage('sign handshakes'),
            serverAuthentication(),
            subjectAlternativeNames(names),
            authorityKeyIdentifier(keys.publicKey),
          ],
        }),
        privateKeyPem: new Secret(server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
      };
    },
  };
}

/** P-256: browsers refuse Ed25519 in certificates. */
function generatePair(): KeyPairKeyObjectResult {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}
