import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { YamlUsers, type YamlUsersOptions } from '#main-agent/users/yaml-users.ts';
import { buildLog } from '#shared/log.ts';

/** A users folder of one test, with a source that looks when it is told to. */
export interface UsersFolder {
  readonly base: string;
  readonly directory: string;
  write(relative: string, content: string | Buffer): Promise<void>;
  remove(relative: string): Promise<void>;
  /** As after a start of main: nothing remembered but the folders. */
  open(change?: Partial<YamlUsersOptions>): Promise<YamlUsers>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function makeUsersFolder(files: Readonly<Record<string, string>> = {}): Promise<UsersFolder> {
  const base = await mkdtemp(path.join(tmpdir(), 'sallyport-users-'));
  const directory = path.join(base, 'users');
  await mkdir(path.join(directory, 'groups'), { recursive: true });
  const opened: YamlUsers[] = [];
  const folder: UsersFolder = {
    base,
    directory,
    write: (relative, content) => writeFile(path.join(directory, relative), content),
    remove: (relative) => rm(path.join(directory, relative)),
    async open(change = {}) {
      const users = new YamlUsers({
        directory,
        lastGoodDirectory: path.join(base, 'last-good'),
        storages: ['local'],
        defaultUploads: 'atomic',
        defaultBinMs: undefined,
        brokenUserFile: 'keep_last_good',
        log: buildLog('silent', {}),
        ...change,
      });
      opened.push(users);
      await users.refresh();
      await users.copiesKept();
      return users;
    },
    async [Symbol.asyncDispose]() {
      for (const users of opened) await users.close();
      await rm(base, { recursive: true, force: true });
    },
  };
  for (const [relative, text] of Object.entries(files)) await folder.write(relative, text);
  return folder;
}

export const exampleHash =
  '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g';
export const exampleKey =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@laptop';
