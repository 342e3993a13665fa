import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startSite } from '#scripts/demonstration/site.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { startPrivateSshd } from '#test/harness/private-sshd.ts';
import { median, residentBytes, type Sample } from './measure.ts';
import { startProftpd, startRclone, startWebPeers } from './peers.ts';
import { megabytesPerSecond, type Report, two } from './report.ts';
import { Runs, type Side, spread } from './sides.ts';

/**
 * Large files, each step by everybody in turn. The order is part of what is measured: downloads, sixteen at once, the
 * same downloads again, an upload, and once more a download. A process that ages shows in the later ones.
 */

const steps = [
  'download',
  'download',
  'download',
  '16 downloads',
  'download after 16',
  'download after 16',
  'download after 16',
  'upload',
  'download after upload',
] as const;
type Step = (typeof steps)[number];
const streams = 16;

interface WebSide extends Side {
  readonly curl: readonly string[];
  readonly get: string;
  readonly put: string;
}

interface SftpSide extends Side {
  readonly target: SftpTarget;
  readonly options: readonly string[];
  /** Before the names of files. */
  readonly prefix: string;
}

export interface TransfersBench {
  readonly bytes: number;
  readonly rounds: number;
}

export async function benchTransfers(
  folder: string,
  report: Report,
  { bytes, rounds }: TransfersBench,
): Promise<void> {
  const peerFiles = join(folder, 'peer');
  mkdirSync(peerFiles, { recursive: true });
  const site = await startSite({
    dir: join(folder, 'site'),
    httpsPort: 0,
    sftpPort: 0,
    moreUsers: [buildDemoUser('bench', { hasKey: true })],
  });
  const web = await startWebPeers({
    folder: join(folder, 'web'),
    files: peerFiles,
    certificate: site.files.dmz.certificate,
    key: site.files.dmz.key,
    ca: site.files.ca,
  });
  const sshd = await startPrivateSshd(join(folder, 'sshd'));
  const jump = await startPrivateSshd(join(folder, 'jump'));
  const rclone = await startRclone(join(folder, 'rclone'), peerFiles);
  const proftpd = await startProftpd(join(folder, 'proftpd'), peerFiles);
  try {
    const home = join(site.files.files, 'bench');
    mkdirSync(home, { recursive: true });
    const source = join(folder, 'source.bin');
    for (const file of [source, join(home, 'get.bin'), join(peerFiles, 'get.bin')]) {
      writeFileSync(file, '');
      truncateSync(file, bytes);
    }
    const { password = '', sshKeyFile = '' } = site.users['bench'] ?? {};
    const session = new HttpsSession(site.https, site.files.ca);
    const login = await session.json('POST', '/api/login', { username: 'bench', password });
    requireOk('login', login.status === 200, JSON.stringify(login.body));
    const nodes = (): Side['processes'] => () => ({
      node: [site.dmz.pid ?? 0],
      main: [site.main.pid ?? 0],
    });
    const webPeer = (name: 'nginx' | 'haproxy' | 'node'): WebSide => {
      const { port, pids } = web[name];
      const origin = `https://localhost:${port}`;
      return {
        name: name === 'node' ? 'bare `node:https`→nginx' : `${name}→nginx`,
        processes: () => ({ peer: pids() }),
        curl: [],
        get: `${origin}/get.bin`,
        put: `${origin}/put.bin`,
      };
    };
    const webSides: readonly WebSide[] = [
      {
        name: 'ours',
        processes: nodes(),
        curl: ['-b', session.cookie],
        get: `${site.https}/api/files/get.bin`,
        put: `${site.https}/api/files/put.bin`,
      },
      webPeer('nginx'),
      webPeer('haproxy'),
      webPeer('node'),
    ];
    const through = [
      'ssh -F none -o IdentityAgent=none -o IdentitiesOnly=yes -o StrictHostKeyChecking=no',
      `-o UserKnownHostsFile=${join(folder, 'jump-hosts')} -i ${jump.target.keyFile}`,
      `-p ${jump.port} -W %h:%p ${jump.target.user}@${jump.target.host}`,
    ].join(' ');
    const peers = { sshd, rclone, proftpd };
    const sftpSides: readonly SftpSide[] = [
      {
        name: 'ours',
        processes: nodes(),
        target: { ...site.sftp, user: 'bench', keyFile: sshKeyFile },
        options: [],
        prefix: '',
      },
      ...(['sshd', 'rclone', 'proftpd'] as const).map((name) => ({
        name,
        processes: () => ({ peer: peers[name].pids() }),
        target: peers[name].target,
        options: [],
        prefix: name === 'sshd' ? `${peerFiles}/` : '',
      })),
      {
        name: 'sshd by ProxyJump',
        processes: () => ({ peer: [...sshd.pids(), ...jump.pids()] }),
        target: sshd.target,
        options: ['-o', `ProxyCommand=${through}`],
        prefix: `${peerFiles}/`,
      },
    ];

    const runs = new Runs();
    for (let round = 1; round <= rounds; round += 1) {
      runs.beginRound();
      process.stderr.write(`transfers, round ${round} of ${rounds}\n`);
      for (const step of steps)
        for (const side of webSides)
          await runs.timed(step, side, () => takeStep(step, side, { ca: site.files.ca, source, bytes }));
      for (const command of ['get', 'put'] as const)
        for (const side of sftpSides)
          await runs.timed(`sftp ${command}`, side, async () => {
            const { prefix, target, options } = side;
            const words =
              command === 'get' ? `get ${prefix}get.bin /dev/null` : `put ${source} ${prefix}put.bin`;
            const { status, stderr } = await runOpenSshSftp(target, [words], options, 600_000);
            requireOk(`${side.name}: ${words}`, status === 0, stderr);
          });
    }
    tell(report, runs, bytes, webSides, sftpSides);
    const resident = (pid: number | undefined): string => (residentBytes(pid ?? 0) / 2 ** 20).toFixed(0);
    report.line(
      `Resident afterwards: node ${resident(site.dmz.pid)} MiB, main ${resident(site.main.pid)} MiB.`,
    );
  } finally {
    for (const peer of [proftpd, rclone, jump, sshd, web]) await peer.close();
    await site.stop();
  }
}

