import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { type Site, startSite } from '#scripts/demonstration/site.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { descendantsOf } from '#test/harness/peer.ts';
import { median, threadSeconds } from './measure.ts';
import { megabytesPerSecond, type Report, two } from './report.ts';
import { Runs, type Side } from './sides.ts';

/**
 * One process of a node beside two (`workers`), with clients of many networks, in turns. With as many cores as client,
 * node and main keep busy it shows what more workers bring; with fewer, what they cost. What main's own thread needs says
 * how many workers one main can feed.
 */

const streams = 16;
/** Each a network of its own, and so of either worker. */
const addresses = Array.from({ length: streams }, (_, index) => `127.0.${index + 1}.1`);
const connections = 400;

interface WorkersSide extends Side {
  readonly site: Site;
  readonly cookies: readonly string[];
}

export async function benchWorkers(
  folder: string,
  report: Report,
  { bytes, rounds }: { readonly bytes: number; readonly rounds: number },
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const source = join(folder, 'source.bin');
  writeFileSync(source, '');
  truncateSync(source, Math.floor(bytes / streams));
  const sides: WorkersSide[] = [];
  try {
    for (const workers of [1, 2]) {
      const site = await startSite({
        dir: join(folder, `site-${workers}`),
        httpsPort: 0,
        sftpPort: 0,
        workers,
        moreUsers: [buildDemoUser('bench')],
      });
      sides.push({
        name: workers === 1 ? '1 worker' : `${workers} workers`,
        site,
        processes: () => ({ node: processesOf(site), main: [site.main.pid ?? 0] }),
        cookies: await Promise.all(addresses.map((address) => logIn(site, address))),
      });
      mkdirSync(join(site.files.files, 'bench'), { recursive: true });
      writeFileSync(join(site.files.files, 'bench', 'get.bin'), '');
      truncateSync(join(site.files.files, 'bench', 'get.bin'), Math.floor(bytes / streams));
    }
    const runs = new Runs();
    const mainThread = new Map<string, number[]>();
    for (let round = 1; round <= rounds; round += 1) {
      runs.beginRound();
      process.stderr.write(`workers, round ${round} of ${rounds}\n`);
      for (const [what, take] of Object.entries(works))
        for (const side of sides) {
          const pid = side.site.main.pid ?? 0;
          const before = threadSeconds(pid);
          await runs.timed(what, side, () => take(side, source));
          const key = `${side.name}: ${what}`;
          mainThread.set(key, [...(mainThread.get(key) ?? []), threadSeconds(pid) - before]);
        }
    }
    const rows = Object.keys(works).flatMap((what) =>
      sides.map(({ name }) => {
        const isTransfer = what !== 'connections';
        const per = isTransfer ? 2 ** 30 / bytes : 1_000 / connections;
        return [
          what,
          name,
          isTransfer ? megabytesPerSecond(bytes, runs.seconds(what, name)) : '',
          two(runs.usageOf(what, name, 'node', 'cpuSeconds') * per),
          two(runs.usageOf(what, name, 'main', 'cpuSeconds') * per),
          two(median(mainThread.get(`${name}: ${what}`) ?? []) * per),
        ];
      }),
    );
    report.table(
      `One process of a node and two, on ${cpus().length} cores`,
      ['work', 'node', 'MB/s', 'CPU s of the node', 'of main', "of it main's own thread"],
      rows,
    );
    report.line(
      `CPU seconds a GiB; of connections (TLS, one question, end): a thousand. What main's own thread needs is what one main can not spread over cores.`,
    );
  } finally {
    for (const { site } of sides) await site.stop();
  }
}

const works: Readonly<Record<string, (side: WorkersSide, source: string) => Promise<unknown>>> = {
  '16 downloads': (side) => curlAll(side, ({ origin }) => ['-o', '/dev/null', `${origin}/api/files/get.bin`]),
  '16 uploads': (side, source) =>
    curlAll(side, ({ origin, index }) => {
      const target = `${origin}/api/files/put-${index}.bin`;
      return ['-T', source, '-o', '/dev/null', target];
    }),
  connections: (side) =>
    curlAll(side, ({ origin }) => {
      const many = `${origin}/api/me?[1-${connections / streams}]`;
      // A connection for each: none is kept.
      return ['-H', 'connection: close', '-o', '/dev/null', many];
    }),
};

function curlAll(
  { site, cookies }: WorkersSide,
  build: (one: { readonly origin: string; readonly index: number }) => readonly string[],
): Promise<unknown> {
  return Promise.all(
    addresses.map(async (address, index) => {
      const who = ['--interface', address, '-b', cookies[index] ?? ''];
      const args = ['-sS', '-f', '--cacert', site.files.ca, ...who, ...build({ origin: site.https, index })];
      const { status, stderr } = await runProgram('/usr/bin/curl', args, { timeoutMs: 600_000 });
      if (status !== 0) throw new Error(`curl ${args.join(' ')} failed: ${stderr}`);
    }),
  );
}

async function logIn(site: Site, localAddress: string): Promise<string> {
  const session = new HttpsSession(site.https, site.files.ca, localAddress);
  const { password } = site.users['bench'] ?? {};
  const { status, body } = await session.json('POST', '/api/login', { username: 'bench', password });
  if (status !== 200) throw new Error(`login failed: ${JSON.stringify(body)}`);
  return session.cookie;
}

/** The node's process and its workers. */
function processesOf({ dmz: { pid = 0 } }: Site): readonly number[] {
  return [pid, ...descendantsOf(pid)];
}
