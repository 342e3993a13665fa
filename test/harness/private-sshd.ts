import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import type { SftpTarget } from './clients/sftp-target.ts';
import { descendantsOf, type Peer, stopChild, waitForPort } from './peer.ts';

/** OpenSSH's own server on loopback; every key logs in as the account that runs this program. */
export interface PrivateSshd extends Peer {
  /** A login that may go everywhere and starts in the account's home. */
  readonly target: SftpTarget;
  /** A login of its own whose SFTP sessions start in `start`: name files relative to it. */
  targetIn(start: string): SftpTarget;
}

/** `folder` is made and holds keys and configuration. Needs Debian's openssh-server and the right to run it. */
export async function startPrivateSshd(folder: string): Promise<PrivateSshd> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Where privilege separation wants a folder; the system's own sshd makes the same one.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const makeKey = (name: string): string => {
    const file = join(folder, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file], { stdio: 'ignore' });
    return file;
  };
  const hostKeyFile = makeKey('host');
  const keyFile = makeKey('client');
  const authorized = join(folder, 'authorized_keys');
  const lines = [readFileSync(`${keyFile}.pub`, 'utf8')];
  writeFileSync(authorized, lines.join(''));
  chmodSync(authorized, 0o600);
  const port = findFreePort();
  const config = join(folder, 'sshd_config');
  writeFileSync(
    config,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${hostKeyFile}`,
      `AuthorizedKeysFile ${authorized}`,
      `PidFile ${folder}/sshd.pid`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'AcceptEnv LANG LC_*',
      // Tests sign in many times at once, from one address.
      'MaxStartups 100',
      'Subsystem sftp internal-sftp',
      '',
    ].join('\n'),
  );
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: 'ignore' });
  await waitForPort(port);
  const hostKey = readFileSync(`${hostKeyFile}.pub`, 'utf8').split(' ').slice(0, 2).join(' ').trim();
  const login = (file: string): SftpTarget => ({
    host: '127.0.0.1',
    port,
    hostKey,
    user: userInfo().username,
    keyFile: file,
  });
  return {
    port,
    target: login(keyFile),
    targetIn(start) {
      const own = makeKey(`client-${lines.length}`);
      lines.push(`command="internal-sftp -d ${start}" ${readFileSync(`${own}.pub`, 'utf8')}`);
      writeFileSync(authorized, lines.join(''));
      return login(own);
    },
    pids: () => (child.pid === undefined ? [] : [child.pid, ...descendantsOf(child.pid)]),
    close: () => stopChild(child),
  };
}
