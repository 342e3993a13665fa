import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { buildLinkIdentity, controlProtocol, laneProtocol, requirePeer } from '#shared/link/link-tls.ts';
import { mainKey } from '#test/harness/tls-link.ts';

const certificate = new X509Certificate(buildLinkIdentity(mainKey.privateKeyPem, 'main1').certificatePem);
const expected = {
  fingerprints: [fingerprintOf(certificate.publicKey)],
  protocols: [controlProtocol],
} as const;
const firstMs = certificate.validFromDate.getTime();
const lastMs = certificate.validToDate.getTime();

function require(atMs: number, change: object = {}): string {
  const socket = {
    getPeerX509Certificate: () => certificate,
    getProtocol: () => 'TLSv1.3',
    isSessionReused: () => false,
    alpnProtocol: controlProtocol,
    ...change,
  } as unknown as TLSSocket;
  return requirePeer(socket, expected, { now: () => atMs, monotonic: () => atMs });
}

describe('S-10: the pinned key alone is not enough: a peer', () => {
  it('shows a certificate that is valid now, from its first to its last moment', () => {
    expect(require(firstMs)).toBe(controlProtocol);
    expect(require(lastMs)).toBe(controlProtocol);
    expect(() => require(firstMs - 1)).toThrow('not who it should be');
    expect(() => require(lastMs + 1)).toThrow('not who it should be');
  });

  const refused: [string, object][] = [
    ['shows one at all', { getPeerX509Certificate: () => undefined }],
    ['speaks TLS 1.3', { getProtocol: () => 'TLSv1.2' }],
    ['has a session of its own', { isSessionReused: () => true }],
    ['names the protocol that is expected here', { alpnProtocol: laneProtocol }],
    ['names a protocol', { alpnProtocol: false }],
  ];
  for (const [rule, change] of refused)
    it(`is refused unless it ${rule}`, () => {
      expect(() => require(firstMs, change)).toThrow('not who it should be');
    });
});
