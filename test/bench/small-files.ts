import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { startSite } from '#scripts/demonstration/site.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { mountSshfs } from '#test/harness/clients/sshfs.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { startPrivateSshd } from '#test/harness/private-sshd.ts';
import { measure, median, type Sample } from './measure.ts';

/**
 * SFTP where the bytes are few and the requests many, beside a private sshd, in turns: files of 1 KiB put and got,
 * copied onto an sshfs mount, questions that do not wait for each other; and one large file each way.
 */

/** As many questions under way as OpenSSH's client has requests. */
const statsAtOnce = 64;
/** On a busy machine ten thousand files take minutes. */
const timeoutMs = 1_200_000;

interface Side {
  readonly name: 'ours' | 'peer';
  readonly target: SftpTarget;
  /** Where what the client stores arrives. */
  readonly files: string;
  readonly pids: () => readonly number[];
}

export interface FilesBench {
  readonly rounds: number;
  readonly isQuick: boolean;
}

export async function benchFiles(
  folder: string,
  say: (line: string) => void,
  { rounds, isQuick }: FilesBench,
): Promise<void> {
  const [files, mounted, stats, megabytes] = isQuick
    ? [1_000, 200, 2_000, 64]
    : [10_000, 2_000, 20_000, 1_024];
  const source = join(folder, 'small');
  writeFolders(join(source, 'many'), files);
  writeFolders(join(source, 'mounted'), mounted);
  const large = join(source, 'large.bin');
  writeFileSync(large, '');
  truncateSync(large, megabytes * 1024 * 1024);

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
    const sides: readonly Side[] = [
      {
        name: 'ours',
        target: { ...site.sftp, user: 'bench', keyFile },
        files: join(site.files.files, 'bench'),
        pids: () => [site.dmz.pid ?? 0, site.main.pid ?? 0],
      },
      { name: 'peer', target: sshd.targetIn(peerFiles), files: peerFiles, pids: sshd.pids },
    ];
    const runs = new Map<string, Record<Side['name'], Sample[]>>();
    const timed = async (what: string, side: Side, run: () => Promise<void>): Promise<void> => {
      const samples = runs.get(what) ?? { ours: [], peer: [] };
      runs.set(what, samples);
      samples[side.name].push(await measure(side.pids, run));
    };
    for (let round = 1; round <= rounds; round += 1) {
      say(`files, round ${round} of ${rounds}`);
      for (const side of sides) {
        const here = join(folder, `files-got-${side.name}`);
        mkdirSync(here);
        const sftp = (command: string) => () => batch(side.target, command);
        await timed(`sftp put, ${files} × 1 KiB`, side, sftp(`put -r ${join(source, 'many')} many`));
        await timed(`sftp get, ${files} × 1 KiB`, side, sftp(`get -r many ${join(here, 'many')}`));
        const mount = await mountSshfs(side.target);
        try {
          await timed(`sshfs cp -r, ${mounted} × 1 KiB`, side, async () => {
            const copy = ['-r', join(source, 'mounted'), join(mount.path, 'mounted')];
            const { status, stderr } = await runProgram('/usr/bin/cp', copy, { timeoutMs });
            if (status !== 0) throw new Error(stderr);
          });
        } finally {
          await mount.unmount();
        }
        const questions = await openQuestions(side.target);
        await timed(`${stats} STATs, ${statsAtOnce} at once`, side, () => questions.ask(stats));
        questions.end();
        await timed(`sftp put, ${megabytes} MiB`, side, sftp(`put ${large} large.bin`));
        await timed(`sftp get, ${megabytes} MiB`, side, sftp('get large.bin /dev/null'));
        for (const stored of ['many', 'mounted', 'large.bin'])
          rmSync(join(side.files, stored), { recursive: true });
        rmSync(here, { recursive: true });
      }
    }
    say('');
    say('| SFTP | through both nodes | sshd direct | rate ÷ peer | CPU s | CPU s of sshd |');
    say('|---|---|---|---|---|---|');
    for (const [what, { ours, peer }] of runs) {
      const of = (samples: readonly Sample[], field: keyof Sample): number =>
        median(samples.map((sample) => sample[field]));
      const [seconds, peerSeconds] = [of(ours, 'seconds'), of(peer, 'seconds')];
      const cpu = [of(ours, 'cpuSeconds'), of(peer, 'cpuSeconds')].map((one) => one.toFixed(2)).join(' | ');
      const ratio = (peerSeconds / seconds).toFixed(2);
      say(`| ${what} | ${seconds.toFixed(2)} s | ${peerSeconds.toFixed(2)} s | ${ratio} | ${cpu} |`);
    }
  } finally {
    await sshd.close();
    await site.stop();
  }
}

/** In folders of 500, as people keep them. */
function writeFolders(folder: string, files: number): void {
  for (let file = 0; file < files; file += 1) {
    const within = join(folder, `folder-${Math.floor(file / 500)}`);
    mkdirSync(within, { recursive: true });
    writeFileSync(join(within, `file-${file}`), randomBytes(1_024));
  }
}

async function batch(target: SftpTarget, command: string): Promise<void> {
  const { status, stderr } = await runOpenSshSftp(target, [command], [], timeoutMs);
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
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
        while (next < count) await one(`mounted/folder-0/file-${(next += 1) % 200}`);
      };
      await Promise.all(Array.from({ length: statsAtOnce }, work));
    },
    end: () => client.end(),
  };
}
