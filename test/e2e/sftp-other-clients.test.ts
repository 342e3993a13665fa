import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { runLftp } from '#test/harness/clients/lftp.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { runPsftp } from '#test/harness/clients/psftp.ts';
import { runRclone } from '#test/harness/clients/rclone.ts';
import { type Product, sha256OfFile, startProduct, writeRandomFile } from '#test/harness/product.ts';

const bytes = 3_000_017;
/** One for each program that succeeds with a code, or each would wait for a code that the one before has not spent. */
const enrolled = ['psftp', 'lftp', 'openssh', 'paramiko'];

describe('other SFTP clients', () => {
  let product: Product;
  let local: string;
  let hash: string;
  beforeAll(async () => {
    product = await startProduct({
      moreUsers: enrolled.map((name) => buildDemoUser(name, { isEnrolled: true, requiredOn: ['sftp'] })),
    });
    local = join(product.folder, 'sample.bin');
    hash = await writeRandomFile(local, bytes);
  });
  afterAll(() => product.close());

  const stored = (user: string, name: string): string =>
    sha256OfFile(join(product.site.files.files, user, name));

  it('psftp logs in with password and code; puts, lists, renames, gets, resumes and removes', async () => {
    const got = join(product.folder, 'psftp.got');
    const code = await product.authenticator('psftp').next();
    const target = product.sftp('psftp', { password: product.password('psftp'), code });
    const result = await runPsftp(target, [
      `put ${local} psftp.bin`,
      'ls',
      'mv psftp.bin psftp2.bin',
      `get psftp2.bin ${got}`,
      `reput ${local} psftp2.bin`,
      'put ' + local + ' gone.bin',
      'del gone.bin',
    ]);
    expect(result.status, result.stdout).toBe(0);
    expect(result.stdout).toContain('psftp.bin');
    expect(sha256OfFile(got)).toBe(hash);
    expect(stored('psftp', 'psftp2.bin')).toBe(hash);
    expect(() => stored('psftp', 'gone.bin')).toThrow('ENOENT');
  });

  it('psftp is refused with a wrong code', async () => {
    const target = product.sftp('erin', { password: 'whatever it is', code: '000000' });
    const result = await runPsftp(target, ['pwd']);
    expect(result.status).not.toBe(0);
    expect(result.stdout).not.toContain('Remote directory is');
  });

  it('lftp logs in with password and code and moves files both ways, also resumed', async () => {
    const half = join(product.folder, 'half.bin');
    await writeFile(half, (await readFile(local)).subarray(0, 1_000_000));
    const got = join(product.folder, 'lftp.got');
    const code = await product.authenticator('lftp').next();
    const result = await runLftp(product.sftp('lftp', { password: product.password('lftp'), code }), [
      `put ${local} -o lftp.bin`,
      `put ${half} -o resumed.bin`,
      `put -c ${local} -o resumed.bin`,
      'mv lftp.bin lftp2.bin',
      'ls',
      `get lftp2.bin -o ${got}`,
      'rm lftp2.bin',
    ]);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toContain('lftp2.bin');
    expect(sha256OfFile(got)).toBe(hash);
    expect(stored('lftp', 'resumed.bin')).toBe(hash);
    expect(() => stored('lftp', 'lftp2.bin')).toThrow('ENOENT');
  });

  it('lftp is refused with a wrong password', async () => {
    const code = await product.authenticator('lftp').next();
    const result = await runLftp(product.sftp('lftp', { password: 'not the password', code }), ['ls']);
    expect(result.status).not.toBe(0);
  });

  it('rclone works as frank, who needs no second factor', async () => {
    const target = product.sftp('frank', { password: product.password('frank') });
    const copied = await runRclone(target, ['copyto', local, 'remote:rclone.bin']);
    expect(copied.status, copied.stderr).toBe(0);
    expect(stored('frank', 'rclone.bin')).toBe(hash);
    const got = join(product.folder, 'rclone.got');
    expect((await runRclone(target, ['copyto', 'remote:rclone.bin', got])).status).toBe(0);
    expect(sha256OfFile(got)).toBe(hash);
    const listed = await runRclone(target, ['lsl', 'remote:']);
    expect(listed.stdout).toMatch(new RegExp(`${bytes} .*rclone.bin`));
    expect((await runRclone(target, ['moveto', 'remote:rclone.bin', 'remote:moved.bin'])).status).toBe(0);
    expect((await runRclone(target, ['deletefile', 'remote:moved.bin'])).status).toBe(0);
    expect(() => stored('frank', 'moved.bin')).toThrow('ENOENT');
  });

  it('rclone works on the lease that OpenSSH opened, if it names itself alike', async () => {
    const code = await product.authenticator('openssh').next();
    const password = product.password('openssh');
    const login = await runOpenSshSftp(product.sftp('openssh', { password, code }), ['pwd']);
    expect(login.status, login.stderr).toBe(0);
    const { stderr } = await runProgram('/usr/bin/ssh', ['-V']);
    // `OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL …`: what stands before the comma is what the client sends.
    const agent = stderr.split(',')[0] ?? '';
    const target = product.sftp('openssh', { password });
    const alike = await runRclone(target, ['lsf', 'remote:'], agent);
    expect(alike.status, alike.stderr).toBe(0);
    const other = await runRclone(target, ['lsf', 'remote:'], 'rclone/other');
    expect(other.status).not.toBe(0);
  });

  it('paramiko works with a service request before every method', async () => {
    const script = `
import os, sys, base64, hashlib, paramiko
t = paramiko.Transport((sys.argv[1], int(sys.argv[2])))
t.connect(hostkey=paramiko.Ed25519Key(data=base64.b64decode(sys.argv[3].split()[1])))
asked = []
def answer(title, instructions, prompts):
    asked.extend(prompt for prompt, _ in prompts)
    return [os.environ["P"] if "assword" in prompt else os.environ["C"] for prompt, _ in prompts]
t.auth_interactive("paramiko", answer)
s = paramiko.SFTPClient.from_transport(t)
s.put(sys.argv[4], "/paramiko.bin")
with s.open("/paramiko.bin") as f: f.prefetch(); data = f.read()
s.remove("/paramiko.bin"); t.close()
print(hashlib.sha256(data).hexdigest(), asked)
`;
    const { host, port, hostKey } = product.site.sftp;
    const code = await product.authenticator('paramiko').next();
    const result = await runProgram('/usr/bin/python3', ['-c', script, host, String(port), hostKey, local], {
      env: { P: product.password('paramiko'), C: code },
    });
    expect(result.stdout, result.stderr).toContain(hash);
    expect(result.stdout).toContain("['Password: ', 'Verification code: ']");
  });
});
