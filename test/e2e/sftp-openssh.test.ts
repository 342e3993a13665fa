import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { prepareOpenSsh } from '#test/harness/clients/sftp-target.ts';
import { type Product, sha256, sha256OfFile, startProduct, writeRandomFile } from '#test/harness/product.ts';

/** Bigger than a credit window, many frames, not a multiple of anything. */
const bytes = 5_000_011;

describe('OpenSSH sftp', () => {
  let product: Product;
  beforeAll(async () => {
    product = await startProduct();
  });
  afterAll(() => product.close());

  const alice = async (): Promise<{ password: string; code: string }> => ({
    password: product.password('alice'),
    code: await product.authenticator('alice').next(),
  });

  // First: afterwards a lease would let erin in without a code.
  it('S-07: refuses wrong code, no code, wrong password, wrong key and unknown user alike', async () => {
    const { password, code } = await alice();
    const stranger = join(product.folder, 'stranger');
    execFileSync('/usr/bin/ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', stranger]);
    const targets = [
      product.sftp('erin', { keyFile: product.site.users['erin']?.sshKeyFile ?? '', code: '000000' }),
      product.sftp('erin', { keyFile: product.site.users['erin']?.sshKeyFile ?? '' }),
      product.sftp('alice', { password: 'not the password', code }),
      product.sftp('erin', { keyFile: stranger, code }),
      product.sftp('nobody-we-know', { password, code }),
    ];
    for (const target of targets) {
      const result = await runOpenSshSftp(target, ['pwd'], ['-o', 'ControlPath=none']);
      expect(result.status, result.stderr).not.toBe(0);
      expect(result.stdout).not.toContain('Remote working directory');
      expect(result.stderr).toMatch(
        /Permission denied|Too many authentication failures|Connection closed|Disconnected/,
      );
    }
  });

  it('logs alice in with password and code, asked in that order', async () => {
    const result = await runOpenSshSftp(product.sftp('alice', await alice()), ['pwd']);
    expect(result.stderr).not.toContain('denied');
    expect(result.status).toBe(0);
    expect(result.prompts).toEqual([
      expect.stringContaining('Password:'),
      expect.stringContaining('Verification code:'),
    ]);
    expect(result.stdout).toContain('Remote working directory: /');
  });

  it('puts, lists, renames, gets and removes, and every hash is equal', async () => {
    const local = join(product.folder, 'openssh.bin');
    const hash = await writeRandomFile(local, bytes);
    const got = join(product.folder, 'openssh.got');
    const result = await runOpenSshSftp(product.sftp('alice', { password: product.password('alice') }), [
      'mkdir work',
      `put ${local} work/a.bin`,
      'ls -l work',
      'rename work/a.bin work/b.bin',
      `get work/b.bin ${got}`,
      'chmod 600 work/b.bin',
      'ls work',
    ]);
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
    expect(result.stdout).toMatch(/-rw\S+ +\d+ .*5000011 .*a\.bin/);
    expect(result.stdout).toContain('work/b.bin');
    expect(sha256OfFile(got)).toBe(hash);
    expect(sha256OfFile(join(product.site.files.files, 'alice', 'work', 'b.bin'))).toBe(hash);

    const removed = await runOpenSshSftp(product.sftp('alice', { password: product.password('alice') }), [
      'rm work/b.bin',
      'rmdir work',
      'ls',
    ]);
    expect(removed.status).toBe(0);
    expect(removed.stdout.trimEnd(), 'an empty listing').toMatch(/sftp> ls$/);
  });

  it('keeps times and modes with -p', async () => {
    const local = join(product.folder, 'times.txt');
    await writeFile(local, 'kept', { mode: 0o640 });
    const result = await runOpenSshSftp(product.sftp('alice', { password: product.password('alice') }), [
      `put -p ${local} times.txt`,
      'ls -l times.txt',
    ]);
    expect(result.status).toBe(0);
    expect(result.stdout).toMatch(/-rw-r-----/);
  });

  it('uses large requests, because limits@openssh.com is there', async () => {
    const local = join(product.folder, 'large-requests.bin');
    await writeRandomFile(local, bytes);
    const target = product.sftp('alice', { password: product.password('alice') });
    const result = await runOpenSshSftp(
      target,
      [`put ${local} large.bin`, 'rm large.bin'],
      ['-v', '-v', '-v'],
    );
    expect(result.status).toBe(0);
    expect(result.stderr).toContain('limits@openssh.com');
    expect(result.stderr).toMatch(/SSH2_FXP_WRITE I:\d+ O:\d+ S:261120/);
  });

  it('resumes an upload that broke off', async () => {
    const local = join(product.folder, 'resume.bin');
    const hash = await writeRandomFile(local, bytes);
    const half = join(product.folder, 'half', 'resume.bin');
    const content = await readFile(local);
    await mkdir(join(product.folder, 'half'), { recursive: true });
    await writeFile(half, content.subarray(0, 2_000_000));
    const target = product.sftp('alice', { password: product.password('alice') });
    const first = await runOpenSshSftp(target, [`put ${half} resume.bin`]);
    expect(first.status).toBe(0);
    const second = await runOpenSshSftp(target, [`reput ${local} resume.bin`]);
    expect(second.stderr).toBe('');
    expect(second.status).toBe(0);
    expect(sha256OfFile(join(product.site.files.files, 'alice', 'resume.bin'))).toBe(hash);
    const partial = join(product.folder, 'partial.bin');
    await writeFile(partial, content.subarray(0, 1_234_567));
    const third = await runOpenSshSftp(target, [`reget resume.bin ${partial}`]);
    expect(third.status).toBe(0);
    expect(sha256OfFile(partial)).toBe(hash);
  });

  it('logs erin in with key and code, without asking for a password', async () => {
    const keyFile = product.site.users['erin']?.sshKeyFile ?? '';
    const code = await product.authenticator('erin').next();
    const result = await runOpenSshSftp(product.sftp('erin', { keyFile, code }), ['pwd']);
    expect(result.stderr).not.toContain('denied');
    expect(result.status).toBe(0);
    expect(result.prompts).toHaveLength(1);
    expect(result.prompts[0]).toContain('Verification code:');
  });

  it('logins with a locale leave no refusal in the audit; a forwarding leaves one, however often it is tried', async () => {
    const target = product.sftp('frank', { password: product.password('frank') });
    const locale = [
      '-o',
      'SetEnv=LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 LC_TIME=C',
      '-o',
      'ServerAliveInterval=1',
    ];
    for (let login = 0; login < 3; login++) {
      const result = await runOpenSshSftp(target, ['pwd'], locale);
      expect(result.status, result.stderr).toBe(0);
    }
    const { options, env } = await prepareOpenSsh(product.folder, target);
    const forward = ['-N', '-R', '0:127.0.0.1:9', '-R', '0:127.0.0.1:10', '-o', 'ExitOnForwardFailure=yes'];
    const at = ['-p', String(target.port), `${target.user}@${target.host}`];
    const refused = await runProgram('/usr/bin/ssh', [...options, ...forward, ...at], { env });
    expect(refused.status).not.toBe(0);
    const refusals = () =>
      product.audit().flatMap(({ event, detail }) => (event === 'edge.refused' ? [detail] : []));
    await expect.poll(refusals).toEqual(['global request tcpip-forward']);
  });

  it('reads over HTTPS what it wrote, byte for byte', async () => {
    const local = join(product.folder, 'both.bin');
    const hash = await writeRandomFile(local, bytes);
    const result = await runOpenSshSftp(product.sftp('frank', { password: product.password('frank') }), [
      `put ${local} both.bin`,
    ]);
    expect(result.status).toBe(0);
    const curl = await CurlSession.start(product.site.https, product.site.files.ca);
    await curl.login('frank', product.password('frank'));
    const answer = await curl.call('/api/files/both.bin');
    await curl.close();
    expect(answer.status).toBe(200);
    expect(sha256(answer.body)).toBe(hash);
  });
});
