import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Outcome, runProgram } from './process.ts';
import type { SftpTarget } from './sftp-target.ts';

/** Runs one rclone command; `remote:` names the server. `agent` is what stands after `SSH-2.0-` on the wire. */
export async function runRclone(
  target: SftpTarget,
  args: readonly string[],
  agent?: string,
): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-rclone-'));
  try {
    const knownHosts = join(folder, 'known_hosts');
    await writeFile(knownHosts, `[${target.host}]:${target.port} ${target.hostKey}\n`);
    const obscured = await runProgram('/usr/bin/rclone', ['obscure', '-'], { input: target.password ?? '' });
    const config = join(folder, 'rclone.conf');
    await writeFile(
      config,
      [
        '[remote]',
        'type = sftp',
        `host = ${target.host}`,
        `port = ${target.port}`,
        `user = ${target.user}`,
        ...(target.password === undefined ? [] : [`pass = ${obscured.stdout.trim()}`]),
        ...(target.keyFile === undefined ? [] : [`key_file = ${target.keyFile}`]),
        `known_hosts_file = ${knownHosts}`,
        'shell_type = none',
        'md5sum_command = none',
        'sha1sum_command = none',
        '',
      ].join('\n'),
    );
    const options = ['--config', config, '--retries', '1', '--low-level-retries', '1', '--contimeout', '20s'];
    if (agent !== undefined) options.push('--user-agent', agent);
    return await runProgram('/usr/bin/rclone', [...args, ...options], { env: { HOME: folder } });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
