import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Outcome, runProgram } from './process.ts';
import { prepareOpenSsh, type SftpTarget } from './sftp-target.ts';

/** Runs a batch with the system's OpenSSH `sftp`; `prompts` are the texts it was asked, in order. */
export async function runOpenSshSftp(
  target: SftpTarget,
  commands: readonly string[],
  extraOptions: readonly string[] = [],
  timeoutMs?: number,
): Promise<Outcome & { readonly prompts: readonly string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-openssh-'));
  try {
    const { options, env, promptsFile } = await prepareOpenSsh(folder, target);
    const batch = join(folder, 'batch');
    await writeFile(batch, commands.map((command) => `${command}\n`).join(''));
    const outcome = await runProgram(
      '/usr/bin/sftp',
      [...extraOptions, ...options, '-P', String(target.port), '-b', batch, `${target.user}@${target.host}`],
      { env, ...(timeoutMs !== undefined && { timeoutMs }) },
    );
    const prompts = (await readFile(promptsFile, 'utf8')).split('\n').filter((line) => line !== '');
    return { ...outcome, prompts };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
