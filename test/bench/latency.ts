import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { startSite } from '#scripts/demonstration/site.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { median, percentile } from './measure.ts';
import { two, type Report } from './report.ts';

/**
 * How long a small question waits while sixteen downloads run: `GET /api/me`, which main answers. The downloads' curls
 * are at the lowest priority, so that the wait is the servers' and not that of clients on the same two cores.
 */

const questions = 400;
const streams = 16;

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
    const stopping = new AbortController();
    const download = async (): Promise<void> => {
      const args = [
        '-n',
        '19',
        '/usr/bin/curl',
        '-sS',
        '-f',
        '--cacert',
        site.files.ca,
        '-b',
        session.cookie,
      ];
      while (!stopping.signal.aborted)
        await runProgram('/usr/bin/nice', [...args, '-o', '/dev/null', `${site.https}/api/files/get.bin`], {
          timeoutMs: 600_000,
        });
    };
    const downloads = Array.from({ length: streams }, download);
    const busy = await ask('/api/me');
    stopping.abort();
    await Promise.all(downloads);
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
        row(`\`GET /api/me\` under ${streams} downloads`, busy, '≤ 10'),
      ],
    );
  } finally {
    await site.stop();
  }
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
