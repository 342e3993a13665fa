import { existsSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsUser } from '#test/harness/https-user.ts';
import { descendantsOf } from '#test/harness/peer.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

/** A node of two processes, and two networks of this machine, one of each worker. */

const backMs = 60_000;

interface Login {
  readonly client: ssh2.Client;
  readonly sftp: SFTPWrapper;
  readonly closed: Promise<void>;
}

let product: Product;
let addresses: readonly [string, string];
const open: { end(): void }[] = [];

beforeAll(async () => {
  product = await startProduct({
    workers: 2,
    moreUsers: [
      buildDemoUser('keys', {
        hasKey: true,
        mounts: ['{ path: /, storage: local, root: keys, allow: [list, read, write, overwrite] }'],
      }),
    ],
  });
  // This machine is exempt from bans and limits by source; here it is everybody.
  const { config } = product.site.files.main;
  await writeFile(config, (await readFile(config, 'utf8')).replace(/never_ban: \[.*?\]/, 'never_ban: []'));
  await product.killMain();
  const found: [string | undefined, string | undefined] = [undefined, undefined];
  for (let network = 1; network < 32 && found.includes(undefined); network += 1) {
    const address = `127.0.${network}.1`;
    const { client } = await logIn(address);
    const worker = await workerOf(address);
    found[worker] ??= address;
    client.end();
  }
  addresses = [found[0] ?? '', found[1] ?? ''];
});
afterAll(async () => {
  for (const one of open) one.end();
  await product?.close();
});

function logIn(localAddress: string): Promise<Login> {
  const {
    host,
    port,
    keyFile = '',
  } = product.sftp('keys', { keyFile: product.site.users['keys']?.sshKeyFile ?? '' });
  const client = new ssh2.Client();
  open.push(client);
  const closed = new Promise<void>((resolve) => {
    client.on('close', () => resolve());
  });
  return new Promise((resolve, reject) => {
    client.on('error', reject);
    client.on('ready', () =>
      client.sftp((error, sftp) => (error === undefined ? resolve({ client, sftp, closed }) : reject(error))),
    );
    const privateKey = readFileSync(keyFile);
    client.connect({ host, port, username: 'keys', privateKey, localAddress, readyTimeout: backMs });
  });
}

/** As the log says, which names the worker in each line. */
async function workerOf(address: string): Promise<0 | 1> {
  let line: { worker?: string } | undefined;
  await waitUntil(async () => {
    const lines = (await readFile(product.site.nodes[0]?.files.log ?? '', 'utf8')).trimEnd().split('\n');
    line = lines
      .filter((text) => text.startsWith('{'))
      .map((text) => JSON.parse(text) as { worker?: string; msg?: string; ip?: string })
      .findLast(({ msg, ip }) => msg === 'sftp session open' && ip === address);
    return line !== undefined;
  }, backMs);
  return line?.worker === '0' ? 0 : 1;
}

const list = ({ sftp }: Login): Promise<number> =>
  new Promise((resolve, reject) => {
    sftp.readdir('/', (error, entries) => (error === undefined ? resolve(entries.length) : reject(error)));
  });

const upload = ({ sftp }: Login, name: string, bytes: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    sftp.writeFile(name, bytes, (error) => (error instanceof Error ? reject(error) : resolve()));
  });

/** Children of the node's process, in the order in which they were started. */
function workerPids(): number[] {
  return descendantsOf(product.site.dmz.pid ?? 0);
}

