import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { descendantsOf, type Peer, stopChild, waitForPort } from '#test/harness/peer.ts';

const programs = [
  { path: '/usr/sbin/nginx', debianPackage: 'nginx-light', parts: ['transfers'] },
  { path: '/usr/bin/openssl', debianPackage: 'openssl', parts: ['transfers'] },
  { path: '/usr/bin/curl', debianPackage: 'curl', parts: ['transfers'] },
  { path: '/usr/sbin/sshd', debianPackage: 'openssh-server', parts: ['transfers', 'files'] },
  { path: '/usr/bin/sftp', debianPackage: 'openssh-client', parts: ['transfers', 'files'] },
  { path: '/usr/bin/sshfs', debianPackage: 'sshfs', parts: ['files'] },
];

/** What is missing for these parts of the benchmark, as one line of advice; undefined when nothing is. */
export function findMissingPrograms(isAsked: (part: string) => boolean): string | undefined {
  const missing = programs.filter(({ path, parts }) => parts.some(isAsked) && !existsSync(path));
  if (missing.length === 0) return undefined;
  return `hint: apt-get install ${missing.map(({ debianPackage }) => debianPackage).join(' ')}`;
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
  const back = findFreePort();
  const front = findFreePort();
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
    pids: () => children.flatMap(({ pid }) => (pid === undefined ? [] : [pid, ...descendantsOf(pid)])),
    close: async () => {
      for (const child of children) await stopChild(child);
    },
  };
}
