import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Account, type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';

/**
 * What WinSCP sends for an upload (its SftpFileSystem.cpp): a file of more than 100 KiB goes to `name.filepart`, which
 * is renamed when complete; then time and mode are set by path. Smaller ones get their own name at once. A transfer
 * that broke off goes on in the `.filepart` that is there.
 */
const isOurs = process.env['SFTP_REFERENCE'] === undefined;
const accounts: Readonly<Record<string, Account>> = {
  plain: {},
  direct: { uploads: 'direct' },
  // Nothing may be renamed, changed or overwritten in these; one's own upload may still be finished.
  ...(isOurs && { dropbox: { allow: ['list', 'write'] }, blindbox: { allow: ['write'] } }),
};
const times = { atime: 1_500_000_000, mtime: 1_600_000_000, mode: 0o640 };
const content = randomBytes(1_300_017);
const pieceBytes = 32_768;

class Session {
  readonly #client: ssh2.Client;
  readonly #sftp: ssh2.SFTPWrapper;

  private constructor(client: ssh2.Client, sftp: ssh2.SFTPWrapper) {
    this.#client = client;
    this.#sftp = sftp;
  }

  static async open(door: SftpDoor, account: string): Promise<Session> {
    const { host, port, user, keyFile = '', hostKey } = door.target(account);
    const client = new ssh2.Client();
    await new Promise((resolve, reject) => {
      client.once('ready', () => resolve(undefined));
      client.once('error', reject);
      client.connect({
        host,
        port,
        username: user,
        ident: 'WinSCP_release_6.3.5',
        privateKey: readFileSync(keyFile),
        hostVerifier: (key: Buffer) => key.toString('base64') === hostKey.split(' ')[1],
      });
    });
    return new Session(client, await promisify(client.sftp.bind(client))());
  }

  exists(name: string): Promise<number | undefined> {
    return new Promise((resolve) =>
      this.#sftp.lstat(name, (error, stats) => resolve(error ? undefined : stats.size)),
    );
  }

  opened(name: string, flags: number): Promise<Buffer> {
    return new Promise((resolve, reject) =>
      this.#sftp.open(name, flags, {}, (error, handle) => (error ? reject(error) : resolve(handle))),
    );
  }

  /** Sends all writes and the CLOSE without waiting for any. */
  async writeAndClose(handle: Buffer, from: number, to: number): Promise<void> {
    const sent: Promise<void>[] = [];
    for (let at = from; at < to; at += pieceBytes) {
      const length = Math.min(pieceBytes, to - at);
      sent.push(this.#done((done) => this.#sftp.write(handle, content, at, length, at, done)));
    }
    sent.push(this.#done((done) => this.#sftp.close(handle, done)));
    await Promise.all(sent);
  }

  /** Resolves when the server has acknowledged them; the handle stays open. */
  async write(handle: Buffer, to: number): Promise<void> {
    for (let at = 0; at < to; at += pieceBytes)
      await this.#done((done) =>
        this.#sftp.write(handle, content, at, Math.min(pieceBytes, to - at), at, done),
      );
  }

  rename(from: string, to: string): Promise<void> {
    return this.#done((done) => this.#sftp.rename(from, to, done));
  }

  remove(name: string): Promise<void> {
    return this.#done((done) => this.#sftp.unlink(name, done));
  }

  setProperties(name: string): Promise<void> {
    return this.#done((done) => this.#sftp.setstat(name, times, done));
  }

  end(): void {
    this.#client.end();
  }

  /** As a cable that is pulled. */
  cut(): void {
    this.#client.destroy();
  }

  #done(run: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => run((error) => (error ? reject(error) : resolve())));
  }
}

const { OPEN_MODE } = ssh2.utils.sftp;
const asNew = OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.EXCL;
const asOld = OPEN_MODE.WRITE | OPEN_MODE.CREAT;

const names = Object.keys(accounts);

