import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { Door, readAll } from './door.ts';

let door: Door;
beforeAll(async () => {
  door = await Door.open();
});
afterAll(() => door.close());

/** The certificate that new connections are shown. */
async function served(of = door): Promise<string> {
  const socket: TLSSocket = connect({
    host: '127.0.0.1',
    port: of.port,
    servername: 'localhost',
    rejectUnauthorized: false,
  });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

it('a renewed certificate is served from the reload on, and what was under way goes on', async () => {
  const before = await served();
  const underWay = await door.raw();
  underWay.write('GET /favicon.svg HTTP/1.1\r\nHost: localhost\r\n');
  const renewed = createThrowAwayAuthority(Date.now()).issueServerCertificate(['localhost']);
  door.server.reload({ certificatePem: renewed.certificatePem, keyPem: renewed.privateKeyPem });
  expect(await served()).not.toBe(before);
  underWay.write('Connection: close\r\n\r\n');
  expect(await readAll(underWay)).toMatch(/^HTTP\/1\.1 200 /);
});

it('a certificate that does not belong to its key is not taken, and the one before goes on', async () => {
  const before = await served();
  const authority = createThrowAwayAuthority(Date.now());
  const [one, other] = [authority, authority].map((from) => from.issueServerCertificate(['localhost']));
  if (one === undefined || other === undefined) throw new Error('two certificates');
  expect(() =>
    door.server.reload({ certificatePem: one.certificatePem, keyPem: other.privateKeyPem }),
  ).toThrow(/key values mismatch/);
  expect(await served()).toBe(before);
});

it('without a certificate every handshake fails, until one is there', async () => {
  const waiting = await Door.open({ withoutCertificate: true });
  await expect(served(waiting)).rejects.toThrow(/handshake failure/);
  const { certificatePem, privateKeyPem: keyPem } = createThrowAwayAuthority(
    Date.now(),
  ).issueServerCertificate();
  waiting.server.reload({ certificatePem, keyPem });
  expect(await served(waiting)).toMatch(/^([0-9A-F]{2}:){31}/);
  await waiting.close();
});