async function metric(name: string): Promise<number> {
  const health = product.site.nodes[0]?.health ?? '';
  const text = await (await fetch(`${health}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

function user(name: string, localAddress: string): HttpsUser {
  return new HttpsUser({ site: product.site, password: (of) => product.password(of), localAddress }, name);
}

/** A connection that says nothing; resolves when the server has greeted it, or ended it. */
function knock(localAddress: string): Promise<'greeted' | 'ended'> {
  const { host, port } = product.site.sftp;
  const socket: Socket = connect({ host, port, localAddress });
  open.push(socket);
  return new Promise((resolve) => {
    socket.on('error', () => resolve('ended'));
    socket.on('close', () => resolve('ended'));
    socket.once('data', () => resolve('greeted'));
  });
}

function certificateSeenFrom(localAddress: string): Promise<string> {
  const { hostname, port } = new URL(product.site.https);
  return new Promise((resolve, reject) => {
    const socket = connectTls(
      {
        // TLS has no option for the address to come from.
        socket: connect({ host: '127.0.0.1', port: Number(port), localAddress }),
        servername: hostname,
        rejectUnauthorized: false,
      },
      () => {
        resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? '');
        socket.destroy();
      },
    );
    socket.on('error', reject);
  });
}

describe('a node of two workers', () => {
  it('S-03: takes a code once, whichever worker is asked', async () => {
    const [here, there] = [user('alice', addresses[0]), user('alice', addresses[1])];
    const code = await product.authenticator('alice').next();
    expect(await here.signIn(code)).toMatchObject({ status: 200 });
    expect((await there.signIn(code)).status).toBe(401);
    expect(await there.signIn(await product.authenticator('alice').next())).toMatchObject({ status: 200 });
  });

  it('counts a source as one worker would', async () => {
    const knocks = await Promise.all(Array.from({ length: 12 }, () => knock(addresses[1])));
    expect(knocks.filter((outcome) => outcome === 'greeted')).toHaveLength(8);
    expect(await knock(addresses[0])).toBe('greeted');
    for (const one of open.splice(0)) one.end();
  });

  it('tells at one place of what both do', async () => {
    const logins = [await logIn(addresses[0]), await logIn(addresses[1])];
    await waitUntil(
      async () => (await metric('sallyport_sftp_connections{state="authenticated"')) >= 2,
      backMs,
    );
    expect(await metric('sallyport_link_up')).toBe(1);
    const health = product.site.nodes[0]?.health ?? '';
    const ready = (await (await fetch(`${health}/readyz`)).json()) as {
      checks: { name: string; ok: boolean }[];
    };
    expect(ready.checks.map(({ name, ok }) => `${name} ${ok}`)).toEqual(
      expect.arrayContaining(['workers true', 'main-link true', 'certificate-end true']),
    );
    for (const { client } of logins) client.end();
  });

  it('shows a new certificate at both after a reload', async () => {
    const files = product.site.nodes[0]?.files;
    const authority = createThrowAwayAuthority(Date.now());
    const renewed = authority.issueServerCertificate();
    await writeFile(product.site.files.ca, authority.certificatePem);
    const before = await certificateSeenFrom(addresses[0]);
    await writeFile(files?.certificate ?? '', renewed.certificatePem);
    await writeFile(files?.key ?? '', renewed.privateKeyPem.expose());
    process.kill(product.site.dmz.pid ?? 0, 'SIGHUP');
    await expect
      .poll(async () => {
        const seen = await Promise.all(addresses.map(certificateSeenFrom));
        return !seen.includes(before) && new Set(seen).size === 1;
      })
      .toBe(true);
  });

  it('loses with a worker that is killed its own connections and no others', async () => {
    const [here, there] = [await logIn(addresses[0]), await logIn(addresses[1])];
    // A neighbour, at the same worker; attackers try this name first.
    const banned = user('root', addresses[0].replace(/1$/, '2'));
    const attack = () => banned.call('POST', '/api/login', { username: 'root', password: 'guessed' });
    await waitUntil(async () => (await attack()).status === 429, backMs);
    const bytes = Buffer.alloc(8 * 1024 * 1024, 7);
    const cut = upload(here, 'cut.bin', bytes).then(
      () => 'stored',
      () => 'cut',
    );
    const whole = upload(there, 'whole.bin', bytes);
    // The first worker is started last.
    process.kill(workerPids().at(-1) ?? 0, 'SIGKILL');
    await here.closed;
    // A ban is the node's, not the process's: its own source goes on being refused, by the next process. What comes
    // to a process while it dies is closed with it.
    let status: number | undefined;
    await waitUntil(async () => {
      ({ status } = await attack());
      return true;
    }, backMs);
    expect(status).toBe(429);
    await whole;
    expect(await list(there)).toBeGreaterThan(0);
    const again = await logIn(addresses[0]);
    expect(await workerOf(addresses[0])).toBe(0);
    await waitUntil(async () => (await metric('sallyport_worker_restarts_total')) === 1, backMs);
    await upload(again, 'cut.bin', bytes);
    expect(['stored', 'cut']).toContain(await cut);
    expect(existsSync(`${product.site.files.files}/keys/whole.bin`)).toBe(true);
    expect(await list(there)).toBe(2);
  });

  it('ends with the process that started it, however that ends, and comes back', async () => {
    const { dmz } = product.site;
    const [pid, workers] = [dmz.pid ?? 0, workerPids()];
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => !workers.some((worker) => isAlive(worker)), backMs);
    await waitUntil(() => dmz.pid !== undefined && dmz.pid !== pid, backMs);
    const login = await logIn(addresses[0]);
    expect(await list(login)).toBe(2);
  });
});

/** A dead one that nobody has waited for yet is no process any more. */
function isAlive(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/^\d+ \(.*\) Z/.test(readFileSync(file, 'utf8'));
}
