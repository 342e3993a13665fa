import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import ssh2 from 'ssh2';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { startSite, type Site } from '#scripts/demonstration/site.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { waitForPort } from '#test/harness/peer.ts';
import { startPrivateSshd } from '#test/harness/private-sshd.ts';
import { measure, residentBytes } from './measure.ts';
import { two, type Report } from './report.ts';

/**
 * Logins a second, and what a session costs that does nothing: a thousand of each kind, each on a connection of its own
 * and from many addresses, as the doors' limits want it. A bare `node:https` server with as many connections says what
 * of it is Node's.
 */

const users = 20;
const loginsAtOnce = 8;

export async function benchSessions(
  folder: string,
  report: Report,
  { isQuick }: { readonly isQuick: boolean },
): Promise<void> {
  const count = isQuick ? 100 : 1_000;
  // Within a minute after they ended their memory shall be given back.
  const afterMs = isQuick ? 5_000 : 60_000;
  // Until garbage of what was just done is gone.
  const restMs = isQuick ? 1_000 : 5_000;
  const names = Array.from({ length: users }, (_, index) => `bench-${index}`);
  const site = await startSite({
    dir: join(folder, 'site'),
    httpsPort: 0,
    sftpPort: 0,
    moreUsers: names.map((name) => buildDemoUser(name, { hasKey: true })),
  });
  const sshd = await startPrivateSshd(join(folder, 'sshd'));
  try {
    const userOf = (index: number): string => names[index % users] ?? '';
    const targetOf = (index: number): SftpTarget => ({
      ...site.sftp,
      user: userOf(index),
      keyFile: site.users[userOf(index)]?.sshKeyFile ?? '',
    });
    const signIn = async (index: number): Promise<HttpsSession> => {
      const session = new HttpsSession(site.https, site.files.ca, addressOf(index));
      const password = site.users[userOf(index)]?.password;
      const { status } = await session.json('POST', '/api/login', { username: userOf(index), password });
      if (status !== 200) throw new Error(`login ${index}: ${status}`);
      return session;
    };

    const nodes = { node: [site.dmz.pid ?? 0], main: [site.main.pid ?? 0] };
    const cookies: string[] = [];
    const web = await measure(
      () => nodes,
      () =>
        inParallel(count, async (index) => {
          cookies[index] = (await signIn(index)).cookie;
        }),
    );
    const few = Math.min(count, 200);
    const sftpLogins = await measure(
      () => nodes,
      () => inParallel(few, async (index) => (await connectSftp(targetOf(index), addressOf(index))).end()),
    );
    const sshdLogins = await measure(
      () => ({ peer: sshd.pids() }),
      () => inParallel(few, async () => (await connectSftp(sshd.target, '127.0.0.1')).end()),
    );
    report.table(
      'Logins',
      ['door', 'a second', 'CPU ms each', 'of it node', 'main'],
      [
        ['HTTPS, password', count, web] as const,
        ['SFTP, key', few, sftpLogins] as const,
        ['sshd, key', few, sshdLogins] as const,
      ].map(([door, logins, { seconds, all, by }]) => {
        const each = (cpu: number | undefined): string =>
          cpu === undefined ? '' : two((cpu / logins) * 1000);
        return [
          door,
          (logins / seconds).toFixed(1),
          each(all.cpuSeconds),
          each(by['node']?.cpuSeconds),
          each(by['main']?.cpuSeconds),
        ];
      }),
    );

    const bare = await bareHttps(site, { count, restMs });
    const idleWeb = await costOf(site, { count, afterMs, restMs }, async (index) => {
      const agent = await keepConnected(
        `${site.https}/api/me`,
        site.files.ca,
        addressOf(index),
        cookies[index],
      );
      return () => agent.destroy();
    });
    const idleSftp = await costOf(site, { count, afterMs, restMs }, async (index) => {
      const client = await connectSftp(targetOf(index), addressOf(index));
      return () => client.end();
    });
    const kib = (bytes: number): string => (bytes / count / 1024).toFixed(1);
    report.table(
      `${count} idle sessions, KiB of memory each`,
      ['kind', 'node', 'goal', 'main', 'goal', `kept ${afterMs / 1000} s after their end: node`, 'main'],
      [
        ['bare `node:https` connection', kib(bare), '', '', '', '', ''],
        [
          'HTTPS',
          kib(idleWeb.node),
          `≤ ${(bare / count / 1024 + 5).toFixed(1)}`,
          kib(idleWeb.main),
          '≤ 8',
          kib(idleWeb.nodeAfter),
          kib(idleWeb.mainAfter),
        ],
        [
          'SFTP',
          kib(idleSftp.node),
          '≤ 50',
          kib(idleSftp.main),
          '≤ 8',
          kib(idleSftp.nodeAfter),
          kib(idleSftp.mainAfter),
        ],
      ],
    );
  } finally {
    await sshd.close();
    await site.stop();
  }
}

