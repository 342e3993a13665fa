/**
 * `npm run bench`: transfers through both nodes beside nginx→nginx (mutual TLS) and OpenSSH's sshd, on this machine, in
 * this run, in turns; medians, printed as ratios. Then small files over SFTP, and what ten thousand users cost. Options:
 * --size MiB (1024), --rounds N (3), --only transfers|files|users, --quick (a tenth of the small files).
 *
 * Files lie in memory (/dev/shm) where there is one, so that no disk is measured. Clients are curl and OpenSSH's sftp
 * for everybody. CPU is what the servers' processes used, clients not included.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import https from 'node:https';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startSite, type Site } from '#scripts/demonstration/site.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { startPrivateSshd } from '#test/harness/private-sshd.ts';
import { measure, median, percentile, residentBytes, type Sample } from './measure.ts';
import { findMissingPrograms, startNginxPair } from './peers.ts';
import { benchFiles } from './small-files.ts';
import { benchUsers } from './users.ts';

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const bytes = Number(values.size) * 1024 * 1024;
const rounds = Number(values.rounds);
const roundTrips = 400;
const streams = 16;

const shm = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const folder = mkdtempSync(join(shm, 'sallyport-bench-'));
const say = (line: string): void => void process.stdout.write(`${line}\n`);

type Runs = Record<string, Sample[]>;

async function timed(
  runs: Runs,
  name: string,
  pids: () => readonly number[],
  run: () => Promise<void>,
): Promise<void> {
  (runs[name] ??= []).push(await measure(pids, run));
}

function requireOk(what: string, ok: boolean, detail = ''): void {
  if (!ok) throw new Error(`${what} failed: ${detail}`);
}

async function curlTo(args: readonly string[], what: string): Promise<void> {
  const result = await runProgram('/usr/bin/curl', ['-sS', '-f', ...args]);
  requireOk(what, result.status === 0, result.stderr);
}

function ratio(runs: Runs, ours: string, peer: string, field: keyof Sample): number {
  const of = (name: string): number => median((runs[name] ?? []).map((sample) => sample[field]));
  return of(peer) / of(ours);
}

function rate(samples: readonly Sample[] | undefined): string {
  const megabytes = bytes / 1e6;
  const rates = (samples ?? []).map((sample) => megabytes / sample.seconds);
  return `${median(rates).toFixed(0)} MB/s (${Math.min(...rates).toFixed(0)}–${Math.max(...rates).toFixed(0)})`;
}

async function roundTripsOf(origin: string, ca: Buffer, cookie: string): Promise<number[]> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (let index = 0; index < roundTrips; index += 1) {
    const start = performance.now();
    await new Promise<void>((resolve, reject) => {
      const request = https.get(`${origin}/api/me`, { agent, ca, headers: { cookie } }, (response) => {
        response.resume();
        response.on('end', resolve);
        response.on('error', reject);
      });
      request.on('error', reject);
    });
    times.push(performance.now() - start);
  }
  agent.destroy();
  return times;
}

async function cookieOf(origin: string, site: Site): Promise<string> {
  const body = JSON.stringify({ username: 'frank', password: site.users['frank']?.password });
  return new Promise((resolve, reject) => {
    const request = https.request(
      `${origin}/api/login`,
      { method: 'POST', ca: readFileSync(site.files.ca), headers: { 'content-type': 'application/json' } },
      (response) => {
        response.resume();
        resolve(response.headers['set-cookie']?.[0]?.split(';')[0] ?? '');
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

async function main(): Promise<void> {
  const peerFiles = join(folder, 'peer');
  mkdirSync(peerFiles, { recursive: true });
  const site = await startSite({ dir: join(folder, 'site'), httpsPort: 0, sftpPort: 0 });
  const nginx = await startNginxPair({
    folder: join(folder, 'nginx'),
    files: peerFiles,
    certificate: site.files.dmz.certificate,
    key: site.files.dmz.key,
    ca: site.files.ca,
  });
  const sshd = await startPrivateSshd(join(folder, 'sshd'));
  try {
    const home = join(site.files.files, 'frank');
    const source = join(folder, 'source.bin');
    for (const file of [source, join(home, 'get.bin'), join(peerFiles, 'get.bin')]) {
      writeFileSync(file, '');
      truncateSync(file, bytes);
    }
    const ca = readFileSync(site.files.ca);
    const cookie = await cookieOf(site.https, site);
    const ours = ['--cacert', site.files.ca, '-b', cookie];
    const peer = ['--cacert', site.files.ca];
    const peerOrigin = `https://localhost:${nginx.port}`;
    const oursPids = (): number[] => [site.dmz.pid ?? 0, site.main.pid ?? 0];
    const frank = { ...site.sftp, user: 'frank', password: site.users['frank']?.password ?? '' };
    const sftp = async (target: SftpTarget, command: string): Promise<void> => {
      const result = await runOpenSshSftp(target, [command]);
      requireOk(command, result.status === 0, result.stderr);
    };

    const runs: Runs = {};
    for (let round = 0; round < rounds; round += 1) {
      say(`round ${round + 1} of ${rounds}`);
      await timed(runs, 'get', oursPids, () =>
        curlTo([...ours, '-o', '/dev/null', `${site.https}/api/files/get.bin`], 'download'),
      );
      await timed(runs, 'nginx get', nginx.pids, () =>
        curlTo([...peer, '-o', '/dev/null', `${peerOrigin}/get.bin`], 'nginx download'),
      );
      await timed(runs, 'put', oursPids, () =>
        curlTo([...ours, '-T', source, `${site.https}/api/files/put.bin`], 'upload'),
      );
      await timed(runs, 'nginx put', nginx.pids, () =>
        curlTo([...peer, '-T', source, `${peerOrigin}/put.bin`], 'nginx upload'),
      );
      await timed(runs, 'sftp get', oursPids, () => sftp(frank, 'get get.bin /dev/null'));
      await timed(runs, 'sshd get', sshd.pids, () => sftp(sshd.target, `get ${peerFiles}/get.bin /dev/null`));
      await timed(runs, 'sftp put', oursPids, () => sftp(frank, `put ${source} sftp-put.bin`));
      await timed(runs, 'sshd put', sshd.pids, () =>
        sftp(sshd.target, `put ${source} ${peerFiles}/sftp-put.bin`),
      );
      await timed(runs, '16 gets', oursPids, () =>
        many((index) =>
          curlTo(
            [...ours, '-o', '/dev/null', '-r', part(index), `${site.https}/api/files/get.bin`],
            'downloads',
          ),
        ),
      );
      await timed(runs, 'nginx 16 gets', nginx.pids, () =>
        many((index) =>
          curlTo([...peer, '-o', '/dev/null', '-r', part(index), `${peerOrigin}/get.bin`], 'nginx downloads'),
        ),
      );
    }
    const idle = await roundTripsOf(site.https, ca, cookie);
    const downloads = many(() =>
      curlTo([...ours, '-o', '/dev/null', `${site.https}/api/files/get.bin`], 'downloads'),
    );
    const busy = await roundTripsOf(site.https, ca, cookie);
    await downloads;

    say('');
    say(
      `${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}, Node ${process.versions.node}, ${values.size} MiB, ${rounds} rounds, medians (spread)`,
    );
    say('');
    say('| transfer | through both nodes | peer | rate ÷ peer | CPU ÷ peer |');
    say('|---|---|---|---|---|');
    for (const [name, peerName, label] of [
      ['get', 'nginx get', 'HTTPS download, 1 stream; nginx→nginx'],
      ['16 gets', 'nginx 16 gets', 'HTTPS download, 16 streams; nginx→nginx'],
      ['put', 'nginx put', 'HTTPS upload, 1 stream; nginx→nginx'],
      ['sftp get', 'sshd get', 'SFTP get; sshd direct, one hop'],
      ['sftp put', 'sshd put', 'SFTP put; sshd direct, one hop'],
    ] as const) {
      const faster = ratio(runs, name, peerName, 'seconds').toFixed(2);
      const cpu = (1 / ratio(runs, name, peerName, 'cpuSeconds')).toFixed(2);
      say(`| ${label} | ${rate(runs[name])} | ${rate(runs[peerName])} | ${faster} | ${cpu} |`);
    }
    say('');
    say(
      `GET /api/me, a control round trip: idle p50 ${median(idle).toFixed(1)} ms, p99 ${percentile(idle, 99).toFixed(1)} ms; under ${streams} downloads p50 ${median(busy).toFixed(1)} ms, p99 ${percentile(busy, 99).toFixed(1)} ms (the clients share the machine)`,
    );
    say(`resident: dmz ${megabytesOf(site.dmz.pid)} MiB, main-agent ${megabytesOf(site.main.pid)} MiB`);
  } finally {
    await sshd.close();
    await nginx.close();
    await site.stop();
  }

  function part(index: number): string {
    const size = Math.floor(bytes / streams);
    return `${index * size}-${(index + 1) * size - 1}`;
  }
}

function many(run: (index: number) => Promise<void>): Promise<void> {
  return Promise.all(Array.from({ length: streams }, (_, index) => run(index))).then(() => undefined);
}

function megabytesOf(pid: number | undefined): string {
  return pid === undefined ? '?' : (residentBytes(pid) / 2 ** 20).toFixed(0);
}

const isAsked = (part: string): boolean => values.only === undefined || values.only === part;
const missing = findMissingPrograms(isAsked);
if (missing !== undefined) {
  process.stderr.write(`Programs to compare with are missing.\n${missing}\n`);
  process.exit(2);
}
try {
  if (isAsked('transfers')) await main();
  if (isAsked('files')) await benchFiles(folder, say, { rounds, isQuick: values.quick });
  if (isAsked('users')) await benchUsers(folder, say);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
