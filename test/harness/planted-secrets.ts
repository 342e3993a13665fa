import { hkdfSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeBase32 } from '#main-agent/two-factor/base32.ts';
import type { Site } from '#scripts/demonstration/site.ts';
import { type Canary, spellings } from './canaries.ts';

/**
 * What the vault has and main's process must not hold, in every spelling in which it could: the vault key, the secrets
 * of authenticators that were there at the start, and all password hashes that the users' files hold now.
 */
export function listPlanted({ users, files }: Pick<Site, 'users' | 'files'>): Canary[] {
  const key = readFileSync(files.main.vaultKey);
  const planted = [
    ...spellings('the vault key', key),
    ...spellings('the key that seals', deriveSealKey(key)),
  ];
  for (const [name, { totpSecret }] of Object.entries(users)) {
    if (totpSecret === undefined) continue;
    planted.push([`${name}'s code seed in base32`, totpSecret]);
    planted.push(...spellings(`${name}'s code seed`, decodeBase32(totpSecret) ?? Buffer.alloc(0)));
  }
  for (const file of readdirSync(files.main.users, { recursive: true, encoding: 'utf8' }))
    if (file.endsWith('.yaml'))
      planted.push(...listHashes(file, readFileSync(join(files.main.users, file), 'utf8')));
  return planted;
}

/** What opens each sealed secret, as the vault makes it of its key. */
function deriveSealKey(key: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', 'sallyport seal v1', 32));
}

/** All hashes of a text, by the parts that make one of them guessable: each is as good as the whole. */
export function listHashes(name: string, text: string): Canary[] {
  return [...text.matchAll(/\$argon2[^\s"]*\$v=19\$[^\s"$]+\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)/g)].flatMap(
    ([, salt = '', tag = '']): Canary[] => [
      [`${name}: salt of a hash`, salt],
      [`${name}: tag of a hash`, tag],
      [`${name}: tag of a hash as octets`, Buffer.from(tag, 'base64').toString('latin1')],
    ],
  );
}
