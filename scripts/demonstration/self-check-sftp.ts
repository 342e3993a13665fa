import { spawn } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';

/** The SFTP half of the self-check: with the system's OpenSSH client, or with the ssh2 package where there is none. */
interface SftpCheck {
  readonly sftp: { readonly host: string; readonly port: number; readonly hostKey: string };
  readonly username: string;
  readonly password: string;
  readonly code: string;
  /** A folder of our own for scripts, keys and `got.bin`. */
  readonly folder: string;
  /** The file to put as `self-check-sftp.bin`. */
  readonly local: string;
}

/** Login, 6 MB over loopback, log-out; more means that it hangs. */
const timeoutMs = 30_000;

export async function checkSftpWithOpenSsh(check: SftpCheck): Promise<void> {
  const askpass = join(check.folder, 'askpass');
  // OpenSSH asks this program for every prompt; the answer depends on what is asked.
  await writeFile(
    askpass,
    '#!/bin/sh\ncase "$1" in *assword*) echo "$CHECK_PASSWORD";; *) echo "$CHECK_CODE";; esac\n',
  );
  await chmod(askpass, 0o700);
  const knownHosts = join(check.folder, 'known_hosts');
  const { host, port, hostKey } = check.sftp;
  // OpenSSH writes its own port without saying so.
  await writeFile(knownHosts, `${port === 22 ? host : `[${host}]:${port}`} ${hostKey}\n`);
  const batch = join(check.folder, 'batch');
  const got = join(check.folder, 'got.bin');
  await writeFile(batch, `put ${check.local} self-check-sftp.bin\nget self-check-sftp.bin ${got}\n`);
  const args = ['-F', 'none', '-o', 'IdentityAgent=none', '-o', `UserKnownHostsFile=${knownHosts}`];
  args.push('-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=no', '-o', 'NumberOfPasswordPrompts=1');
  args.push('-P', String(check.sftp.port), '-b', batch, `${check.username}@${check.sftp.host}`);
  const env = {
    ...process.env,
    SSH_ASKPASS: askpass,
    SSH_ASKPASS_REQUIRE: 'force',
    CHECK_PASSWORD: check.password,
    CHECK_CODE: check.code,
  };
  await new Promise<void>((resolve, reject) => {
    const child = spawn('/usr/bin/sftp', args, {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: timeoutMs,
    });
    let errors = '';
    child.stderr.on('data', (piece: Buffer) => {
      errors = (errors + piece.toString()).slice(-500);
    });
    child.once('error', reject);
    child.once('close', (status) => {
      if (status === 0) resolve();
      else reject(new Error(`sftp ended with ${status}: ${errors.trim()}`));
    });
  });
}

export async function checkSftpWithLibrary(check: SftpCheck): Promise<void> {
  const client = new ssh2.Client();
  try {
    await new Promise<void>((resolve, reject) => {
      client.on('keyboard-interactive', (_name, _instructions, _language, prompts, finish) => {
        finish(prompts.map(({ prompt }) => (/assword/.test(prompt) ? check.password : check.code)));
      });
      client.once('ready', resolve);
      client.once('error', reject);
      client.connect({
        host: check.sftp.host,
        port: check.sftp.port,
        username: check.username,
        tryKeyboard: true,
        readyTimeout: timeoutMs,
        hostVerifier: (key: Buffer) => key.toString('base64') === check.sftp.hostKey.split(' ')[1],
      });
    });
    const sftp = await new Promise<ssh2.SFTPWrapper>((resolve, reject) => {
      client.sftp((error, wrapper) => (error === undefined ? resolve(wrapper) : reject(error)));
    });
    const transfer = (run: (done: (error?: Error | null) => void) => void): Promise<void> =>
      new Promise((resolve, reject) => run((error) => (error ? reject(error) : resolve())));
    await transfer((done) => sftp.fastPut(check.local, 'self-check-sftp.bin', done));
    await transfer((done) => sftp.fastGet('self-check-sftp.bin', join(check.folder, 'got.bin'), done));
  } finally {
    client.end();
  }
}
