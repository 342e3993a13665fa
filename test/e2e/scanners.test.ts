import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { SiteNode } from '#scripts/demonstration/site.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

/**
 * What the scanners that auditors run say of a running node: the first one with the strict profiles of both doors, the
 * second with `compat`. Every remark is either mended or stands in `scanners/tolerated.json` with its reason, and what
 * stands there and is said no more has to go.
 */

const folder = fileURLToPath(new URL('./scanners', import.meta.url));
const tolerated = z
  .array(z.strictObject({ scan: z.string(), remark: z.string(), reason: z.string().min(20) }))
  .parse(JSON.parse(readFileSync(join(folder, 'tolerated.json'), 'utf8')));
const toleratedIn = (scan: string): string[] =>
  tolerated.filter((one) => one.scan === scan).map(({ remark }) => remark);

let product: Product;
let nodes: { readonly strict: SiteNode; readonly compat: SiteNode };
beforeAll(async () => {
  product = await startProduct({ nodes: 2 });
  const [strict, compat] = product.site.nodes;
  if (strict === undefined || compat === undefined) throw new Error('two nodes were asked for');
  nodes = { strict, compat };
  const { config } = compat.files;
  const text = readFileSync(config, 'utf8');
  writeFileSync(
    config,
    text.replace('https:\n', 'https:\n  profile: compat\n').replace('  profile: strict', '  profile: compat'),
  );
  const { pid } = compat.process;
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  await waitUntil(
    async () => compat.process.pid !== pid && (await fetch(`${compat.health}/readyz`)).ok,
    30_000,
  );
});
afterAll(() => product.close());

const profiles = ['strict', 'compat'] as const;

describe('a scanner', () => {
  it.each(profiles)(
    'ssh-audit finds the algorithms of its policy at the %s SFTP door, and no more',
    async (profile) => {
      const { host, port } = nodes[profile].sftp;
      const policy = join(folder, `ssh-audit-${profile}.policy`);
      const { status, stdout } = await runProgram('/usr/bin/ssh-audit', [
        '-n',
        '-P',
        policy,
        '-p',
        String(port),
        host,
      ]);
      expect(status, stdout).toBe(0);

      const remarks = await runProgram('/usr/bin/ssh-audit', ['-n', '-b', '-p', String(port), host]);
      const said = remarks.stdout
        .split('\n')
        .filter((line) => /\[(warn|fail)\]/.test(line))
        .map((line) => line.replaceAll(/\s+/g, ' ').trim());
      expect(said).toEqual(toleratedIn(`ssh-audit ${profile}`));
    },
  );

  const tls13 = ['AES_128_GCM_SHA256', 'AES_256_GCM_SHA384', 'CHACHA20_POLY1305_SHA256'];
  const tls12 = ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305'];
  const groups = ['secp256r1 (NIST P-256)', 'secp384r1 (NIST P-384)', 'x25519'];
  const strict = {
    versions: ['TLSv1.3'],
    ciphers: tls13.map((one) => `TLSv1.3 TLS_${one}`),
    groups: groups.map((one) => `TLSv1.3 ${one}`),
  };
  const offered = {
    strict,
    compat: {
      versions: ['TLSv1.2', ...strict.versions],
      ciphers: [...strict.ciphers, ...tls12.map((one) => `TLSv1.2 ECDHE-ECDSA-${one}`)],
      groups: [...strict.groups, 'TLSv1.2 secp256r1 (NIST P-256)'],
    },
  };

  it.each(profiles)(
    'sslscan finds the protocols, ciphers and curves of the %s HTTPS door, and no more',
    async (profile) => {
      const { remarks, ...found } = await sslscan(new URL(nodes[profile].https).port);
      expect(found).toEqual(offered[profile]);
      expect(remarks).toEqual(toleratedIn(`sslscan ${profile}`));
    },
  );

  it('sslscan finds TLS 1.3 and nothing else at the link', async () => {
    const { config } = product.site.files.main;
    const port = /127\.0\.0\.1:(\d+)/.exec(readFileSync(config, 'utf8'))?.[1] ?? '';
    const scan = await sslscan(port);
    expect(scan.versions).toEqual(['TLSv1.3']);
    expect(scan.remarks).toEqual(toleratedIn('sslscan link'));
  });

  it('testssl.sh remarks on the compat HTTPS door nothing but what is tolerated', async () => {
    const file = join(product.folder, 'testssl.json');
    // Protocols, forward secrecy and headers; ciphers, renegotiation, compression and heartbeat are sslscan's, whose
    // looks cost a second and not a minute.
    const checks = ['-p', '-f', '-h'];
    const { stdout } = await runProgram(
      '/usr/bin/testssl',
      ['--quiet', '--color', '0', '--warnings', 'off', '--jsonfile', file, ...checks, nodes.compat.https],
      { timeoutMs: 150_000 },
    );
    const findings = z
      .array(z.object({ id: z.string(), severity: z.string(), finding: z.string() }))
      .parse(JSON.parse(readFileSync(file, 'utf8')));
    const seen = new Map(findings.map(({ id, finding }) => [id, finding]));
    for (const id of ['SSLv2', 'SSLv3', 'TLS1', 'TLS1_1']) expect(seen.get(id), stdout).toBe('not offered');
    for (const id of ['TLS1_2', 'TLS1_3', 'PFS']) expect(seen.get(id), stdout).toMatch(/^offered/);
    expect(seen.get('HSTS_time')).toContain('31536000');
    const said = findings
      .filter(({ severity }) => severity !== 'OK' && severity !== 'INFO')
      .map(({ id, severity, finding }) => `${id} ${severity} ${finding}`);
    expect(said).toEqual(toleratedIn('testssl compat'));
  }, 180_000);

  it('tolerates nothing for a scan that nobody makes', () => {
    const scans = [
      'ssh-audit strict',
      'ssh-audit compat',
      'sslscan strict',
      'sslscan compat',
      'sslscan link',
      'testssl compat',
    ];
    expect(tolerated.filter(({ scan }) => !scans.includes(scan))).toEqual([]);
  });
});