/** Twenty connections of an address, which is what a door lets one source have with ease. */
function addressOf(index: number): string {
  const source = Math.floor(index / 20);
  return `127.${10 + Math.floor(source / 200)}.${source % 200}.1`;
}

async function inParallel(count: number, run: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: loginsAtOnce }, work));
}

interface Cost {
  readonly node: number;
  readonly main: number;
  readonly nodeAfter: number;
  readonly mainAfter: number;
}

async function costOf(
  site: Site,
  { count, afterMs, restMs }: { readonly count: number; readonly afterMs: number; readonly restMs: number },
  open: (index: number) => Promise<() => void>,
): Promise<Cost> {
  const resident = (): readonly [number, number] => [
    residentBytes(site.dmz.pid ?? 0),
    residentBytes(site.main.pid ?? 0),
  ];
  await delay(restMs);
  const [nodeBefore, mainBefore] = resident();
  const closers: (() => void)[] = [];
  await inParallel(count, async (index) => closers.push(await open(index)));
  await delay(restMs);
  const [node, main] = resident();
  for (const close of closers) close();
  await delay(afterMs);
  const [nodeAfter, mainAfter] = resident();
  return {
    node: node - nodeBefore,
    main: main - mainBefore,
    nodeAfter: nodeAfter - nodeBefore,
    mainAfter: mainAfter - mainBefore,
  };
}

/** What as many connections cost a server that does nothing but answer. */
async function bareHttps(
  site: Site,
  { count, restMs }: { readonly count: number; readonly restMs: number },
): Promise<number> {
  const port = findFreePort();
  const program = `
    const { readFileSync } = require('node:fs');
    const [cert, key, port] = process.argv.slice(1);
    const options = { cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.3', keepAliveTimeout: 600000 };
    require('node:https').createServer(options, (_, response) => response.end('ok')).listen(Number(port), '127.0.0.1');`;
  const { certificate, key } = site.files.dmz;
  const child = spawn(process.execPath, ['-e', program, certificate, key, String(port)], {
    stdio: 'inherit',
  });
  try {
    await waitForPort(port);
    const url = `https://localhost:${port}/`;
    // Its own code and heap are not the connections'.
    const first = await keepConnected(url, site.files.ca, '127.0.0.1', undefined);
    await delay(restMs);
    const before = residentBytes(child.pid ?? 0);
    const agents: https.Agent[] = [];
    await inParallel(count, async () =>
      agents.push(await keepConnected(url, site.files.ca, '127.0.0.1', undefined)),
    );
    await delay(restMs);
    const cost = residentBytes(child.pid ?? 0) - before;
    for (const agent of [first, ...agents]) agent.destroy();
    return cost;
  } finally {
    child.kill();
    await once(child, 'exit');
  }
}

/** One request, after which its connection stays open. */
async function keepConnected(
  url: string,
  caFile: string,
  localAddress: string,
  cookie: string | undefined,
): Promise<https.Agent> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const options = { agent, ca: readFileSync(caFile), localAddress, family: 4 };
  await new Promise<void>((resolve, reject) => {
    const request = https.get(url, { ...options, headers: { ...(cookie !== undefined && { cookie }) } });
    request.on('response', (response) => {
      response.resume();
      response.on('end', resolve);
      if (response.statusCode !== 200) reject(new Error(`${url}: ${response.statusCode}`));
    });
    request.on('error', reject);
  });
  return agent;
}

async function connectSftp(target: SftpTarget, localAddress: string): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.once('ready', () => resolve());
    client.once('error', reject);
    client.connect({
      host: target.host,
      port: target.port,
      username: target.user,
      privateKey: readFileSync(target.keyFile ?? ''),
      localAddress,
      readyTimeout: 60_000,
    });
  });
  await new Promise<void>((resolve, reject) => {
    client.sftp((error) => (error ? reject(error) : resolve()));
  });
  return client;
}
