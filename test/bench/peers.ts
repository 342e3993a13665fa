import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { descendantsOf, type Peer, stopChild, waitForPort } from '#test/harness/peer.ts';

const programs = [
  { path: '/usr/sbin/nginx', debianPackage: 'nginx-light', parts: ['transfers', 'sessions'] },
  { path: '/usr/sbin/haproxy', debianPackage: 'haproxy', parts: ['transfers'] },
  { path: '/usr/bin/openssl', debianPackage: 'openssl', parts: ['transfers'] },
  { path: '/usr/bin/curl', debianPackage: 'curl', parts: ['transfers', 'latency'] },
  { path: '/usr/bin/rclone', debianPackage: 'rclone', parts: ['transfers'] },
  { path: '/usr/lib/proftpd/mod_sftp.so', debianPackage: 'proftpd-mod-crypto', parts: ['transfers'] },
  {
    path: '/usr/sbin/sshd',
    debianPackage: 'openssh-server',
    parts: ['transfers', 'files', 'folders', 'sessions'],
  },
  { path: '/usr/bin/sftp', debianPackage: 'openssh-client', parts: ['transfers', 'files', 'folders'] },
  { path: '/usr/bin/sshfs', debianPackage: 'sshfs', parts: ['files'] },
];

/** What is missing for these parts of the benchmark, as one line of advice; undefined when nothing is. */
export function findMissingPrograms(isAsked: (part: string) => boolean): string | undefined {
  const missing = programs.filter(({ path, parts }) => parts.some(isAsked) && !existsSync(path));
  if (missing.length === 0) return undefined;
  return `hint: apt-get install ${missing.map(({ debianPackage }) => debianPackage).join(' ')}`;
}

/** Servers of HTTPS that a careful admin would set up in our place, each in front of the same back. */
export interface WebPeers {
  /** nginx, TLS to the client and to the back. */
  readonly nginx: Peer;
  /** haproxy in the same place. */
  readonly haproxy: Peer;
  /** A plain relay of `node:https` and nothing else: what Node itself makes of the way through the front. */
  readonly node: Peer;
  close(): Promise<void>;
}

/**
 * The back is nginx with the files: it serves and takes them (WebDAV PUT) over mutual TLS with kept-alive connections.
 * The fronts' own certificate is self-signed and the only one the back trusts.
 */
