import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Outcome, runProgram } from './process.ts';
import { prepareOpenSsh, type SftpTarget } from './sftp-target.ts';

/** Runs commands with lftp, which drives the system's `ssh`; prompts are answered through askpass. */
export async function runLftp(
  target: SftpTarget,
  commands: readonly string[],
): Promise<Outcome & { readonly prompts: readonly string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-lftp-'));
  try {
    const { options, env, promptsFile } = await prepareOpenSsh(folder, target);
    const script = [
      'set cmd:fail-exit yes',
      'set net:max-retries 1',
      'set net:timeout 20',
      `set sftp:connect-program "ssh -a -x ${options.join(' ')}"`,
      `open -u ${target.user}, -p ${target.port} sftp://${target.host}`,
      ...commands,
      'bye',
    ];
    const outcome = await runProgram('/usr/bin/lftp', ['--norc', '-c', script.join('; ')], {
      env: { ...env, HOME: folder },
    });
    const prompts = (await readFile(promptsFile, 'utf8')).split('\n').filter((line) => line !== '');
    return { ...outcome, prompts };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
