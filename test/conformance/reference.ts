import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPrivateSshd } from '#test/harness/private-sshd.ts';
import { laneCount, type Server } from './server.ts';

/** OpenSSH's sftp-server, which clients were written against, in an empty folder behind an sshd of our own. */
export async function startReference(): Promise<Server> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-reference-')));
  const files = join(folder, 'files');
  mkdirSync(files);
  const sshd = await startPrivateSshd(join(folder, 'sshd'));
  const { port, user, keyFile = '' } = sshd.targetIn(files);
  const login = { port, username: user, privateKey: readFileSync(keyFile, 'utf8') };
  return {
    lanes: Array.from({ length: laneCount }, () => ({ login, files, prefix: files })),
    async close() {
      await sshd.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
