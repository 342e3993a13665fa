import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Sealer } from '#main-agent/vault/sealing.ts';
import { makeUlid, timeOf } from '#main-agent/vault/ulid.ts';
import { Secret } from '#shared/secret.ts';

const key = new Secret(randomBytes(32));
const sealer = new Sealer(key, randomBytes);
const plain = new Secret(randomBytes(20));

describe('sealing', () => {
  it('S-02: opens for the same owner and id, and reads as nothing', () => {
    const sealed = sealer.seal(plain, 'alice', 'id1');
    expect(sealed).toMatch(/^sealed:v1:[A-Za-z0-9_-]+$/);
    expect(sealed).not.toContain(plain.expose().toString('base64url'));
    expect(sealer.open(sealed, 'alice', 'id1').expose()).toEqual(plain.expose());
    expect(sealer.seal(plain, 'alice', 'id1')).not.toBe(sealed);
  });

  it('refuses another owner, another id, another key, and any bit flipped', () => {
    const sealed = sealer.seal(plain, 'alice', 'id1');
    expect(() => sealer.open(sealed, 'bob', 'id1')).toThrow('can not be opened');
    expect(() => sealer.open(sealed, 'alice', 'id2')).toThrow('can not be opened');
    const other = new Sealer(new Secret(randomBytes(32)), randomBytes);
    expect(() => other.open(sealed, 'alice', 'id1')).toThrow('can not be opened');
    const octets = Buffer.from(sealed.slice('sealed:v1:'.length), 'base64url');
    for (let bit = 0; bit < octets.length * 8; bit += 1) {
      const flipped = Buffer.from(octets);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => sealer.open(`sealed:v1:${flipped.toString('base64url')}`, 'alice', 'id1')).toThrow(
        'can not be opened',
      );
    }
    for (const junk of ['', 'sealed:v1:', 'sealed:v2:AAAA', 'sealed:v1:AAAA'])
      expect(() => sealer.open(junk, 'alice', 'id1')).toThrow('can not be opened');
  });

  it('a key of another length is refused: a truncated file is not a weak key', () => {
    for (const bytes of [0, 31, 33])
      expect(() => new Sealer(new Secret(randomBytes(bytes)), randomBytes)).toThrow('vault key');
  });

  it('fingerprints differ by use, owner and id', () => {
    const code = new Secret('ABCDEFGHIJKLMNOP');
    const all = [
      sealer.fingerprint(code, 'recovery', 'alice', '1'),
      sealer.fingerprint(code, 'bypass', 'alice', '1'),
      sealer.fingerprint(code, 'recovery', 'bob', '1'),
      sealer.fingerprint(code, 'recovery', 'alice', '2'),
    ];
    expect(new Set(all).size).toBe(4);
    expect(sealer.fingerprint(code, 'recovery', 'alice', '1')).toBe(all[0]);
  });

  it('S-02: a fingerprint says nothing to who has not the vault key', () => {
    const code = new Secret('ABCDEFGHIJKLMNOP');
    const other = new Sealer(new Secret(randomBytes(32)), randomBytes);
    expect(other.fingerprint(code, 'recovery', 'alice', '1')).not.toBe(
      sealer.fingerprint(code, 'recovery', 'alice', '1'),
    );
  });
});

describe('enrolment ids', () => {
  it('grow with time, and past the newest even when the clock went back', () => {
    const nowMs = Date.UTC(2026, 10, 24);
    const first = makeUlid(nowMs, randomBytes);
    expect(first).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(timeOf(first)).toBe(nowMs);
    expect(makeUlid(nowMs + 1, randomBytes) > first).toBe(true);
    expect(makeUlid(nowMs - 3_600_000, randomBytes, first) > first).toBe(true);
  });
});
