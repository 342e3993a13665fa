import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startSite, type Site } from '#scripts/demonstration/site.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { runSallyport } from '#test/harness/clients/sallyport.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { cpuSeconds, median, residentBytes } from './measure.ts';
import type { Report } from './report.ts';

/**
 * What ten thousand users cost: main's start and memory, a login, a listing and an edit with them, beside the same with
 * the demo's handful, in this run; and how near a speed limit comes to what it says.
 */

const logins = 9;
const limitSeconds = 10;
const limitBytesPerSecond = 4 * 1024 * 1024;
const limitedStreams = 4;

interface Measured {
  readonly startMs: number;
  readonly residentMiB: number;
  readonly loginMs: number;
  readonly listMs: number;
  readonly editMs: number;
}

export async function benchUsers(
  folder: string,
  report: Report,
  { isQuick }: { readonly isQuick: boolean },
): Promise<void> {
  const count = isQuick ? 1_000 : 10_000;
  const site = await startSite({ dir: folder, httpsPort: 0, sftpPort: 0 });
  try {
    const few = await measureUsers(site, 0);
    writeUsers(site.files.main.users, count);
    const many = await measureUsers(site, count);
    const rows: readonly (readonly [string, keyof Measured, string])[] = [
      ['main starts (process to admin socket)', 'startMs', 'ms'],
      ['resident, when it has come to rest', 'residentMiB', 'MiB'],
      [`login with a password, median of ${logins}`, 'loginMs', 'ms'],
      ['sallyport users list, all pages', 'listMs', 'ms'],
      ['file saved to change seen over HTTPS', 'editMs', 'ms'],
    ];
    report.table(
      'Users',
      ['what', 'the demo’s', `${count} more`, 'times'],
      rows.map(([label, key, unit]) => [
        label,
        `${few[key].toFixed(0)} ${unit}`,
        `${many[key].toFixed(0)} ${unit}`,
        (many[key] / few[key]).toFixed(2),
      ]),
    );
    await measureLimit(site, report);
  } finally {
    await site.stop();
  }
}

async function measureUsers(site: Site, more: number): Promise<Measured> {
  const startMs = await restartMain(site);
  await settle(site);
  const residentMiB = residentBytes(site.main.pid ?? 0) / 2 ** 20;
  const times: number[] = [];
  let session = await signIn(site);
  for (let index = 0; index < logins; index += 1) {
    const start = performance.now();
    session = await signIn(site);
    times.push(performance.now() - start);
  }
  const listStart = performance.now();
  const listed = await runSallyport(site.files.main.socket, ['users', 'list']);
  const listMs = performance.now() - listStart;
  if (listed.stdout.split('\n').length < more) throw new Error(`users list: ${listed.stderr}`);
  return { startMs, residentMiB, loginMs: median(times), listMs, editMs: await measureEdit(site, session) };
}

/** Killed, and started again by the demo: from the new process to its admin socket, which is opened last. */
async function restartMain(site: Site): Promise<number> {
  const old = site.main.pid ?? 0;
  process.kill(old, 'SIGKILL');
  while (site.main.pid === undefined || site.main.pid === old) await delay(1);
  const start = performance.now();
  while (!(await answers(site.files.main.socket))) await delay(2);
  const startMs = performance.now() - start;
  const { dmzHealth } = JSON.parse(readFileSync(site.files.secrets, 'utf8')).ports;
  while (!(await fetch(`http://127.0.0.1:${dmzHealth}/readyz`)).ok) await delay(20);
  return startMs;
}

/** Until main does nothing any more: the first start with new users copies their files in the background. */
async function settle(site: Site): Promise<void> {
  const used = (): number => cpuSeconds([site.main.pid ?? 0]);
  for (;;) {
    const before = used();
    await delay(500);
    if (used() - before <= 0.03) return;
  }
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}

async function signIn(site: Site): Promise<HttpsSession> {
  const session = new HttpsSession(site.https, site.files.ca);
  const password = site.users['frank']?.password;
  const { body } = await session.json('POST', '/api/login', { username: 'frank', password });
  if (body['state'] !== 'signed-in') throw new Error(`login failed: ${JSON.stringify(body)}`);
  return session;
}

async function measureEdit(site: Site, session: HttpsSession): Promise<number> {
  const file = join(site.files.main.users, 'frank.yaml');
  const name = `Frank ${Date.now()}`;
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^display_name:.*$/m, `display_name: ${name}`));
  const start = performance.now();
  for (;;) {
    const { body } = await session.json('GET', '/api/me');
    if (JSON.stringify(body).includes(name)) return performance.now() - start;
    await delay(5);
  }
}

function writeUsers(directory: string, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const name = `user-${String(index).padStart(5, '0')}`;
    const key = Buffer.concat([
      Buffer.from('0000000b7373682d6564323535313900000020', 'hex'),
      Buffer.alloc(31, 7),
      Buffer.from([index % 100]),
    ]);
    writeFileSync(
      join(directory, `${name}.yaml`),
      `# ${name}, of the bench
username: ${name}
display_name: User ${index}
email: ${name}@example.com
phone: "+1555${1_000_000 + index}"
password: $argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g
ssh_keys:
  - ssh-ed25519 ${key.toString('base64')} ${name}@laptop
two_factor: { required_on: [https, sftp], registration: true }
status: active
expires: 2030-12-31
limits: { sessions: 8, upload: 50MiB/s, download: 50MiB/s }
`,
    );
  }
}

async function measureLimit(site: Site, report: Report): Promise<void> {
  const file = join(site.files.main.users, 'frank.yaml');
  writeFileSync(file, `${readFileSync(file, 'utf8')}limits: { download: 4MiB/s }\n`);
  await delay(2_000);
  const home = join(site.files.files, 'frank');
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'limited.bin'), '');
  truncateSync(join(home, 'limited.bin'), 1024 ** 3);
  const session = await signIn(site);
  const args = ['-s', '--cacert', site.files.ca, '-b', session.cookie, '-o', '/dev/null'];
  const seconds = ['--max-time', String(limitSeconds), '-w', '%{size_download}'];
  const moved = await Promise.all(
    Array.from({ length: limitedStreams }, async () =>
      Number(
        (await runProgram('/usr/bin/curl', [...args, ...seconds, `${site.https}/api/files/limited.bin`]))
          .stdout,
      ),
    ),
  );
  const total = moved.reduce((sum, bytes) => sum + bytes, 0);
  const ratio = total / (limitBytesPerSecond * limitSeconds);
  report.line(
    `Download limit of 4 MiB/s, ${limitedStreams} streams for ${limitSeconds} s: ${ratio.toFixed(2)} of the limit; slowest ÷ fastest ${(Math.min(...moved) / Math.max(...moved)).toFixed(2)}`,
  );
}
