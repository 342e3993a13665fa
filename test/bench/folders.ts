import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startSite } from '#scripts/demonstration/site.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { startPrivateSshd } from '#test/harness/private-sshd.ts';
import { two, type Report } from './report.ts';
import { Runs, type Side } from './sides.ts';

/** A folder of a hundred thousand entries: its first page in each order, and the whole of it over SFTP beside sshd. */

const sorts = ['name', '-name', 'size', '-size', 'mtime', '-mtime'];
const rounds = 3;

export async function benchFolders(
  folder: string,
  report: Report,
  { isQuick }: { readonly isQuick: boolean },
): Promise<void> {
  const entries = isQuick ? 10_000 : 100_000;
  const site = await startSite({
    dir: join(folder, 'site'),
    httpsPort: 0,
    sftpPort: 0,
    moreUsers: [buildDemoUser('bench', { hasKey: true })],
  });
  const sshd = await startPrivateSshd(join(folder, 'sshd'));
  try {
    const large = join(site.files.files, 'bench', 'large');
    mkdirSync(large, { recursive: true });
    for (let entry = 0; entry < entries; entry += 1)
      writeFileSync(join(large, `${(entry * 7919) % entries} report.txt`), 'x'.repeat(entry % 50));
    const session = new HttpsSession(site.https, site.files.ca);
    const { password = '', sshKeyFile = '' } = site.users['bench'] ?? {};
    await session.json('POST', '/api/login', { username: 'bench', password });
    const ours: Side = {
      name: 'ours',
      processes: () => ({ node: [site.dmz.pid ?? 0], main: [site.main.pid ?? 0] }),
    };
    const peer: Side = { name: 'sshd', processes: () => ({ peer: sshd.pids() }) };
    const runs = new Runs();
    for (let round = 1; round <= rounds; round += 1) {
      runs.beginRound();
      for (const sort of sorts)
        await runs.timed(sort, ours, async () => {
          const { status } = await session.json('GET', `/api/files/large/?limit=200&sort=${sort}`);
          if (status !== 200) throw new Error(`a page by ${sort}: ${status}`);
        });
      const list = async (target: Parameters<typeof runOpenSshSftp>[0], path: string): Promise<void> => {
        const { status, stderr } = await runOpenSshSftp(target, [`ls -1f ${path}`], [], 600_000);
        if (status !== 0) throw new Error(stderr);
      };
      await runs.timed('ls', ours, () => list({ ...site.sftp, user: 'bench', keyFile: sshKeyFile }, 'large'));
      await runs.timed('ls', peer, () => list(sshd.target, large));
    }
    report.table(
      `A folder of ${entries} entries`,
      ['work', 'seconds', 'CPU s', 'goal of CPU', 'rate ÷ sshd'],
      [
        ...sorts.map((sort) => [
          `first page by \`${sort}\``,
          two(runs.seconds(sort, 'ours')),
          two(runs.usage(sort, 'ours', 'cpuSeconds')),
          '≤ 0.5',
          '',
        ]),
        [
          'the whole of it over SFTP',
          two(runs.seconds('ls', 'ours')),
          two(runs.usage('ls', 'ours', 'cpuSeconds')),
          '',
          two(runs.seconds('ls', 'sshd') / runs.seconds('ls', 'ours')),
        ],
      ],
    );
  } finally {
    await sshd.close();
    await site.stop();
  }
}
