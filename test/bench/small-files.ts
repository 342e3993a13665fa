import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { startSite } from '#scripts/demonstration/site.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { mountSshfs } from '#test/harness/clients/sshfs.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { startPrivateSshd } from '#test/harness/private-sshd.ts';
import { type Report, two } from './report.ts';
import { Runs, type Side } from './sides.ts';

/**
 * SFTP where the bytes are few and the requests many, beside a private sshd, in turns: files of 1 KiB put and got,
 * listed and deleted, copied onto an sshfs mount, and questions that do not wait for each other.
 */

/** As many questions under way as OpenSSH's client has requests. */
const statsAtOnce = 64;
/** So many files are asked for in turn; the smallest run copies no more. */
const statFiles = 100;
/** On a busy machine ten thousand files take minutes. */
const timeoutMs = 1_200_000;

interface FilesSide extends Side {
  readonly target: SftpTarget;
  /** Where what the client stores arrives. */
  readonly files: string;
}

export interface FilesBench {
  readonly rounds: number;
  readonly isQuick: boolean;
}

export async function benchFiles(
  folder: string,
  report: Report,
  { rounds, isQuick }: FilesBench,
): Promise<void> {
  const [files, mounted, stats] = isQuick ? [500, 100, 2_000] : [10_000, 2_000, 20_000];
  const source = join(folder, 'small');
  writeFolders(join(source, 'many'), files);
  writeFolders(join(source, 'mounted'), mounted);
  const site = await startSite({
    dir: join(folder, 'files-site'),
    httpsPort: 0,
    sftpPort: 0,
    moreUsers: [buildDemoUser('bench', { hasKey: true })],
  });
  const sshd = await startPrivateSshd(join(folder, 'files-sshd'));
  try {
    const peerFiles = join(folder, 'files-peer');
    mkdirSync(peerFiles);
    const keyFile = site.users['bench']?.sshKeyFile ?? '';
    const sides: readonly FilesSide[] = [
      {
        name: 'ours',
        target: { ...site.sftp, user: 'bench', keyFile },
        files: join(site.files.files, 'bench'),
        processes: () => ({ node: [site.dmz.pid ?? 0], main: [site.main.pid ?? 0] }),
      },
      {
        name: 'sshd',
        target: sshd.targetIn(peerFiles),
        files: peerFiles,
        processes: () => ({ peer: sshd.pids() }),
      },
    ];
    const work = {
      put: `put -r, ${files} × 1 KiB`,
      get: `get -r, ${files} × 1 KiB`,
      list: `ls -l of ${files} files`,
      remove: `rm of ${files} files`,
      mount: `sshfs cp -r, ${mounted} × 1 KiB`,
      stat: `${stats} STATs, ${statsAtOnce} at once`,
    };
    const runs = new Runs();
    for (let round = 1; round <= rounds; round += 1) {
      runs.beginRound();
      process.stderr.write(`files, round ${round} of ${rounds}\n`);
      for (const side of sides) {
        const here = join(folder, `files-got-${side.name}`);
        mkdirSync(here);
        const sftp =
          (...commands: readonly string[]) =>
          () =>
            batch(side.target, commands);
        await runs.timed(work.put, side, sftp(`put -r ${join(source, 'many')} many`));
        await runs.timed(work.get, side, sftp(`get -r many ${join(here, 'many')}`));
        const folders = Array.from(
          { length: Math.ceil(files / perFolder) },
          (_, index) => `many/folder-${index}`,
        );
        await runs.timed(work.list, side, sftp(...folders.map((one) => `ls -l ${one}`)));
        await runs.timed(work.remove, side, sftp(...folders.map((one) => `rm ${one}/*`)));
        const mount = await mountSshfs(side.target);
        try {
          await runs.timed(work.mount, side, async () => {
            const copy = ['-r', join(source, 'mounted'), join(mount.path, 'mounted')];
            const { status, stderr } = await runProgram('/usr/bin/cp', copy, { timeoutMs });
            if (status !== 0) throw new Error(stderr);
          });
        } finally {
          await mount.unmount();
        }
        const questions = await openQuestions(side.target);
        await runs.timed(work.stat, side, () => questions.ask(stats));
        questions.end();
        for (const stored of ['many', 'mounted']) rmSync(join(side.files, stored), { recursive: true });
        rmSync(here, { recursive: true });
      }
    }
    const goals: Readonly<Record<string, number>> = { [work.put]: 3, [work.get]: 1.5 };
    report.table(
      'Many small things over SFTP, beside sshd',
      [
        'work',
        'seconds',
        'sshd',
        'time ÷ sshd',
        'goal',
        'CPU ms each: node',
        'main',
        'sshd',
        'faults',
        'switches',
      ],
      Object.values(work).map((what) => {
        const [ours, peer] = [runs.seconds(what, 'ours'), runs.seconds(what, 'sshd')];
        const goal = goals[what];
        report.comparisons.push({
          label: `SFTP ${what} ÷ sshd`,
          ratio: peer / ours,
          cpuRatio: runs.usage(what, 'ours', 'cpuSeconds') / runs.usage(what, 'sshd', 'cpuSeconds'),
          ...(goal !== undefined && { goal: 1 / goal }),
        });
        const count = what === work.mount ? mounted : what === work.stat ? stats : files;
        const each = (side: string, process: string): string =>
          two((runs.usageOf(what, side, process, 'cpuSeconds') / count) * 1000);
        return [
          what,
          two(ours),
          two(peer),
          two(ours / peer),
          goal === undefined ? '' : `≤ ${goal}`,
          each('ours', 'node'),
          each('ours', 'main'),
          each('sshd', 'peer'),
          (runs.usage(what, 'ours', 'minorFaults') / count).toFixed(1),
          (runs.usage(what, 'ours', 'switches') / count).toFixed(1),
        ];
      }),
    );
  } finally {
    await sshd.close();
    await site.stop();
  }
}

/** As people keep them. */
const perFolder = 500;

function writeFolders(folder: string, files: number): void {
  for (let file = 0; file < files; file += 1) {
    const within = join(folder, `folder-${Math.floor(file / perFolder)}`);
    mkdirSync(within, { recursive: true });
    writeFileSync(join(within, `file-${file}`), randomBytes(1_024));
  }
}

async function batch(target: SftpTarget, commands: readonly string[]): Promise<void> {
  const { status, stderr } = await runOpenSshSftp(target, commands, [], timeoutMs);
  if (status !== 0) throw new Error(`${commands[0]}: ${stderr}`);
}

/** A session on which STAT is asked for `folder-0/file-n` of the mounted copy. */
async function openQuestions(
  target: SftpTarget,
): Promise<{ ask(count: number): Promise<void>; end(): void }> {
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.once('ready', () => resolve());
    client.once('error', reject);
    client.connect({
      host: target.host,
      port: target.port,
      username: target.user,
      privateKey: readFileSync(target.keyFile ?? ''),
    });
  });
  const sftp = await new Promise<ssh2.SFTPWrapper>((resolve, reject) => {
    client.sftp((error, opened) => (error ? reject(error) : resolve(opened)));
  });
  return {
    async ask(count) {
      let next = 0;
      const one = (path: string): Promise<void> =>
        new Promise((resolve, reject) => {
          sftp.stat(path, (error) => (error ? reject(error) : resolve()));
        });
      const work = async (): Promise<void> => {
        while (next < count) await one(`mounted/folder-0/file-${(next += 1) % statFiles}`);
      };
      await Promise.all(Array.from({ length: statsAtOnce }, work));
    },
    end: () => client.end(),
  };
}
