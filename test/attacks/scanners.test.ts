import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rightPassword } from '#test/dmz/https/fake-inside.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { openPlayedDoors, type PlayedDoors } from '#test/harness/played-doors.ts';

/** Programs that everybody who attacks has, from 127.0.0.1; people are at another address. */

/** The right one comes last, after more than a source may try. */
const guesses = 40;

let doors: PlayedDoors;
let folder: string;
beforeEach(async () => {
  doors = await openPlayedDoors();
  folder = await mkdtemp(join(tmpdir(), 'sallyport-scan-'));
  const list = [...Array.from({ length: guesses }, (_, at) => `guess${at}`), rightPassword];
  await writeFile(join(folder, 'passwords'), `${list.join('\n')}\n`);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
  await doors.close();
});

describe('hydra', () => {
  it('finds no password that it has, at either door, and others sign in meanwhile', async () => {
    const attacks = (
      [
        ['ssh', doors.sftp.port, []],
        // It knows no JSON: it tries the header that servers of files ask for.
        ['https-get', doors.https.port, ['/api/me']],
      ] as const
    ).map(([service, port, path]) => {
      const list = ['-l', 'frank', '-P', join(folder, 'passwords'), '-s', `${port}`];
      const args = ['6', 'hydra', '-I', '-V', '-t', '4', ...list, '127.0.0.1', service, ...path];
      // It goes on against a door that is shut, until it is stopped; it writes where it stands.
      return runProgram('timeout', args, { cwd: folder });
    });
    const during: unknown[] = [];
    for (let turn = 0; turn < 4; turn += 1)
      during.push(await doors.signInOverHttps(), await doors.signInOverSftp());
    for (const { stdout } of await Promise.all(attacks)) {
      expect(stdout).toContain('[ATTEMPT]');
      expect(stdout, 'a password that it found').not.toMatch(/login: frank +password:/);
    }
    expect(new Set(during)).toEqual(new Set(['signed-in']));
    expect([await doors.signInOverHttps(), await doors.signInOverSftp()]).toEqual(['signed-in', 'signed-in']);
  });
});

describe('nmap', () => {
  it('sees two open ports, one of which says that it speaks SSH, and no name of a program or version', async () => {
    const ports = `${doors.https.port},${doors.sftp.port}`;
    const banner = ['--script', 'banner', '--script-args', 'banner.timeout=1'];
    const { stdout } = await runProgram('nmap', ['-n', '-Pn', '-sT', '-p', ports, ...banner, '127.0.0.1']);
    const lines = stdout.split('\n').filter((line) => /^\d+\/tcp|^\|/.test(line));
    // What it calls a port is from a list of its own.
    const seen = lines.map((line) => line.trim().replace(/ +open .*$/, ' open'));
    expect(seen.toSorted()).toEqual(
      [
        `${doors.https.port}/tcp open`,
        `${doors.sftp.port}/tcp open`,
        '|_banner: SSH-2.0-Sallyport',
      ].toSorted(),
    );
  });
});
