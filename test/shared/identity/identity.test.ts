import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { createServer, connect } from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { buildIdentityCertificate } from '#shared/identity/certificate.ts';
import { fingerprintOf, requireFingerprint } from '#shared/identity/fingerprint.ts';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { Secret } from '#shared/secret.ts';

describe('identity keys', () => {
  it('are Ed25519, come back from their PEM, and are named by their public half', () => {
    const { privateKeyPem, fingerprint } = generateIdentityKey();
    expect(fingerprint).toMatch(/^SHA256:[A-Za-z0-9_-]{43}$/);
    expect(requireFingerprint(fingerprint)).toBe(fingerprint);
    expect(parseIdentityKey(privateKeyPem).fingerprint).toBe(fingerprint);
    expect(createPrivateKey(privateKeyPem.expose()).asymmetricKeyType).toBe('ed25519');
  });

  it('S-11: a bad key file is refused without a byte of it in the error', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    for (const bad of [pem, 'not a key: hunter2', '']) {
      expect(() => parseIdentityKey(new Secret(bad))).toThrow(expect.objectContaining({ code: 'config' }));
      expect(() => parseIdentityKey(new Secret(bad))).not.toThrow(/hunter2/);
    }
  });

  it('refuses what is no fingerprint', () => {
    for (const text of [
      '',
      'SHA256:',
      `SHA256:${'a'.repeat(42)}`,
      `SHA256:${'a'.repeat(44)}`,
      `MD5:${'a'.repeat(43)}`,
    ])
      expect(() => requireFingerprint(text)).toThrow(expect.objectContaining({ code: 'pairing' }));
  });
});

describe('identity certificates', () => {
  it('carry the very key, are signed by it, and last', () => {
    const { privateKeyPem, fingerprint } = generateIdentityKey();
    const certificate = new X509Certificate(buildIdentityCertificate(privateKeyPem, 'dmz1'));
    expect(fingerprintOf(certificate.publicKey)).toBe(fingerprint);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).toBe('CN=dmz1');
    expect(certificate.validToDate.getUTCFullYear()).toBe(9999);
  });
});

describe('the throw-away authority', () => {
  it('issues a certificate that a strict TLS client accepts for localhost', async () => {
    const authority = createThrowAwayAuthority(Date.now());
    const { certificatePem, privateKeyPem } = authority.issueServerCertificate();
    const server = createServer({ cert: certificatePem, key: privateKeyPem.expose() }, (socket) =>
      socket.end(),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: authority.certificatePem,
    });
    await once(client, 'secureConnect');
    expect(client.authorized).toBe(true);
    client.destroy();
    server.close();
  });
});