async function takeStep(
  step: Step,
  { curl, get, put }: WebSide,
  { ca, source, bytes }: { readonly ca: string; readonly source: string; readonly bytes: number },
): Promise<void> {
  const run = async (...args: readonly string[]): Promise<void> => {
    const all = ['-sS', '-f', '--cacert', ca, ...curl, ...args];
    const { status, stderr } = await runProgram('/usr/bin/curl', all, { timeoutMs: 600_000 });
    requireOk(`curl ${args.join(' ')}`, status === 0, stderr);
  };
  if (step === 'upload') return run('-T', source, '-o', '/dev/null', put);
  if (step !== '16 downloads') return run('-o', '/dev/null', get);
  const size = Math.floor(bytes / streams);
  const parts = Array.from({ length: streams }, (_, index) => `${index * size}-${(index + 1) * size - 1}`);
  await Promise.all(parts.map((part) => run('-r', part, '-o', '/dev/null', get)));
}

interface Goal {
  readonly what: string;
  readonly label: string;
  readonly peer: string;
  readonly rate: number;
  readonly cpu: number;
}

const goals: readonly Goal[] = [
  { what: 'download', label: 'HTTPS download', peer: 'nginx→nginx', rate: 1.2, cpu: 0.75 },
  { what: '16 downloads', label: 'HTTPS, 16 downloads', peer: 'nginx→nginx', rate: 1.1, cpu: 0.85 },
  { what: 'upload', label: 'HTTPS upload', peer: 'nginx→nginx', rate: 1.1, cpu: 0.9 },
  { what: 'sftp get', label: 'SFTP get', peer: 'sshd', rate: 1.1, cpu: 1 },
  { what: 'sftp put', label: 'SFTP put', peer: 'sshd', rate: 1.5, cpu: 0.7 },
];

function tell(
  report: Report,
  runs: Runs,
  bytes: number,
  webSides: readonly Side[],
  sftpSides: readonly Side[],
): void {
  const perGiB = 2 ** 30 / bytes;
  const rateOf = (what: string, side: string): string => {
    const [fast, slow] = spread(runs.warm(what, side)).map((seconds) => megabytesPerSecond(bytes, seconds));
    return `${megabytesPerSecond(bytes, runs.seconds(what, side))} (${slow}–${fast})`;
  };
  report.table(
    'Large files beside peers, warm medians',
    ['work', 'MB/s (quartiles)', 'peer', 'its MB/s', 'rate ÷ peer', 'goal', 'CPU ÷ peer', 'goal'],
    goals.map(({ what, label, peer, rate, cpu }) => {
      const ratio = runs.seconds(what, peer) / runs.seconds(what, 'ours');
      const cpuRatio = runs.usage(what, 'ours', 'cpuSeconds') / runs.usage(what, peer, 'cpuSeconds');
      report.comparisons.push({ label: `${label} ÷ ${peer}`, ratio, goal: rate, cpuRatio, cpuGoal: cpu });
      return [
        label,
        rateOf(what, 'ours'),
        peer,
        rateOf(what, peer),
        two(ratio),
        `≥ ${rate}`,
        two(cpuRatio),
        `≤ ${cpu}`,
      ];
    }),
  );
  report.table(
    'Everybody, a GiB',
    ['work', 'by', 'MB/s', 'CPU s', 'of it node', 'main', 'faults', 'switches', 'cold MB/s', 'cold CPU s'],
    [...new Set<string>(steps), 'sftp get', 'sftp put'].flatMap((what) =>
      (what.startsWith('sftp') ? sftpSides : webSides).map(({ name }) => {
        const cold: Sample | undefined = runs.cold(what, name);
        const of = (process: string): string =>
          name === 'ours' ? two(runs.usageOf(what, name, process, 'cpuSeconds') * perGiB) : '';
        return [
          what,
          name,
          megabytesPerSecond(bytes, runs.seconds(what, name)),
          two(runs.usage(what, name, 'cpuSeconds') * perGiB),
          of('node'),
          of('main'),
          (runs.usage(what, name, 'minorFaults') * perGiB).toFixed(0),
          (runs.usage(what, name, 'switches') * perGiB).toFixed(0),
          cold === undefined ? '' : megabytesPerSecond(bytes, cold.seconds),
          cold === undefined ? '' : two(cold.all.cpuSeconds * perGiB),
        ];
      }),
    ),
  );
  const cpuOf = (what: string): number => median(runs.warm(what, 'ours').map(({ all }) => all.cpuSeconds));
  report.line(
    `A download costs ${two(cpuOf('download after 16') / cpuOf('download'))} times the CPU after sixteen at once, and ${two(cpuOf('download after upload') / cpuOf('download'))} times after an upload (goal: at most 1.15).`,
  );
}

function requireOk(what: string, ok: boolean, detail = ''): void {
  if (!ok) throw new Error(`${what} failed: ${detail}`);
}
