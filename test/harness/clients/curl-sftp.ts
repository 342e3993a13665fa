import { createHash } from 'node:crypto';
import { type Outcome, runProgram } from './process.ts';
import type { SftpTarget } from './sftp-target.ts';

/** Runs `curl sftp://…` (libssh2) for one path; it answers each prompt with the password it was given. */
export function runCurlSftp(
  target: SftpTarget,
  path: string,
  args: readonly string[] = [],
): Promise<Outcome> {
  const { host, port, hostKey, user, password = '', keyFile } = target;
  const blob = Buffer.from(hostKey.split(' ')[1] ?? '', 'base64');
  const fingerprint = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  const login = ['--user', `${user}:${password}`, '--hostpubsha256', fingerprint];
  if (keyFile !== undefined) login.push('--key', keyFile);
  return runProgram('/usr/bin/curl', ['-sS', ...login, ...args, `sftp://${host}:${port}${path}`]);
}
