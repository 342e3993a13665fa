import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Sealer } from '#main-agent/vault/process/sealing.ts';
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
    const otherVersion = sealed.replace('v1', 'v2');
    for (const junk of ['', 'sealed:v1:', 'sealed:v2:AAAA', 'sealed:v1:AAAA', otherVersion])
      expect(() => sealer.open(junk, 'alice', 'id1')).toThrow('can not be opened');
  });

  it('nothing at all is no secret', () => {
    const sealed = sealer.seal(new Secret(Buffer.alloc(0)), 'alice', 'id1');
    expect(() => sealer.open(sealed, 'alice', 'id1')).toThrow('can not be opened');
    const one = sealer.seal(new Secret(Buffer.from([7])), 'alice', 'id1');
    expect(sealer.open(one, 'alice', 'id1').expose()).toEqual(Buffer.from([7]));
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

describe('the place of a name', () => {
  const names = Array.from({ length: 400 }, (_, index) => `user${index}`);

  it('is spread over all of 0 to 1, the same each time, and another under another key', () => {
    const places = names.map((name) => sealer.placeOf(name));
    for (const quarter of [0, 0.25, 0.5, 0.75]) {
      const inside = places.filter((place) => place >= quarter && place < quarter + 0.25);
      expect(inside.length).toBeGreaterThan(50);
    }
    expect(new Set(places.map((place) => Math.floor(place * 4)))).toEqual(new Set([0, 1, 2, 3]));
    expect(names.map((name) => new Sealer(key, randomBytes).placeOf(name))).toEqual(places);
    const other = new Sealer(new Secret(randomBytes(32)), randomBytes);
    expect(other.placeOf('user0')).not.toBe(places[0]);
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

  it('grow within one millisecond too, whatever chance says', () => {
    const nowMs = Date.UTC(2026, 10, 24);
    const high = makeUlid(nowMs, (size) => Buffer.alloc(size, 0xff));
    const next = makeUlid(nowMs, (size) => Buffer.alloc(size), high);
    expect(next > high).toBe(true);
    expect(timeOf(next)).toBe(nowMs + 1);
    expect(timeOf(makeUlid(nowMs + 2, randomBytes, high))).toBe(nowMs + 2);
  });

  it('take the time 0 as any other, and no sign of another alphabet for one less than nothing', () => {
    expect(makeUlid(0, (size) => Buffer.alloc(size))).toBe('0'.repeat(26));
    expect(timeOf('!'.repeat(26))).toBe(0);
  });
});
