import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Site, startSite } from '#scripts/demonstration/site.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { median, percentile } from './measure.ts';
import { two, type Report } from './report.ts';

/**
 * How long a small question waits while sixteen transfers run: `GET /api/me` (main's state) and a listing (main's disk).
 * The transfers' curls have the lowest priority (`nice -n 19`), so that the wait is the servers' and not that of clients
 * on the same cores; `chrt --idle` instead was measured to give the same. One that is done begins anew, with a file that
 * is large enough not to be done soon: handshakes are another measurement's.
 */

const questions = 400;
const streams = 16;
/** By then the lowest priority has let all curls shake hands. */
const beginMs = 3_000;

export async function benchLatency(
  folder: string,
  report: Report,
  { bytes }: { readonly bytes: number },
): Promise<void> {
  const site = await startSite({ dir: folder, httpsPort: 0, sftpPort: 0 });
  try {
    const home = join(site.files.files, 'frank');
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'get.bin'), '');
    truncateSync(join(home, 'get.bin'), bytes);
    writeFileSync(join(home, 'small.txt'), 'small');
    const session = new HttpsSession(site.https, site.files.ca);
    const password = site.users['frank']?.password;
    await session.json('POST', '/api/login', { username: 'frank', password });
    const ask = (path: string): Promise<number[]> =>
      askInTurn(`${site.https}${path}`, readFileSync(site.files.ca), session.cookie);

    await ask('/api/me');
    const idle = await ask('/api/me');
    const firstByte = await ask('/api/files/small.txt');
    const during = async (direction: 'downloads' | 'uploads'): Promise<readonly (readonly number[])[]> => {
      const running = startTransfers(direction, site, session.cookie, home);
      await wait(beginMs);
      const times = [await ask('/api/me'), await ask('/api/files/')];
      await running.stop();
      return times;
    };
    const [meDown = [], listDown = []] = await during('downloads');
    const [meUp = [], listUp = []] = await during('uploads');
    const row = (label: string, times: readonly number[], goal: string): readonly string[] => [
      label,
      two(median(times)),
      two(percentile(times, 99)),
      goal,
    ];
    report.table(
      'How long a question waits, ms',
      ['question', 'p50', 'p99', 'goal of p99'],
      [
        row('`GET /api/me`, idle', idle, ''),
        row('`GET` of a file of 5 bytes, idle', firstByte, ''),
        row(`\`GET /api/me\` under ${streams} downloads`, meDown, '≤ 10'),
        row(`a listing under ${streams} downloads`, listDown, '≤ 10'),
        row(`\`GET /api/me\` under ${streams} uploads`, meUp, ''),
        row(`a listing under ${streams} uploads`, listUp, ''),
      ],
    );
  } finally {
    await site.stop();
  }
}

interface Transfers {
  stop(): Promise<void>;
}

function startTransfers(
  direction: 'downloads' | 'uploads',
  { https: origin, files }: Site,
  cookie: string,
  home: string,
): Transfers {
  const running = new Set<ChildProcess>();
  const stopping = new AbortController();
  const repeat = async (index: number): Promise<void> => {
    const what =
      direction === 'downloads'
        ? ['-o', '/dev/null', `${origin}/api/files/get.bin`]
        : ['-T', join(home, 'get.bin'), `${origin}/api/files/put-${index}.bin`];
    const args = ['-n', '19', '/usr/bin/curl', '-sS', '-f', '--cacert', files.ca, '-b', cookie, ...what];
    while (!stopping.signal.aborted) {
      const child = spawn('/usr/bin/nice', args, { stdio: 'ignore' });
      running.add(child);
      const [status] = (await once(child, 'exit')) as [number | null];
      running.delete(child);
      if (status !== 0 && !stopping.signal.aborted) throw new Error(`curl ended with ${String(status)}`);
    }
  };
  const transfers = Promise.all(Array.from({ length: streams }, (_, index) => repeat(index)));
  // Looked at when they are stopped.
  transfers.catch(() => undefined);
  return {
    async stop() {
      stopping.abort();
      for (const child of running) child.kill();
      await transfers;
    },
  };
}

/** One after the other over one connection: milliseconds to the end of each answer. */
async function askInTurn(url: string, ca: Buffer, cookie: string): Promise<number[]> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (let index = 0; index < questions; index += 1) {
    const start = performance.now();
    await new Promise<void>((resolve, reject) => {
      const request = https.get(url, { agent, ca, headers: { cookie } }, (response) => {
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
