import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

/** Where haproxy dials from: the address both doors list. */
const balancer = '127.0.0.77';
const doorMs = 20_000;

describe('behind haproxy, which says in a PROXY header who a client is', () => {
  let product: Product;
  let haproxy: ChildProcess;
  let https: string;
  let sftpPort: number;
  const open: Socket[] = [];

  beforeAll(async () => {
    product = await startProduct();
    const { main, dmz } = product.site.files;
    // The demo's own addresses are never banned; here all of loopback are strangers.
    await rewrite(main.config, (text) => text.replace(/never_ban: \[[^\]]*\]/, 'never_ban: []'));
    await rewrite(dmz.config, (text) =>
      text.replaceAll(/^(https|sftp):\n/gm, `$1:\n  proxy_protocol: { from: [${balancer}] }\n`),
    );
    if (product.site.dmz.pid !== undefined) process.kill(product.site.dmz.pid, 'SIGKILL');
    await product.killMain();

    const httpsPort = findFreePort();
    sftpPort = findFreePort();
    https = `https://localhost:${httpsPort}`;
    const config = join(product.folder, 'haproxy.cfg');
    const server = (address: string) =>
      `server dmz ${address} source ${balancer} check inter 500ms check-send-proxy`;
    await writeFile(
      config,
      `global
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen https
  bind 127.0.0.1:${httpsPort}
  ${server(`127.0.0.1:${new URL(product.site.https).port}`)} send-proxy-v2
listen sftp
  bind 127.0.0.1:${sftpPort}
  ${server(`127.0.0.1:${product.site.sftp.port}`)} send-proxy
`,
    );
    haproxy = spawn('/usr/sbin/haproxy', ['-db', '-q', '-f', config], { stdio: 'ignore' });
    await waitUntil(async () => (await meFrom('127.0.0.8')) === 401, doorMs);
  });
  afterAll(async () => {
    for (const socket of open) socket.destroy();
    haproxy.kill();
    await product.close();
  });

  const rewrite = async (file: string, change: (text: string) => string): Promise<void> =>
    writeFile(file, change(readFileSync(file, 'utf8')));
  const session = (from: string) => new HttpsSession(https, product.site.files.ca, from);
  const meFrom = async (from: string) => (await session(from).json('GET', '/api/me')).status;

  async function signIn(from: string): Promise<unknown> {
    const { body } = await session(from).json('POST', '/api/login', {
      username: 'carol',
      password: product.password('carol'),
    });
    return body['state'];
  }

  async function refusals(): Promise<Record<string, number>> {
    const metrics = await (await fetch(`${product.site.nodes[0]?.health ?? ''}/metrics`)).text();
    const found = [
      ...metrics.matchAll(
        /^sallyport_proxy_protocol_refused_total\{.*?door="(\w+)".*?reason="([\w-]+)".*?\} (\d+)$/gm,
      ),
    ];
    return Object.fromEntries(
      found.map(([, door = '', reason = '', count]) => [`${door} ${reason}`, Number(count)]),
    );
  }

  function dial(port: number, from: string, said: string): Socket {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from });
    socket.on('error', () => undefined);
    socket.write(said);
    socket.resume();
    open.push(socket);
    return socket;
  }

  /** However it is closed: a door that cuts may reset. */
  const untilClosed = (socket: Socket): Promise<void> =>
    new Promise((resolve) => {
      if (socket.closed) resolve();
      else socket.once('close', () => resolve());
    });

  it('an attacker is shut out at both doors, his neighbour is not, and each is known by the true address', async () => {
    for (let tries = 0; tries < 20 && (await signInWrong('127.0.0.5')) === 401; tries += 1);
    expect(await signInWrong('127.0.0.5')).toBe(429);
    expect(await signIn('127.0.0.6')).toBe('signed-in');
    await expect
      .poll(() =>
        product
          .audit()
          .filter(({ event, clientIp }) => event === 'login.admitted' && clientIp === '127.0.0.6'),
      )
      .toHaveLength(1);
    expect(JSON.stringify(product.audit())).not.toContain(balancer);
    expect(await product.sallyport('bans', 'list')).toContain('127.0.0.5');
    const sftp = { ...product.sftp('carol', { password: product.password('carol') }), port: sftpPort };
    const shutOut = await runOpenSshSftp(sftp, ['pwd'], ['-o', 'BindAddress=127.0.0.5']);
    expect(shutOut.status).not.toBe(0);
    const neighbour = await runOpenSshSftp(sftp, ['pwd'], ['-o', 'BindAddress=127.0.0.6']);
    expect(neighbour.status, neighbour.stderr).toBe(0);
  });

  const signInWrong = async (from: string) =>
    (await session(from).json('POST', '/api/login', { username: 'administrator', password: 'guess' })).status;

  it('a header from a peer that is not listed, and none from a listed one, are cut and counted', async () => {
    const before = await refusals();
    const { port } = product.site.sftp;
    const httpsPort = Number(new URL(product.site.https).port);
    const forged = 'PROXY TCP4 127.0.0.6 127.0.0.1 4000 22\r\n';
    const cut = [
      dial(port, '127.0.0.9', `${forged}SSH-2.0-x\r\n`),
      dial(port, balancer, 'SSH-2.0-x\r\n'),
      dial(httpsPort, '127.0.0.9', forged),
      dial(httpsPort, balancer, '\x16\x03\x01'),
    ];
    await Promise.all(cut.map((socket) => untilClosed(socket)));
    const after = await refusals();
    for (const kind of [
      'sftp unlisted-peer',
      'sftp invalid-header',
      'https unlisted-peer',
      'https invalid-header',
    ])
      expect([kind, (after[kind] ?? 0) - (before[kind] ?? 0)]).toEqual([kind, 1]);
  });

  it('ten thousand halves of a header leave the node as it was, and others come in meanwhile', async () => {
    const { pid } = product.site.dmz;
    const memory = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
    const before = memory();
    const counted = await refusals();
    const sockets: Socket[] = [];
    let meanwhile: unknown;
    for (let count = 0; count < 10_000; count += 1) {
      const port = count % 2 === 0 ? product.site.sftp.port : Number(new URL(product.site.https).port);
      const socket = dial(port, balancer, 'PROXY TCP4 127.0.0.5 ');
      sockets.push(socket);
      if (count % 100 === 99) await once(socket, 'connect');
      if (count === 5_000) meanwhile = await signIn('127.0.0.6');
    }
    await Promise.all(sockets.map((socket) => untilClosed(socket)));
    expect(meanwhile).toBe('signed-in');
    const after = await refusals();
    const sum = (all: Record<string, number>) => Object.values(all).reduce((total, one) => total + one, 0);
    expect(sum(after) - sum(counted)).toBe(10_000);
    expect(product.site.dmz.pid).toBe(pid);
    expect(memory() - before).toBeLessThan(96);
    expect(await signIn('127.0.0.6')).toBe('signed-in');
  });
});
