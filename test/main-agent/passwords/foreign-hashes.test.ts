import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Passwords } from '#main-agent/passwords/password.ts';
import { countCosts, DecoyHashes } from '#main-agent/vault/process/decoy-hashes.ts';
import { shaCrypt } from '#main-agent/vault/process/sha-crypt.ts';
import { formatPhc, parsePhc } from '#main-agent/users/phc.ts';
import { readForeignHash } from '#main-agent/users/foreign-hash.ts';
import { systemClock } from '#shared/clock.ts';
import { Secret } from '#shared/secret.ts';
import { playedBook, playVault } from '#test/harness/played-vault.ts';
import { refusal } from '../login/rig.ts';

const source = { node: 'dmz1', clientIp: '203.0.113.9', known: false };
const passwords = new Passwords({
  ask: playVault().ask,
  minimumLength: 12,
  clock: systemClock,
});

const run = (program: string, options: readonly string[], input = ''): string =>
  execFileSync(program, options, { encoding: 'utf8', input }).trim();

const passlib = (hasher: string, password: string, options = ''): string =>
  run('/usr/bin/python3', [
    '-c',
    `import sys; from passlib.hash import ${hasher} as h; print(h.using(${options}).hash(sys.argv[1]))`,
    password,
  ]);

/** Not ASCII, so that the encoding counts. */
const old = 'Frühling in Ürümqi 7';

/** Each by a program of somebody else, as cheap as it makes them. */
const made: Readonly<Record<string, () => string>> = {
  'bcrypt of mkpasswd': () => run('/usr/bin/mkpasswd', ['-m', 'bcrypt', '-R', '4', old]),
  'bcrypt $2a$ of mkpasswd': () => run('/usr/bin/mkpasswd', ['-m', 'bcrypt-a', '-R', '4', old]),
  'bcrypt $2y$ of htpasswd': () => run('/usr/bin/htpasswd', ['-nbB', '-C', '4', 'x', old]).slice(2),
  'SHA-512-crypt of mkpasswd': () => run('/usr/bin/mkpasswd', ['-m', 'sha512crypt', old]),
  'SHA-256-crypt of mkpasswd': () => run('/usr/bin/mkpasswd', ['-m', 'sha256crypt', '-R', '1000', old]),
  'SHA-512-crypt of htpasswd': () => run('/usr/bin/htpasswd', ['-nb5', '-r', '1234', 'x', old]).slice(2),
  'SHA-512-crypt of openssl': () => run('/usr/bin/openssl', ['passwd', '-6', '-salt', 'short', old]),
  'PBKDF2 with SHA-256 of passlib': () => passlib('pbkdf2_sha256', old, 'rounds=29'),
  'PBKDF2 with SHA-512 of passlib': () => passlib('pbkdf2_sha512', old, 'rounds=25'),
  'PBKDF2 with SHA-1 of passlib': () => passlib('pbkdf2_sha1', old, 'rounds=30'),
  'PBKDF2 of Django': () => passlib('django_pbkdf2_sha256', old, 'rounds=30'),
};

/** What a file would have in it. */
const hashOf = (name: Secret | undefined): string => playedBook.find(name?.expose() ?? '') ?? '';

