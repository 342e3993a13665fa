import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Site } from '#scripts/demonstration/site.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { buildRandom } from '#test/harness/random.ts';
import type { Door } from './doors.ts';
import type { Ledger, Version } from './ledger.ts';

/** What all clients of a run share. */
export interface World {
  readonly site: Site;
  readonly ledger: Ledger;
  /** For local files, gone afterwards. */
  readonly folder: string;
  /** Of those who work with names, for races. */
  readonly doors: Door[];
  /** Resolves when everybody is signed in and the storm begins: logins do not outlive a link, and are no matter of it. */
  readonly waitForStorm: () => Promise<void>;
  readonly isOver: () => boolean;
}

/** One client: a user of its own, from an address of its own. */
export interface Who {
  readonly name: string;
  readonly address: string;
  /** Whole numbers below what is asked for: all that this client decides. */
  readonly random: (below: number) => number;
}

export function buildWho(seed: number, index: number): Who {
  return {
    name: `client-${index}`,
    address: `127.0.${10 + index}.1`,
    random: buildRandom(seed * 1_000 + index),
  };
}

export function targetOf({ site }: World, { name }: Who): SftpTarget {
  return { ...site.sftp, user: name, keyFile: site.users[name]?.sshKeyFile ?? '' };
}

export async function signIn({ site }: World, { name, address }: Who): Promise<HttpsSession> {
  const session = new HttpsSession(site.https, site.files.ca, address);
  const password = site.users[name]?.password;
  const { status, body } = await session.json('POST', '/api/login', { username: name, password });
  if (status !== 200) throw new Error(`login of ${name}: ${status} ${JSON.stringify(body)}`);
  return session;
}

/** Where a file of this client lies on main's disk. */
export function storedAt({ site }: World, { name }: Who, path: string): string {
  return join(site.files.files, name, path);
}

/** Sizes of all magnitudes alike, from 2 ** `least` to 2 ** `most` bytes. */
export function pickSize(random: Who['random'], least: number, most: number): number {
  return Math.floor(2 ** (least + (random(1_000) / 1_000) * (most - least)));
}

export interface LocalFile extends Version {
  readonly file: string;
  readonly content: Buffer;
}

export async function makeFile(file: string, bytes: number): Promise<LocalFile> {
  const content = randomBytes(bytes);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, content);
  return { file, content, bytes, sha256: createHash('sha256').update(content).digest('hex') };
}
