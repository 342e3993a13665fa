import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type PeerCertificate } from 'node:tls';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { startPebble, type Pebble } from '#test/harness/pebble.ts';
import { startWholeProduct, type WholeProduct } from '#test/harness/whole-product.ts';

describe('both nodes and a certificate authority', () => {
  let folder: string;
  let pebble: Pebble;
  const started: WholeProduct[] = [];

  afterEach(async () => {
    for (const one of started.splice(0)) await one.close();
    await pebble.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function start(plainPort: number): Promise<WholeProduct> {
    const ca = join(folder, 'authority.pem');
    await writeFile(ca, pebble.ca);
    const acme = { directory: pebble.directory, email: 'admin@example.com', names: ['localhost'], ca };
    const product = await startWholeProduct({
      users: [],
      folder,
      changeMain: (config) => ({ ...config, https: { acme } }),
      changeDmz: (config) => ({
        ...config,
        https: {
          ...config.https,
          certificate: undefined,
          key: undefined,
          plainListen: { type: 'tcp', host: '127.0.0.1', port: plainPort },
        },
      }),
    });
    started.push(product);
    return product;
  }

  async function served({ https }: WholeProduct): Promise<PeerCertificate> {
    const port = Number(new URL(https).port);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const certificate = socket.getPeerCertificate();
    socket.destroy();
    return certificate;
  }

  it('get one through port 80, serve it, and have it again after a restart without asking anew', async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-acme-'));
    const plainPort = findFreePort();
    pebble = await startPebble({ httpPort: plainPort, refusedNonces: 20 });
    const first = await start(plainPort);
    const before = await served(first);
    expect(before.issuer.CN).toMatch(/^Pebble Intermediate CA/);
    expect(before.subjectaltname).toBe('DNS:localhost');
    await expect
      .poll(async () => (await first.audit()).map(({ event }) => event))
      .toContain('certificate.issued');
    await started.pop()?.close();
    expect((await served(await start(plainPort))).fingerprint256).toBe(before.fingerprint256);
  });
});
