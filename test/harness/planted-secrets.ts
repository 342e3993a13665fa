import { hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Site } from '#scripts/demonstration/site.ts';
import { type Canary, listCodeSeeds, readUserFiles, spellings } from './canaries.ts';

/**
 * What the vault has and main's process must not hold, in every spelling in which it could: the vault key, the secrets
 * of authenticators that were there at the start, and all password hashes that the users' files hold now.
 */
export function listPlanted(site: Pick<Site, 'users' | 'files'>): Canary[] {
  const key = readFileSync(site.files.main.vaultKey);
  return [
    ...spellings('the vault key', key),
    ...spellings('the key that seals', deriveSealKey(key)),
    ...listCodeSeeds(site),
    ...readUserFiles(site).flatMap(([file, text]) => listHashes(file, text)),
  ];
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