export async function startWebPeers(options: {
  readonly folder: string;
  readonly files: string;
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}): Promise<WebPeers> {
  const { folder, certificate, key, ca } = options;
  mkdirSync(folder, { recursive: true });
  const client = { certificate: join(folder, 'client.pem'), key: join(folder, 'client.key') };
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=front -days 2';
  execFileSync('openssl', [...request.split(' '), '-keyout', client.key, '-out', client.certificate], {
    stdio: 'ignore',
  });
  const ports = {
    back: findFreePort(),
    nginx: findFreePort(),
    haproxy: findFreePort(),
    node: findFreePort(),
  };
  const nginx = (name: string, body: string): ChildProcess => {
    const file = join(folder, `${name}.conf`);
    writeFileSync(
      file,
      `user root; daemon off; worker_processes 1; pid ${folder}/${name}.pid; error_log ${folder}/${name}.log;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 0;
  client_body_temp_path ${folder}/${name}-body; proxy_temp_path ${folder}/${name}-proxy;
  fastcgi_temp_path ${folder}/t1; uwsgi_temp_path ${folder}/t2; scgi_temp_path ${folder}/t3;
  ssl_certificate ${certificate}; ssl_certificate_key ${key}; ssl_protocols TLSv1.3;
  ${body}
}
`,
    );
    return spawn('/usr/sbin/nginx', ['-c', file, '-p', folder], { stdio: 'ignore' });
  };
  const back = nginx(
    'back',
    `server { listen 127.0.0.1:${ports.back} ssl; ssl_client_certificate ${client.certificate}; ssl_verify_client on; root ${options.files};
      location / { dav_methods PUT DELETE; create_full_put_path on; } }`,
  );
  const front = nginx(
    'front',
    `upstream back { server 127.0.0.1:${ports.back}; keepalive 32; }
    server { listen 127.0.0.1:${ports.nginx} ssl; location / {
      proxy_pass https://back; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
      proxy_max_temp_file_size 0; proxy_ssl_certificate ${client.certificate}; proxy_ssl_certificate_key ${client.key};
      proxy_ssl_protocols TLSv1.3; proxy_ssl_trusted_certificate ${ca}; proxy_ssl_verify on; proxy_ssl_name localhost; } }`,
  );
  // haproxy wants certificate and key in one file.
  const both = (name: string, files: readonly string[]): string => {
    const file = join(folder, name);
    writeFileSync(file, files.map((one) => readFileSync(one, 'utf8')).join(''), { mode: 0o600 });
    return file;
  };
  const served = both('haproxy.pem', [certificate, key]);
  const shown = both('haproxy-client.pem', [client.certificate, client.key]);
  const haproxyFile = join(folder, 'haproxy.cfg');
  writeFileSync(
    haproxyFile,
    `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:${ports.haproxy} ssl crt ${served} ssl-min-ver TLSv1.3
  default_backend back
backend back
  http-reuse always
  server back 127.0.0.1:${ports.back} ssl crt ${shown} ca-file ${ca} verify required verifyhost localhost ssl-min-ver TLSv1.3
`,
  );
  const haproxy = spawn('/usr/sbin/haproxy', ['-db', '-f', haproxyFile], { stdio: 'ignore' });
  const relay = spawn(
    process.execPath,
    ['-e', relayProgram, certificate, key, client.certificate, client.key, ca, ports.back, ports.node].map(
      String,
    ),
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const children = [back, front, haproxy, relay];
  for (const port of Object.values(ports)) await waitForPort(port);
  const close = async (): Promise<void> => {
    for (const child of children) await stopChild(child);
  };
  const behind = (child: ChildProcess, port: number): Peer => ({
    port,
    pids: () => [...treeOf(child), ...treeOf(back)],
    close: () => stopChild(child),
  });
  return {
    nginx: behind(front, ports.nginx),
    haproxy: behind(haproxy, ports.haproxy),
    node: behind(relay, ports.node),
    close,
  };
}

const relayProgram = `
  const https = require('node:https');
  const { readFileSync } = require('node:fs');
  const { pipeline } = require('node:stream');
  const [cert, key, clientCert, clientKey, ca, back, port] = process.argv.slice(1);
  const file = (name) => readFileSync(name);
  const agent = new https.Agent({ keepAlive: true, cert: file(clientCert), key: file(clientKey), ca: file(ca), servername: 'localhost' });
  const server = https.createServer({ cert: file(cert), key: file(key), minVersion: 'TLSv1.3' }, (request, response) => {
    const { method, url: path, headers } = request;
    const asked = https.request({ agent, host: '127.0.0.1', port: back, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      pipeline(answer, response, () => {});
    });
    pipeline(request, asked, () => {});
  });
  server.listen(Number(port), '127.0.0.1');`;

/** An SFTP server in one process, of people who wrote it without OpenSSH. */
export interface SftpPeer extends Peer {
  readonly target: SftpTarget;
}

/** `rclone serve sftp` of a folder, without its cache. */
export async function startRclone(folder: string, files: string): Promise<SftpPeer> {
  const keys = makeKeys(folder);
  const port = findFreePort();
  const where = ['--addr', `127.0.0.1:${port}`, '--key', keys.host, '--authorized-keys', keys.authorized];
  const child = spawn('/usr/bin/rclone', ['serve', 'sftp', files, ...where, '--config', '/dev/null'], {
    stdio: 'ignore',
  });
  return sftpPeer(child, port, 'bench', keys);
}

/** proftpd with mod_sftp, for the account that runs this program. */
export async function startProftpd(folder: string, files: string): Promise<SftpPeer> {
  const keys = makeKeys(folder);
  const rfc4716 = execFileSync('ssh-keygen', ['-e', '-f', `${keys.client}.pub`]);
  writeFileSync(join(folder, 'authorized-rfc4716'), rfc4716);
  const port = findFreePort();
  const file = join(folder, 'proftpd.conf');
  writeFileSync(
    file,
    `ServerType standalone
DefaultAddress 127.0.0.1
Port ${port}
UseIPv6 off
PidFile ${folder}/proftpd.pid
ScoreboardFile ${folder}/scoreboard
DelayEngine off
ModulePath /usr/lib/proftpd
LoadModule mod_sftp.c
RootLogin on
UseFtpUsers off
RequireValidShell off
MaxConnectionsPerHost none
DefaultRoot ${files}
<Global>
  AllowOverwrite on
</Global>
SFTPEngine on
SFTPHostKey ${keys.host}
SFTPAuthorizedUserKeys file:${folder}/authorized-rfc4716
SFTPAuthMethods publickey
`,
  );
  const child = spawn('/usr/sbin/proftpd', ['-n', '-c', file], { stdio: 'ignore' });
  return sftpPeer(child, port, userInfo().username, keys);
}

interface Keys {
  readonly host: string;
  readonly client: string;
  readonly authorized: string;
}

function makeKeys(folder: string): Keys {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const make = (name: string): string => {
    const file = join(folder, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file], { stdio: 'ignore' });
    return file;
  };
  const [host, client] = [make('host'), make('client')];
  return { host, client, authorized: `${client}.pub` };
}

async function sftpPeer(child: ChildProcess, port: number, user: string, keys: Keys): Promise<SftpPeer> {
  await waitForPort(port);
  const [type, base64] = readFileSync(`${keys.host}.pub`, 'utf8').split(' ');
  return {
    port,
    target: { host: '127.0.0.1', port, hostKey: `${type} ${base64}`, user, keyFile: keys.client },
    pids: () => treeOf(child),
    close: () => stopChild(child),
  };
}

function treeOf({ pid }: ChildProcess): number[] {
  return pid === undefined ? [] : [pid, ...descendantsOf(pid)];
}
