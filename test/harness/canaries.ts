import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Site } from '#scripts/demonstration/site.ts';
import { decodeBase32 } from '#main-agent/two-factor/base32.ts';

/** What main keeps and must never send (S-02), in every spelling in which it could leave. Each has a name to print. */
export type Canary = readonly [name: string, text: string];

export function spellings(name: string, octets: Buffer): Canary[] {
  return [
    [`${name} as octets`, octets.toString('latin1')],
    [`${name} in base64`, octets.toString('base64').replace(/=+$/, '')],
    [`${name} in base64url`, octets.toString('base64url')],
    [`${name} in hex`, octets.toString('hex')],
  ];
}

/** The secrets of authenticators that were there at the start. */
export function listCodeSeeds({ users }: Pick<Site, 'users'>): Canary[] {
  return Object.entries(users).flatMap(([name, { totpSecret }]): Canary[] => {
    if (totpSecret === undefined) return [];
    return [
      [`${name}'s code seed in base32`, totpSecret],
      ...spellings(`${name}'s code seed`, decodeBase32(totpSecret) ?? Buffer.alloc(0)),
    ];
  });
}

/** The users' files as they are now, by their names in the folder. */
export function readUserFiles({ files }: Pick<Site, 'files'>): (readonly [file: string, text: string])[] {
  return readdirSync(files.main.users, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => [file, readFileSync(join(files.main.users, file), 'utf8')]);
}

export function listCanaries(site: Pick<Site, 'users' | 'files'>): Canary[] {
  const { files } = site;
  const canaries: Canary[] = spellings('the vault key', readFileSync(files.main.vaultKey));
  canaries.push(...listCodeSeeds(site));
  for (const [file, text] of readUserFiles(site)) {
    for (const [, hash = ''] of text.matchAll(/\$argon2id\$\S+\$(\S+)/g))
      canaries.push([`${file}: hash`, hash]);
    for (const [, key = ''] of text.matchAll(/ssh-ed25519 (\S+)/g))
      canaries.push(...spellings(`${file}: key`, Buffer.from(key, 'base64')));
  }
  for (const file of readdirSync(files.main.enrolments)) {
    const text = readFileSync(join(files.main.enrolments, file), 'utf8');
    for (const [sealed] of text.matchAll(/sealed:v1:\S+/g)) canaries.push([`${file}: sealed`, sealed]);
  }
  return canaries;
}

/** All that recorded-main.ts saw main send. */
export function readSent(files: Site['files']): Buffer {
  return readFileSync(join(files.dir, 'main', 'link-sent'));
}

export function findLeaks(site: Site): string[] {
  const sent = readSent(site.files);
  return listCanaries(site)
    .filter(([, text]) => sent.includes(text, 0, 'latin1'))
    .map(([name]) => name);
}
