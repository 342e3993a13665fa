import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HashBox } from '#main-agent/users/hash-box.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import { LocalUserFiles } from '#main-agent/users/user-files.ts';
import { YamlUsers, type YamlUsersOptions } from '#main-agent/users/yaml-users.ts';
import { buildLog } from '#shared/log.ts';
import { playedBook, playedBox } from '#test/harness/played-vault.ts';

/** A users folder of one test, with a source that looks when it is told to. */
export interface UsersFolder {
  readonly base: string;
  readonly directory: string;
  /** Hashes by their names, of whatever was read from it. */
  readonly book: HashBook;
  /** In which hashes may be sent. */
  readonly box: HashBox;
  /** Who reads and writes in it, as another process would. */
  files(): LocalUserFiles;
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
  const [book, box] = [playedBook, playedBox];
  const folder: UsersFolder = {
    base,
    directory,
    book,
    box,
    files: () =>
      new LocalUserFiles({ book, box, directory, lastGoodDirectory: path.join(base, 'last-good') }),
    write: (relative, content) => writeFile(path.join(directory, relative), content),
    remove: (relative) => rm(path.join(directory, relative)),
    async open(change = {}) {
      const lastGoodDirectory = path.join(base, 'last-good');
      const users = new YamlUsers({
        directory,
        lastGoodDirectory,
        files: new LocalUserFiles({ book, box, directory, lastGoodDirectory }),
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
/** As main knows it. */
export const exampleHashName = new HashBook().note(exampleHash);
export const exampleKey =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@laptop';