describe('a hash of another system', () => {
  it.each(Object.entries(made))('%s is wrapped in argon2id, and its password is right', async (_, make) => {
    const foreign = make();
    expect(await passwords.findProblem(new Secret(foreign))).toBeUndefined();
    const stored = await passwords.takeOver(new Secret(foreign));
    expect(hashOf(stored)).toMatch(/^\$argon2id-over\$.*\$v=19\$m=19456,t=2,p=1\$/);
    const tag = foreign.split('$').at(-1)?.replaceAll('.', '+') ?? '';
    expect(hashOf(stored), 'who reads the file can not go on with the old tag').not.toContain(tag);
    expect(await passwords.verify(new Secret(old), 'alice', stored, source)).toBe(true);
    expect(await passwords.verify(new Secret(`${old}8`), 'alice', stored, source)).toBe(false);
    const renewed = await passwords.renew(new Secret(old), stored);
    expect(hashOf(renewed)).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await passwords.verify(new Secret(old), 'alice', renewed, source)).toBe(true);
  });

  it('argon2 is wrapped, too, unless it is argon2id that costs at least what ours does', async () => {
    const good = hashOf(await passwords.hash(new Secret('correct horse battery'), 'bob'));
    expect(hashOf(await passwords.takeOver(new Secret(good)))).toBe(good);
    const cheap = good.replace('m=19456', 'm=19455');
    expect(hashOf(await passwords.takeOver(new Secret(cheap)))).toMatch(
      /^\$argon2id-over\$argon2id\$m=19455,t=2,p=1,l=32\$/,
    );
    expect(hashOf(await passwords.takeOver(new Secret(good.replace('argon2id', 'argon2i'))))).toMatch(
      /^\$argon2id-over\$argon2i\$/,
    );
  });

  it.each([
    ['$y$j9T$abc$def', 'yescrypt'],
    ['$1$abcdefgh$0123456789012345678901', 'MD5-crypt'],
    ['$apr1$abcdefgh$0123456789012345678901', 'MD5-crypt'],
    ['{SSHA}0123456789abcdef', 'a single round of SHA'],
    ['5f4dcc3b5aa765d61d8327deb882cf99', 'a bare digest'],
    ['!', 'a locked password'],
    [`$2b$15$${'a'.repeat(53)}`, '4 to 14'],
    [`$2b$03$${'a'.repeat(53)}`, '4 to 14'],
    [`$6$rounds=1000001$salt$${'a'.repeat(86)}`, '1000 to 1000000'],
    [`$6$rounds=999$salt$${'a'.repeat(86)}`, '1000 to 1000000'],
    [`pbkdf2_sha256$2000001$salt$${'a'.repeat(43)}=`, '1 to 2000000'],
    [`pbkdf2_sha256$2000$salt$${'a'.repeat(86)}`, '16 to 32'],
    ['hunter2', 'none of bcrypt'],
  ])('%s is not taken, in words that say why and not what', async (text, why) => {
    const { publicMessage, detail = '' } = await refusal(passwords.takeOver(new Secret(text)));
    expect(publicMessage).toContain(why);
    expect(publicMessage + detail).not.toContain(text.length > 1 ? text : '!!');
    expect(await passwords.findProblem(new Secret(text))).toContain(why);
  });

  it('is read at the most rounds that are taken', () => {
    for (const text of [
      `$2b$14$${'a'.repeat(53)}`,
      `$6$rounds=1000000$salt$${'a'.repeat(86)}`,
      `pbkdf2_sha256$2000000$salt$${'a'.repeat(43)}=`,
    ])
      expect(readForeignHash(text)).toHaveProperty('hash');
  });

  it('is told from nothing by a file that was written wrong', () => {
    const good = `$argon2id-over$bcrypt$r=10$${'A'.repeat(22)}$v=19$m=8,t=1,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;
    const parsed = parsePhc(good);
    expect(parsed?.over?.scheme).toEqual({ kind: 'bcrypt', rounds: 10 });
    expect(parsed === undefined ? '' : formatPhc(parsed)).toBe(good);
    for (const wrong of ['r=15', 'r=3', 'r=10,l=16', 'l=16', 'm=8,t=1,p=1,l=32'])
      expect(parsePhc(good.replace('r=10', wrong)), wrong).toBeUndefined();
    expect(parsePhc(good.replace('bcrypt', 'rot13'))).toBeUndefined();
    expect(parsePhc(good.replace('bcrypt', 'argon2i').replace('r=10', 'm=7,t=1,p=1,l=32'))).toBeUndefined();
    expect(parsePhc(good.replace('bcrypt', 'argon2i').replace('r=10', 'm=8,t=1,p=1,l=32'))).toBeDefined();
  });
});

describe('SHA-crypt', () => {
  it.each([
    ['sha256', 'Hello world!', 'saltstring', 5000, '5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5'],
    ['sha256', 'Hello world!', 'saltstringsaltst', 10_000, '3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA'],
    [
      'sha256',
      'a very much longer text to encrypt.  This one even stretches over morethan one line.',
      'anotherlongsalts',
      1400,
      'Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1',
    ],
    [
      'sha512',
      'Hello world!',
      'saltstring',
      5000,
      'svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1',
    ],
    [
      'sha512',
      'the minimum number is still observed',
      'roundstoolow',
      1000,
      'kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX.',
    ],
  ] as const)('comes to what its specification says: %s of %j', (digest, password, salt, rounds, tag) => {
    expect(shaCrypt(digest, { password: Buffer.from(password), salt: Buffer.from(salt), rounds })).toBe(tag);
  });

  it('comes to what mkpasswd says for passwords of every length', () => {
    for (const length of [1, 31, 32, 33, 63, 64, 65, 129]) {
      const password = 'x'.repeat(length);
      for (const [digest, method] of [
        ['sha256', 'sha256crypt'],
        ['sha512', 'sha512crypt'],
      ] as const) {
        const theirs = run('/usr/bin/mkpasswd', [
          '-m',
          method,
          '-R',
          '1000',
          '-S',
          'sixteencharsalt.',
          password,
        ]);
        const own = shaCrypt(digest, {
          password: Buffer.from(password),
          salt: Buffer.from('sixteencharsalt.'),
          rounds: 1000,
        });
        expect(own, `${digest} of ${length}`).toBe(theirs.split('$').at(-1));
      }
    }
  });
});

describe('what is compared with where there is nothing', () => {
  it('S-07: costs what wrapped hashes cost as often as users have them', async () => {
    const decoys = new DecoyHashes({
      random: randomBytes,
      placeOf: (name) => (name === 'first' ? 0 : 0.999),
      ownCost: 'm=19456,t=2,p=1',
    });
    const wrapped = await passwords.takeOver(
      new Secret(run('/usr/bin/mkpasswd', ['-m', 'sha512crypt', old])),
    );
    const plain = await passwords.hash(new Secret('correct horse battery'), 'bob');
    decoys.imitate(countCosts([plain, wrapped]));
    const schemes = ['first', 'last'].map(
      (name) => parsePhc(decoys.forName(name).expose())?.over?.scheme.kind,
    );
    expect(new Set(schemes)).toEqual(new Set(['sha512-crypt', undefined]));
    const decoy = [decoys.forName('first'), decoys.forName('last')].find((one) =>
      one.expose().includes('over'),
    );
    const [ours, theirs] = [decoy?.expose(), hashOf(wrapped)].map((one) => parsePhc(one ?? '')?.over?.salt);
    expect(ours).toHaveLength(16);
    expect(ours, 'two users with hashes of one kind are one cost').not.toEqual(theirs);
  });
});
