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
  -nocase "code: " {
    set code $env(LOGIN_CODE)
    if {$env(CODE_FILE) ne ""} {
      close [open "$env(CODE_FILE).asked" w]
      while {![file exists $env(CODE_FILE)]} { after 100 }
      after $env(CODE_DELAY)
      set file [open $env(CODE_FILE)]
      gets $file code
      close $file
    }
    send -- "$code\\r"
    exp_continue
  }
  -nocase "y/n" { send -- "n\\r"; exp_continue }
  timeout { puts "no answer"; exit 99 }
  eof
}
lassign [wait] pid spawnid oserror status
exit $status
`;

/**
 * Runs a batch with PuTTY's psftp. `codeDelayMs` is how long the code of a `codeFile` takes to be read and typed; when it
 * is asked for, `<codeFile>.asked` is there.
 */
export async function runPsftp(
  target: SftpTarget,
  commands: readonly string[],
  codeDelayMs = 0,
): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-psftp-'));
  try {
    const script = join(folder, 'dialogue.exp');
    const batch = join(folder, 'batch');
    await writeFile(script, dialogue);
    await writeFile(batch, [...commands, 'quit'].map((command) => `${command}\n`).join(''));
    const blob = Buffer.from(target.hostKey.split(' ')[1] ?? '', 'base64');
    const fingerprint = `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
    const args = ['-hostkey', fingerprint, '-P', String(target.port), '-b', batch, '-noagent'];
    if (target.keyFile !== undefined) {
      const ppk = join(folder, 'key.ppk');
      await runProgram('/usr/bin/puttygen', [target.keyFile, '-O', 'private', '-o', ppk]);
      args.push('-i', ppk);
    }
    return await runProgram('/usr/bin/expect', [script, '--', ...args, `${target.user}@${target.host}`], {
      env: {
        LOGIN_PASSWORD: target.password ?? '',
        LOGIN_CODE: target.code ?? '',
        CODE_FILE: target.codeFile ?? '',
        CODE_DELAY: String(codeDelayMs),
        HOME: folder,
      },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