describe('WinSCP uploads', () => {
  let door: SftpDoor;
  const sessions = new Map<string, Session>();
  beforeAll(async () => {
    door = await startSftpDoor(accounts);
    for (const account of names) sessions.set(account, await Session.open(door, account));
  });
  afterAll(async () => {
    for (const session of sessions.values()) session.end();
    await door.close();
  });
  const sessionOf = (account: string): Session => {
    const session = sessions.get(account);
    if (session === undefined) throw new Error(`no session of ${account}`);
    return session;
  };

  async function seen(account: string, name: string): Promise<object> {
    const { mtimeMs, mode } = await stat(door.stored(account, name));
    return {
      size: (await readFile(door.stored(account, name))).length,
      mtime: mtimeMs / 1000,
      mode: mode & 0o777,
    };
  }
  const finished = (size: number): object => ({ size, mtime: times.mtime, mode: times.mode });

  async function uploadLarge(account: string, name: string, isOver = false): Promise<void> {
    const session = sessionOf(account);
    const handle = await session.opened(`${name}.filepart`, asNew);
    await session.writeAndClose(handle, 0, content.length);
    if (isOver) await session.remove(name);
    await session.rename(`${name}.filepart`, name);
    await session.setProperties(name);
  }

  it.each(names)('%s: small files get their time and mode', async (account) => {
    const session = sessionOf(account);
    for (const name of ['small1.txt', 'small2.txt', 'small3.txt']) {
      expect(await session.exists(name)).toBeUndefined();
      const handle = await session.opened(name, asNew);
      await Promise.all([session.writeAndClose(handle, 0, 5_000), session.setProperties(name)]);
      expect(await seen(account, name)).toEqual(finished(5_000));
    }
  });

  it.each(names)('%s: large files get their name when they are complete', async (account) => {
    await uploadLarge(account, 'large.bin');
    expect(await seen(account, 'large.bin')).toEqual(finished(content.length));
    expect((await readFile(door.stored(account, 'large.bin'))).equals(content)).toBe(true);
    await expect(stat(door.stored(account, 'large.bin.filepart'))).rejects.toThrow('ENOENT');
  });

  it.each(names)('%s: a transfer that broke off goes on in its .filepart', async (account) => {
    const session = sessionOf(account);
    const broken = await Session.open(door, account);
    await broken.write(await broken.opened('resumed.bin.filepart', asNew), 400_000);
    broken.cut();
    await expect.poll(() => session.exists('resumed.bin.filepart')).toBe(400_000);
    const handle = await session.opened('resumed.bin.filepart', asOld);
    await session.writeAndClose(handle, 400_000, content.length);
    await session.rename('resumed.bin.filepart', 'resumed.bin');
    await session.setProperties('resumed.bin');
    expect(await seen(account, 'resumed.bin')).toEqual(finished(content.length));
    expect((await readFile(door.stored(account, 'resumed.bin'))).equals(content)).toBe(true);
  });

  it.each(['plain', 'direct'])('%s: a large file replaces an older one', async (account) => {
    await uploadLarge(account, 'large.bin', true);
    expect(await seen(account, 'large.bin')).toEqual(finished(content.length));
  });

  it.runIf(isOurs).each(['dropbox', 'blindbox'])(
    '%s: nobody changes it later, not even who sent it',
    async (account) => {
      const later = await Session.open(door, account);
      await expect(later.setProperties('large.bin')).rejects.toThrow(/denied|may not/i);
      await expect(later.rename('large.bin', 'mine.bin')).rejects.toThrow(/denied|may not/i);
      await expect(later.remove('large.bin')).rejects.toThrow(/denied|may not/i);
      await expect(later.opened('large.bin', asOld | OPEN_MODE.TRUNC)).rejects.toThrow(/denied|may not/i);
      later.end();
      expect(await seen(account, 'large.bin')).toEqual(finished(content.length));
    },
  );
});
