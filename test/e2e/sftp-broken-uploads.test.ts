import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runLftp } from '#test/harness/clients/lftp.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { prepareOpenSsh } from '#test/harness/clients/sftp-target.ts';
import { runRclone } from '#test/harness/clients/rclone.ts';
import { descendantsOf } from '#test/harness/peer.ts';
import { waitUntil, writeRandomFile } from '#test/harness/product.ts';
import { type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';
import { differences, readTree } from '#test/harness/tree.ts';

/** Large enough that the client is still at it when it is killed; `-l` keeps it from being faster than this test looks. */
const bytes = 24_000_011;
const kilobitsPerSecond = 24_000;
const sentBytes = 3_000_000;

/** Where what is not complete waits; no client sees it. */
const isStaging = (path: string): boolean => path.includes('.sallyport-staging');

describe.each(['atomic', 'direct'] as const)('after uploads that broke off, with %s uploads', (uploads) => {
  let door: SftpDoor;
  let large: string;
  let content: Buffer;
  const isOurs = process.env['SFTP_REFERENCE'] === undefined;
  const sftp = async (...commands: readonly string[]): Promise<string> => {
    const outcome = await runOpenSshSftp(door.target('account'), commands);
    expect(outcome.status, outcome.stderr).toBe(0);
    return outcome.stdout;
  };

  beforeAll(async () => {
    door = await startSftpDoor({ account: { uploads } });
    large = join(door.folder, 'large.bin');
    await writeRandomFile(large, bytes);
    content = await readFile(large);
    const old = join(door.folder, 'price.csv');
    await writeFile(old, content.subarray(0, 200_000));
    await sftp('mkdir inbox', 'mkdir inbox/sub', `put ${old} price.csv`, `put ${old} inbox/good.dat`);
    for (const remote of ['price.csv', 'inbox/new.dat', 'inbox/sub/appended.dat']) await breakOff(remote);
    await waitUntil(async () => (await sizeOf('inbox/sub/appended.dat')) > 0, 30_000);
  });
  afterAll(() => door.close());

  /** Kills sftp and its ssh in the middle of an upload. */
  async function breakOff(remote: string): Promise<void> {
    const target = door.target('account');
    const folder = join(door.folder, `breaks-${remote.replaceAll('/', '-')}`);
    await mkdir(folder);
    const { options, env } = await prepareOpenSsh(folder, target);
    await writeFile(join(folder, 'batch'), `put ${large} ${remote}\n`);
    const args = [...options, '-l', String(kilobitsPerSecond), '-b', join(folder, 'batch')];
    const client = spawn(
      '/usr/bin/sftp',
      [...args, '-P', String(target.port), `${target.user}@${target.host}`],
      { env: { ...process.env, ...env }, stdio: 'ignore' },
    );
    const ended = new Promise((resolve) => client.once('exit', resolve));
    const pid = client.pid ?? 0;
    await waitUntil(() => written(pid) > sentBytes, 60_000);
    for (const one of [...descendantsOf(pid), pid]) process.kill(one, 'SIGKILL');
    await ended;
  }

  async function sizeOf(remote: string): Promise<number> {
    const { stdout } = await runOpenSshSftp(door.target('account'), [`ls -ln ${remote}`]);
    return Number(/^[-r][-rwx]{9}\s+\S+\s+\S+\s+\S+\s+(\d+) /m.exec(stdout)?.[1] ?? 0);
  }

  it.each([
    ['sftp get -r', (to: string) => runOpenSshSftp(door.target('account'), [`get -r . ${to}`])],
    ['lftp mirror', (to: string) => runLftp(door.target('account'), [`mirror . ${to}`])],
    [
      'rclone sync',
      (to: string) => runRclone(door.target('account'), ['sync', '--create-empty-src-dirs', 'remote:', to]),
    ],
  ])('%s brings down what is stored, and all of it', async (name, download) => {
    const to = join(door.folder, name.replaceAll(' ', '-'));
    await mkdir(to);
    const outcome = await download(to);
    expect(outcome.status, outcome.stderr).toBe(0);
    const stored = await readTree(door.stored('account'), isStaging);
    expect(differences(stored, await readTree(to))).toEqual([]);
  });

  it('an upload that is complete only at its end leaves the old file, and no new one', async () => {
    const stored = Object.keys(await readTree(door.stored('account'), isStaging)).toSorted();
    const whole = ['inbox', 'inbox/good.dat', 'inbox/sub', 'price.csv'];
    const isWholeOrNothing = isOurs && uploads === 'atomic';
    const parts = isWholeOrNothing ? [] : ['inbox/new.dat', 'inbox/sub/appended.dat'];
    expect(stored).toEqual([...whole, ...parts].toSorted());
    const price = await readFile(door.stored('account', 'price.csv'));
    expect(price.length === 200_000).toBe(isWholeOrNothing);
    expect(price.equals(content.subarray(0, price.length))).toBe(true);
  });

  it('reput and put -a go on where it broke off', async () => {
    const begun = await sizeOf('inbox/new.dat');
    expect(begun).toBeGreaterThan(0);
    expect(begun).toBeLessThan(bytes);
    await sftp(`reput ${large} inbox/new.dat`, `put -a ${large} inbox/sub/appended.dat`);
    for (const name of ['new.dat', 'sub/appended.dat'])
      expect((await readFile(door.stored('account', 'inbox', name))).equals(content), name).toBe(true);
  });

  it('a new upload of the same name is the whole new file', async () => {
    await sftp(`put ${large} price.csv`);
    expect((await readFile(door.stored('account', 'price.csv'))).equals(content)).toBe(true);
    expect(await sizeOf('price.csv')).toBe(bytes);
  });

  it('leaves a folder that can be renamed and removed', async () => {
    await sftp('mkdir gone');
    await breakOff('gone/part.dat');
    await expect.poll(() => sizeOf('gone/part.dat')).toBeGreaterThan(0);
    // Where the part is a file, it goes first.
    await sftp('rename gone renamed', '-rm renamed/part.dat', 'rmdir renamed', 'mkdir gone');
    await sftp(`put ${large} gone/part.dat`);
    expect((await readFile(door.stored('account', 'gone/part.dat'))).equals(content)).toBe(true);
  });
});

/** Bytes a process has written so far, to whatever. */
function written(pid: number): number {
  return Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0);
}
