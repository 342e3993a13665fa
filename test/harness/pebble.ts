import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { stopChild, waitForPort } from './peer.ts';

/** Let's Encrypt's test authority for ACME clients, on loopback. It is strict where their real one is. */
export interface Pebble {
  readonly directory: URL;
  /** PEM; what its own TLS is trusted by. */
  readonly ca: string;
  /** PEM; what the certificates that it issues are trusted by. */
  root(): Promise<string>;
  close(): Promise<void>;
}

interface PebbleOptions {
  /** Port of the names where it looks for challenges. */
  readonly httpPort: number;
  /** Percentage of good nonces that it refuses. */
  readonly refusedNonces?: number;
  /** Percentage of names that it remembers as proven. */
  readonly reusedProofs?: number;
}

export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-pebble-'));
  const authority = createThrowAwayAuthority(Date.now());
  const { certificatePem, privateKeyPem } = authority.issueServerCertificate();
  const inFolder = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const [port, managementPort] = [findFreePort(), findFreePort()];
  const config = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    certificate: inFolder('certificate.pem', certificatePem),
    privateKey: inFolder('key.pem', privateKeyPem.expose()),
    httpPort: options.httpPort,
    // Nobody asks for the challenge that goes there.
    tlsPort: 1,
  };
  const child: ChildProcess = spawn(
    '/usr/bin/pebble',
    ['-strict', '-config', inFolder('pebble.json', JSON.stringify({ pebble: config }))],
    {
      env: {
        PEBBLE_VA_NOSLEEP: '1',
        PEBBLE_WFE_NONCEREJECT: String(options.refusedNonces ?? 0),
        PEBBLE_AUTHZREUSE: String(options.reusedProofs ?? 0),
      },
      stdio: 'ignore',
    },
  );
  await waitForPort(port);
  return {
    directory: new URL(`https://localhost:${port}/dir`),
    ca: authority.certificatePem,
    root: () => fetchText(`https://localhost:${managementPort}/roots/0`, authority.certificatePem),
    async close() {
      await stopChild(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function fetchText(url: string, ca: string): Promise<string> {
  const [response] = (await once(get(url, { ca, agent: false }), 'response')) as [IncomingMessage];
  return (await response.toArray()).join('');
}
