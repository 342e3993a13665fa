import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Door } from '#test/dmz/https/door.ts';
import { rightPassword } from '#test/dmz/https/fake-inside.ts';
import { startTestServer, type TestServer } from '#test/dmz/sftp/fakes/test-server.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';

/** Programs that everybody who attacks has, from 127.0.0.1; people are at another address. */
const person = '127.200.0.1';
/** The right one comes last, after more than a source may try. */
const guesses = 40;

let https: Door;
let sftp: TestServer;
let folder: string;
beforeEach(async () => {
  https = await Door.open();
  sftp = await startTestServer(
    { frank: { password: rightPassword, next: 'admit' } },
    { guard: https.inside.guard },
  );
  folder = await mkdtemp(join(tmpdir(), 'sallyport-scan-'));
  const list = [...Array.from({ length: guesses }, (_, at) => `guess${at}`), rightPassword];
  await writeFile(join(folder, 'passwords'), `${list.join('\n')}\n`);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
  await sftp.close();
  await https.close();
});

async function signInOverHttps(): Promise<unknown> {
  const login = { username: 'frank', password: rightPassword };
  return (await https.client(person).post('/api/login', login)).json['state'];
}

async function signInOverSftp(): Promise<string> {
  const [type, blob] = sftp.hostKeyLine.split(' ');
  const target = {
    host: '127.0.0.1',
    port: sftp.port,
    hostKey: `${type} ${blob}`,
    user: 'frank',
    password: rightPassword,
  };
  const { status, stderr } = await runOpenSshSftp(target, ['pwd'], ['-o', `BindAddress=${person}`]);
  return status === 0 ? 'signed-in' : stderr;
}

describe('hydra', () => {
  it('finds no password that it has, at either door, and others sign in meanwhile', async () => {
    const attacks = (
      [
        ['ssh', sftp.port, []],
        // It knows no JSON: it tries the header that servers of files ask for.
        ['https-get', https.port, ['/api/me']],
      ] as const
    ).map(([service, port, path]) => {
      const list = ['-l', 'frank', '-P', join(folder, 'passwords'), '-s', `${port}`];
      const args = ['6', 'hydra', '-I', '-V', '-t', '4', ...list, '127.0.0.1', service, ...path];
      // It goes on against a door that is shut, until it is stopped; it writes where it stands.
      return runProgram('timeout', args, { cwd: folder });
    });
    const during: unknown[] = [];
    for (let turn = 0; turn < 4; turn += 1) during.push(await signInOverHttps(), await signInOverSftp());
    for (const { stdout } of await Promise.all(attacks)) {
      expect(stdout).toContain('[ATTEMPT]');
      expect(stdout, 'a password that it found').not.toMatch(/login: frank +password:/);
    }
    expect(new Set(during)).toEqual(new Set(['signed-in']));
    expect([await signInOverHttps(), await signInOverSftp()]).toEqual(['signed-in', 'signed-in']);
  });
});

describe('nmap', () => {
  it('sees two open ports, one of which says that it speaks SSH, and no name of a program or version', async () => {
    const ports = `${https.port},${sftp.port}`;
    const banner = ['--script', 'banner', '--script-args', 'banner.timeout=1'];
    const { stdout } = await runProgram('nmap', ['-n', '-Pn', '-sT', '-p', ports, ...banner, '127.0.0.1']);
    const lines = stdout.split('\n').filter((line) => /^\d+\/tcp|^\|/.test(line));
    // What it calls a port is from a list of its own.
    const seen = lines.map((line) => line.trim().replace(/ +open .*$/, ' open'));
    expect(seen.toSorted()).toEqual(
      [`${https.port}/tcp open`, `${sftp.port}/tcp open`, '|_banner: SSH-2.0-Sallyport'].toSorted(),
    );
  });
});
