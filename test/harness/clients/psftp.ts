import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Outcome, runProgram } from './process.ts';
import type { SftpTarget } from './sftp-target.ts';

/** Answers psftp's prompts on a pseudo terminal, as a person would. */
const dialogue = `
set timeout 60
log_user 1
spawn -noecho /usr/bin/psftp {*}$argv
expect {
  -nocase "password: " { send -- "$env(LOGIN_PASSWORD)\\r"; exp_continue }
  -nocase "code: " { send -- "$env(LOGIN_CODE)\\r"; exp_continue }
  -nocase "y/n" { send -- "n\\r"; exp_continue }
  timeout { puts "no answer"; exit 99 }
  eof
}
lassign [wait] pid spawnid oserror status
exit $status
`;

/** Runs a batch with PuTTY's psftp. A key file must be in PuTTY's format. */
export async function runPsftp(target: SftpTarget, commands: readonly string[]): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-psftp-'));
  try {
    const script = join(folder, 'dialogue.exp');
    const batch = join(folder, 'batch');
    await writeFile(script, dialogue);
    await writeFile(batch, [...commands, 'quit'].map((command) => `${command}\n`).join(''));
    const blob = Buffer.from(target.hostKey.split(' ')[1] ?? '', 'base64');
    const fingerprint = `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
    const args = ['-hostkey', fingerprint, '-P', String(target.port), '-b', batch, '-noagent'];
    if (target.keyFile !== undefined) args.push('-i', target.keyFile);
    return await runProgram('/usr/bin/expect', [script, '--', ...args, `${target.user}@${target.host}`], {
      env: { LOGIN_PASSWORD: target.password ?? '', LOGIN_CODE: target.code ?? '', HOME: folder },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
