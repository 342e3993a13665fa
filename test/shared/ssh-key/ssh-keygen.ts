import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

/** The real counterpart. A missing one fails the test by name. */
export async function runSshKeygen(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('ssh-keygen', args, { timeout: 60_000 });
  return stdout;
}

export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-keys-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A fresh key pair of OpenSSH's making: the line, the private file and the fingerprint OpenSSH shows. */
export function makeOpensshKey(type: string, bits?: number) {
  return withFolder(async (folder) => {
    const file = path.join(folder, 'key');
    const size = bits === undefined ? [] : ['-b', String(bits)];
    await runSshKeygen('-q', '-t', type, ...size, '-N', '', '-C', 'alice@laptop', '-f', file);
    return {
      line: await readFile(`${file}.pub`, 'utf8'),
      privateFile: await readFile(file, 'utf8'),
      fingerprint: (await runSshKeygen('-lf', `${file}.pub`)).split(' ')[1] ?? '',
    };
  });
}
