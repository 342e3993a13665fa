import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEnvelope, sealEnvelope } from '#main-agent/backup/enveloped-data.ts';
import { pieceBytes } from '#main-agent/backup/limits.ts';
import { parseRecipient, type Opener, type Recipient } from '#main-agent/backup/recipients.ts';
import { Secret } from '#shared/secret.ts';

const passphrase = new Secret('correct horse battery staple');
const folder = mkdtempSync(join(tmpdir(), 'sallyport-envelope-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function gather(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const seal = (content: Buffer, ...recipients: readonly Recipient[]): Promise<Buffer> =>
  gather(sealEnvelope(inPieces(content, 100_000), recipients));
const open = (file: Buffer, opener: Opener, size = 1000): Promise<Buffer> =>
  gather(openEnvelope(inPieces(file, size), opener));

/** A certificate and its key, as an authority's tool makes them. */
function makeCertificate(name: string, ...key: readonly string[]) {
  const [certificate, keyFile] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const made = ['-keyout', keyFile, '-out', certificate, '-subj', `/O=Bank/CN=${name}`, '-days', '30'];
  execFileSync('openssl', ['req', '-x509', '-nodes', ...key, ...made], { stdio: 'pipe' });
  return {
    file: certificate,
    keyFile,
    recipient: { certificate: parseRecipient(readFileSync(certificate), name) },
    opener: { privateKey: createPrivateKey(readFileSync(keyFile)) },
  };
}

function openWithOpenssl(file: Buffer, ...how: readonly string[]): Buffer {
  const [sealed, plain] = [join(folder, 'sealed'), join(folder, 'plain')];
  writeFileSync(sealed, file);
  rmSync(plain, { force: true });
  const { stderr, status } = spawnSync(
    'openssl',
    ['cms', '-decrypt', '-inform', 'DER', '-in', sealed, '-out', plain, ...how],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
  return readFileSync(plain);
}

describe('an encrypted backup', () => {
  const content = randomBytes(3 * pieceBytes + 17);
  let rsa: ReturnType<typeof makeCertificate>;
  let curve: ReturnType<typeof makeCertificate>;
  let forAll: Buffer;

  beforeAll(async () => {
    rsa = makeCertificate('rsa', '-newkey', 'rsa:2048');
    curve = makeCertificate('curve', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384');
    forAll = await seal(content, { passphrase }, rsa.recipient, curve.recipient);
  });

  it('is opened by whoever it was made for', async () => {
    expect(await open(forAll, { passphrase })).toEqual(content);
    expect(await open(forAll, rsa.opener)).toEqual(content);
    expect(await open(forAll, curve.opener)).toEqual(content);
  });

  it('is opened by openssl with the passphrase, and with the key of each certificate', () => {
    expect(openWithOpenssl(forAll, '-pwri_password', passphrase.expose())).toEqual(content);
    for (const one of [rsa, curve])
      expect(openWithOpenssl(forAll, '-recip', one.file, '-inkey', one.keyFile)).toEqual(content);
  });

  it('is opened in whatever pieces it is read', async () => {
    const small = await seal(Buffer.from('a few words'), rsa.recipient);
    for (const size of [1, 2, 7, small.length - 1, small.length])
      expect((await open(small, rsa.opener, size)).toString()).toBe('a few words');
    for (const bytes of [0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1])
      expect(await open(await seal(content.subarray(0, bytes), rsa.recipient), rsa.opener)).toHaveLength(
        bytes,
      );
  });

  it('is written and opened piece by piece: neither is ahead of who takes it', async () => {
    let given = 0;
    const endless = async function* () {
      for (;;) {
        given += 1;
        yield randomBytes(pieceBytes);
      }
    };
    const sealed = sealEnvelope(endless(), [rsa.recipient]);
    const counted = async function* () {
      for await (const piece of sealed) yield piece;
    };
    const opened = openEnvelope(counted(), rsa.opener);
    for (let taken = 1; taken <= 20; taken += 1) {
      expect((await opened.next()).value).toHaveLength(pieceBytes);
      expect(given).toBeLessThanOrEqual(taken + 1);
    }
    await opened.return(undefined);
  });

  it('stays shut for another passphrase and another key', async () => {
    const other = makeCertificate('other', '-newkey', 'rsa:2048');
    for (const opener of [{ passphrase: new Secret('correct horse battery stable') }, other.opener])
      await expect(open(forAll, opener)).rejects.toMatchObject({ code: 'refused' });
    const withoutPassphrase = await seal(content, rsa.recipient);
    await expect(open(withoutPassphrase, { passphrase })).rejects.toMatchObject({ code: 'refused' });
  });

  it('is refused when a byte of it is another, when its end is missing, and when something follows', async () => {
    const small = await seal(Buffer.from('a few words'), rsa.recipient);
    const contentAt = small.indexOf(Buffer.from('2a864886f70d010701', 'hex'));
    expect(contentAt).toBeGreaterThan(0);
    for (let at = 0; at < small.length; at += 1) {
      const changed = Buffer.from(small);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      const opened = await open(changed, rsa.opener).then(
        (plain) => plain.toString(),
        () => 'refused',
      );
      // Beside the wrapped key stands for people to read whom it is for: no word of it decides.
      const whatIsRight = at < contentAt ? ['refused', 'a few words'] : ['refused'];
      expect(whatIsRight, `byte ${at}`).toContain(opened);
    }
    for (let length = 0; length < small.length; length += 1)
      await expect(open(small.subarray(0, length), rsa.opener), `${length} bytes`).rejects.toMatchObject({
        code: 'io-error',
      });
    await expect(open(Buffer.concat([small, Buffer.from('x')]), rsa.opener)).rejects.toThrow(/whole backup/);
  });

  it('takes no passphrase that is tried out in a day, no certificate that nobody can be encrypted for', async () => {
    await expect(seal(content, { passphrase: new Secret('x'.repeat(15)) })).rejects.toMatchObject({
      code: 'usage',
    });
    await expect(seal(Buffer.from('x'), { passphrase: new Secret('x'.repeat(16)) })).resolves.toBeDefined();
    await expect(seal(content)).rejects.toMatchObject({ code: 'usage' });
    expect(() => makeCertificate('short', '-newkey', 'rsa:1024')).toThrow(/Nothing can be encrypted/);
    expect(() => makeCertificate('signing', '-newkey', 'ed25519')).toThrow(/Nothing can be encrypted/);
    expect(() => parseRecipient(Buffer.from('hello'), 'hello')).toThrow(/no certificate/);
  });
});
