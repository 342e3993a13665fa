import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { runProgram } from './process.ts';
import { prepareOpenSsh, type SftpTarget } from './sftp-target.ts';

/** A folder of this machine that is the server's, until it is unmounted. */
export interface Mounted {
  readonly path: string;
  /** What its login asked of a person, in order. */
  readonly prompts: readonly string[];
  unmount(): Promise<void>;
}

/** A login and a mount take a second; a machine under load may need many. */
const mountMs = 60_000;

/** sshfs ended or hung without a mount: what it said. */
export class NotMounted extends Error {
  readonly prompts: readonly string[];

  constructor(said: string, prompts: readonly string[]) {
    super(`sshfs did not mount: ${said}`);
    this.prompts = prompts;
  }
}

/**
 * Mounts where the session starts, with sshfs's own defaults. A password is given the way unattended mounts do it
 * (`password_stdin`), or to the prompts as a person would. Rejects with `NotMounted`.
 */
export async function mountSshfs(
  target: SftpTarget,
  passwordBy: 'stdin' | 'prompt' = 'stdin',
): Promise<Mounted> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-sshfs-'));
  const path = join(folder, 'mnt');
  await mkdir(path);
  const { options, env, promptsFile } = await prepareOpenSsh(folder, target);
  const config = join(folder, 'ssh_config');
  await writeFile(config, toConfigFile(options));
  const password = target.password === undefined || passwordBy === 'prompt' ? [] : ['-o', 'password_stdin'];
  const remote = `${target.user}@${target.host}:`;
  const sshfs = spawn(
    '/usr/bin/sshfs',
    ['-f', '-F', config, '-p', String(target.port), ...password, remote, path],
    { env: { ...process.env, ...env }, stdio: ['pipe', 'ignore', 'pipe'] },
  );
  let said = '';
  sshfs.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  // A program that ends before it has read its input is judged by what it said.
  sshfs.stdin.on('error', () => {});
  sshfs.stdin.end(`${target.password ?? ''}\n`);
  const over = new Promise<void>((resolve) => sshfs.once('close', () => resolve()));
  const isOver = (): boolean => sshfs.exitCode !== null || sshfs.signalCode !== null;
  const unmount = async (): Promise<void> => {
    const { status } = await runProgram('/usr/bin/fusermount3', ['-u', path]);
    // Somebody still stands in it, or it broke: lazily then, so that nothing stays mounted.
    if (status !== 0) await runProgram('/usr/bin/fusermount3', ['-uz', path]);
    if (!isOver()) sshfs.kill('SIGTERM');
    await over;
    await rm(folder, { recursive: true, force: true });
  };
  const end = performance.now() + mountMs;
  while (!isOver() && !(await isMountPoint(path))) {
    if (performance.now() > end) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const prompts = (await readFile(promptsFile, 'utf8')).split('\n').filter((line) => line !== '');
  if (!isOver() && (await isMountPoint(path))) return { path, prompts, unmount };
  await unmount();
  throw new NotMounted(said, prompts);
}

async function isMountPoint(path: string): Promise<boolean> {
  const [own, above] = await Promise.all([stat(path), stat(dirname(path))]).catch(() => []);
  return own !== undefined && above !== undefined && own.dev !== above.dev;
}

/** `-o Key=value` and `-i file` as the lines of an ssh_config; sshfs does not pass on every option it is given. */
function toConfigFile(options: readonly string[]): string {
  const lines: string[] = [];
  for (let index = 0; index < options.length; index += 2) {
    const [flag, value = ''] = [options[index], options[index + 1]];
    if (flag === '-o') lines.push(value.replace('=', ' '));
    else if (flag === '-i') lines.push(`IdentityFile ${value}`);
  }
  return `${lines.join('\n')}\n`;
}
