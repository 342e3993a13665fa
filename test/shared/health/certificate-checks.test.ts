import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildCertificateChecks, type ServedCertificate } from '#shared/health/certificate-checks.ts';
import { examine } from '#shared/health/check.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { Secret } from '#shared/secret.ts';

const nowMs = 1_795_500_000_000;
const dayMs = 86_400_000;
const authority = createThrowAwayAuthority(nowMs);
const issued = authority.issueServerCertificate(['files.example.com']);
const served: ServedCertificate = {
  certificatePem: issued.certificatePem + authority.certificatePem,
  keyPem: issued.privateKeyPem,
};
const checks = buildCertificateChecks<Parameters<typeof of>[0]>('certificate', of, {
  renew: 'renew it',
  key: 'the right key',
  name: 'the right name',
});

function of(changed: {
  readonly certificate?: ServedCertificate;
  readonly name?: string;
  readonly atMs?: number;
}) {
  const { certificate = served, name = 'files.example.com', atMs = nowMs } = changed;
  return { certificate, name, nowMs: atMs };
}

async function wrong(changed: Parameters<typeof of>[0]): Promise<string[]> {
  const { findings, unlooked } = await examine(checks, changed);
  expect(unlooked).toEqual([]);
  return findings
    .filter(({ state }) => state !== 'good')
    .map(({ check, state, detail, hint }) => `${state} ${check}: ${detail} → ${String(hint)}`);
}

const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
});
const daysLeft = 397;

describe('a certificate that a door shows', () => {
  it('is well with its key, its chain, its name and time left', async () => {
    expect(await wrong({})).toEqual([]);
  });

  it.each([
    [
      'its key is another',
      { certificate: { ...served, keyPem: new Secret(String(otherKey)) } },
      /^bad certificate-key: the key does not belong to the certificate → the right key$/,
    ],
    [
      'its key is no key',
      { certificate: { ...served, keyPem: new Secret('nothing') } },
      /^bad certificate-key: the key can not be read → /,
    ],
    [
      'nothing leads to its authority',
      { certificate: { ...served, certificatePem: issued.certificatePem } },
      /^warning certificate-chain: the chain is missing: nothing leads to .+ → the certificates between/,
    ],
    [
      'what lies below it is somebody else’s',
      {
        certificate: {
          ...served,
          certificatePem: issued.certificatePem + createThrowAwayAuthority(nowMs).certificatePem,
        },
      },
      /^bad certificate-chain: the chain is broken: certificate 2 in the file/,
    ],
    [
      'it is for another name',
      { name: 'other.example.com' },
      /^bad certificate-name: is not for other\.example\.com: DNS:files\.example\.com → /,
    ],
    [
      'it ends soon',
      { atMs: nowMs + (daysLeft - 13) * dayMs },
      /^warning certificate-end: ends in \d+ days → renew it$/,
    ],
    ['it has ended', { atMs: nowMs + 2 * daysLeft * dayMs }, /^bad certificate-end: has ended → renew it$/],
    [
      'it is not good yet',
      { atMs: nowMs - 30 * dayMs },
      /^bad certificate-end: is good from \d{4}-.* only → is the clock/,
    ],
  ] as const)('is told with its cure when %s', async (_title, changed, sentence) => {
    const found = await wrong(changed);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(sentence);
  });

  it('is bad when the chain is missing of one that says where its issuer is to be had', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-chain-'));
    try {
      const run = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      run('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=Root', '-days', '30');
      run('req', ...key, '-keyout', 'key', '-out', 'csr', '-subj', '/CN=files.example.com');
      writeFileSync(join(folder, 'ext'), 'authorityInfoAccess=caIssuers;URI:http://ca.example/i.der\n');
      run(
        'x509',
        '-req',
        '-in',
        'csr',
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-days',
        '30',
        '-out',
        'pem',
        '-extfile',
        'ext',
      );
      const read = (file: string) => readFileSync(join(folder, file), 'utf8');
      const chain = async (pem: string) =>
        (
          await wrong({
            certificate: { certificatePem: pem, keyPem: new Secret(read('key')) },
            atMs: Date.now(),
          })
        ).filter((one) => one.includes('certificate-chain'));
      expect(await chain(read('pem'))).toEqual([
        expect.stringMatching(/^bad certificate-chain: the chain is missing: nothing leads to CN ?= ?Root/),
      ]);
      expect(await chain(read('pem') + read('ca.pem'))).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('counts the last fourteen days', async () => {
    const end = nowMs + lifeMs();
    expect(await wrong({ atMs: end - 14 * dayMs - 1 })).toEqual([]);
    expect(await wrong({ atMs: end - 14 * dayMs })).toHaveLength(1);
    expect((await wrong({ atMs: end - 1 }))[0]).toMatch(/^warning/);
    expect((await wrong({ atMs: end }))[0]).toMatch(/^bad/);
  });
});

function lifeMs(): number {
  return new X509Certificate(issued.certificatePem).validToDate.getTime() - nowMs;
}