/** What sslscan's XML says, and of it what is no good. */
async function sslscan(port: string): Promise<{
  readonly versions: readonly string[];
  readonly ciphers: readonly string[];
  readonly groups: readonly string[];
  readonly remarks: readonly string[];
}> {
  const { stdout, stderr } = await runProgram('/usr/bin/sslscan', [
    '--no-colour',
    '--xml=-',
    `127.0.0.1:${port}`,
  ]);
  const elements = [...stdout.matchAll(/<(\w+) ([^<>]*?)\/?>/g)].map(([, name = '', text = '']) => ({
    name,
    of: new Map([...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value])),
  }));
  const all = (name: string) => elements.filter((one) => one.name === name).map(({ of }) => of);
  if (all('protocol').length === 0) throw new Error(`sslscan saw nothing: ${stdout}${stderr}`);
  const versions = all('protocol')
    .filter((of) => of.get('enabled') === '1')
    .map((of) => `${of.get('type') === 'ssl' ? 'SSL' : 'TLS'}v${of.get('version')}`);
  const remarks = [
    ...all('cipher')
      .filter((of) => !['acceptable', 'strong'].includes(of.get('strength') ?? ''))
      .map((of) => `${of.get('sslversion')} ${of.get('cipher')} ${of.get('strength')}`),
    ...all('renegotiation')
      .filter((of) => of.get('supported') === '1')
      .map((of) => `renegotiation, secure: ${of.get('secure')}`),
    ...all('compression')
      .filter((of) => of.get('supported') === '1')
      .map(() => 'compression'),
    ...all('heartbleed')
      .filter((of) => of.get('vulnerable') === '1')
      .map((of) => `heartbleed ${of.get('sslversion')}`),
    ...all('group')
      .filter((of) => Number(of.get('bits')) < 112)
      .map((of) => `group ${of.get('name')}`),
  ];
  return {
    versions,
    ciphers: all('cipher').map((of) => `${of.get('sslversion')} ${of.get('cipher')}`),
    groups: all('group').map((of) => `${of.get('sslversion')} ${of.get('name')}`),
    remarks,
  };
}
