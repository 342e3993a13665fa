import { describe, expect, it } from 'vitest';
import {
  blindOffer,
  fitOffer,
  fullOffer,
  readClientLists,
  sharesOnlyUnsafe,
} from '#dmz/sftp/transport/algorithms.ts';
import { MalformedMessage, WireWriter } from '#dmz/sftp/wire.ts';

const chacha = 'chacha20-poly1305@openssh.com';
const openssh9 = [
  chacha,
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
];
const client = (cipher: readonly string[], isStrict = true) => ({
  kex: ['curve25519-sha256', ...(isStrict ? ['kex-strict-c-v00@openssh.com'] : [])],
  cipherIn: cipher,
  cipherOut: cipher,
});

describe('what is offered', () => {
  it.each(['strict', 'compat'] as const)(
    '%s has nothing weak: no SHA-1, CBC, small groups, compression',
    (profile) => {
      const { kex, cipher, mac, serverHostKey } = fullOffer(profile, ['ssh-ed25519', 'ssh-rsa']);
      const all = [...kex, ...cipher, ...mac, ...serverHostKey].join(' ');
      expect(all).not.toMatch(/sha1|cbc|md5|arcfour|group|dss|3des|zlib|(^| )ssh-rsa/);
      expect(kex[0]).toBe('mlkem768x25519-sha256');
      expect(serverHostKey).toEqual(['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256']);
    },
  );

  it('strict offers encrypt-then-MAC only', () => {
    expect(fullOffer('strict', []).mac.every((mac) => mac.includes('-etm@'))).toBe(true);
  });

  it('a client that has GCM is offered GCM alone, whatever it prefers', () => {
    const offer = fitOffer(fullOffer('strict', []), client(openssh9));
    expect(offer.cipher).toEqual(['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com']);
  });

  it('ChaCha20 is offered with strict key exchange only (CVE-2023-48795)', () => {
    const full = fullOffer('strict', []);
    expect(fitOffer(full, client([chacha])).cipher).toEqual([chacha]);
    expect(fitOffer(full, client([chacha, 'aes256-ctr'], false)).cipher).toEqual(['aes256-ctr']);
    expect(fitOffer(full, client([chacha], false)).cipher).not.toContain(chacha);
    expect(blindOffer(full).cipher).not.toContain(chacha);
    expect(sharesOnlyUnsafe(full, client([chacha], false))).toBe(true);
    expect(sharesOnlyUnsafe(full, client([chacha]))).toBe(false);
    expect(sharesOnlyUnsafe(full, client([chacha, 'aes256-ctr'], false))).toBe(false);
  });

  it('shows a client that shares nothing what it could have had', () => {
    expect(fitOffer(fullOffer('strict', []), client(['3des-cbc'])).cipher).toEqual([
      'aes128-gcm@openssh.com',
      'aes256-gcm@openssh.com',
      'aes256-ctr',
    ]);
  });

  it('a KEXINIT that is cut short is malformed', () => {
    const whole = new WireWriter().raw(Buffer.alloc(17)).string('a').string('b').string('c,d').string('e');
    const bytes = whole.finish();
    expect(readClientLists(bytes)).toEqual({ kex: ['a'], cipherIn: ['c', 'd'], cipherOut: ['e'] });
    for (let length = 0; length < bytes.length; length++)
      expect(() => readClientLists(bytes.subarray(0, length))).toThrow(MalformedMessage);
  });
});
