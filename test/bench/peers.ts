import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { findFreePort } from '#scripts/demonstration/free-port.ts';

const programs = [
  { path: '/usr/sbin/nginx', debianPackage: 'nginx-light' },
  { path: '/usr/bin/openssl', debianPackage: 'openssl' },
  { path: '/usr/sbin/sshd', debianPackage: 'openssh-server' },
  { path: '/usr/bin/sftp', debianPackage: 'openssh-client' },
  { path: '/usr/bin/curl', debianPackage: 'curl' },
];

/** What is missing to compare with, as one line of advice; undefined when nothing is. */
export function findMissingPrograms(): string | undefined {
  const missing = programs.filter(({ path }) => !existsSync(path));
  if (missing.length === 0) return undefined;
  return `hint: apt-get install ${missing.map(({ debianPackage }) => debianPackage).join(' ')}`;
}

/** The programs we compare ourselves with, started for one run on loopback with our own configuration files. */
export interface Peer {
  readonly port: number;
  /** Processes whose CPU time is the peer's; children that ended count through their parent. */
  readonly pids: () => number[];
  close(): Promise<void>;
}

/** Peers listen within a second; a minute means that they never will. */
const readyMs = 10_000;

async function waitForPort(port: number): Promise<void> {
  const end = performance.now() + readyMs;
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (open) return;
    if (performance.now() > end) throw new Error(`nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await exited;
}

/**
 * nginx in front of nginx: TLS to the client, mutual TLS with kept-alive connections to the back, files served and
 * received (WebDAV PUT) by the back. What a careful admin would set up in our place. The front's
 * own certificate is self-signed and the only one the back trusts.
 */
export async function startNginxPair(options: {
  readonly folder: string;
  readonly files: string;
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}): Promise<Peer> {
  mkdirSync(options.folder, { recursive: true });
  const client = { certificate: join(options.folder, 'client.pem'), key: join(options.folder, 'client.key') };
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=front -days 2';
  execFileSync('openssl', [...request.split(' '), '-keyout', client.key, '-out', client.certificate], {
    stdio: 'ignore',
  });
  const back = await findFreePort();
  const front = await findFreePort();
  const server = (name: string, body: string): string => {
    const file = join(options.folder, `${name}.conf`);
    writeFileSync(
      file,
      `user root; daemon off; worker_processes 1; pid ${options.folder}/${name}.pid; error_log ${options.folder}/${name}.log;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 0;
  client_body_temp_path ${options.folder}/${name}-body; proxy_temp_path ${options.folder}/${name}-proxy;
  fastcgi_temp_path ${options.folder}/t1; uwsgi_temp_path ${options.folder}/t2; scgi_temp_path ${options.folder}/t3;
  ssl_certificate ${options.certificate}; ssl_certificate_key ${options.key}; ssl_protocols TLSv1.3;
  ${body}
}
`,
    );
    return file;
  };
  const backConfig = server(
    'back',
    `server { listen 127.0.0.1:${back} ssl; ssl_client_certificate ${client.certificate}; ssl_verify_client on; root ${options.files};
      location / { dav_methods PUT DELETE; create_full_put_path on; } }`,
  );
  const frontConfig = server(
    'front',
    `upstream back { server 127.0.0.1:${back}; keepalive 32; }
    server { listen 127.0.0.1:${front} ssl; location / {
      proxy_pass https://back; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
      proxy_max_temp_file_size 0; proxy_ssl_certificate ${client.certificate}; proxy_ssl_certificate_key ${client.key};
      proxy_ssl_protocols TLSv1.3; proxy_ssl_trusted_certificate ${options.ca}; proxy_ssl_verify on; proxy_ssl_name localhost; } }`,
  );
  const children = [backConfig, frontConfig].map((file) =>
    spawn('/usr/sbin/nginx', ['-c', file, '-p', options.folder], { stdio: 'ignore' }),
  );
  await waitForPort(back);
  await waitForPort(front);
  return {
    port: front,
    pids: () =>
      children.flatMap((child) => (child.pid === undefined ? [] : [child.pid, ...childrenOf(child.pid)])),
    close: async () => {
      for (const child of children) await stopChild(child);
    },
  };
}

/** OpenSSH's own server, direct, with a key login for the account that runs the benchmark. */
export async function startSshd(
  folder: string,
): Promise<Peer & { readonly keyFile: string; readonly hostKey: string }> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync('/run/sshd', { recursive: true });
  const keyFile = join(folder, 'client');
  const hostKeyFile = join(folder, 'host');
  for (const file of [keyFile, hostKeyFile])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file], { stdio: 'ignore' });
  writeFileSync(join(folder, 'authorized_keys'), readFileSync(`${keyFile}.pub`));
  chmodSync(join(folder, 'authorized_keys'), 0o600);
  const port = await findFreePort();
  const config = join(folder, 'sshd_config');
  writeFileSync(
    config,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${hostKeyFile}`,
      `AuthorizedKeysFile ${folder}/authorized_keys`,
      `PidFile ${folder}/sshd.pid`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'Subsystem sftp internal-sftp',
      '',
    ].join('\n'),
  );
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: 'ignore' });
  await waitForPort(port);
  return {
    port,
    keyFile,
    hostKey: readFileSync(`${hostKeyFile}.pub`, 'utf8').trim(),
    pids: () => (child.pid === undefined ? [] : [child.pid]),
    close: () => stopChild(child),
  };
}
