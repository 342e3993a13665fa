import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { initNode, nodeFiles } from '#dmz/cli/init.ts';
import { loadDmzConfig } from '#dmz/config.ts';
import { buildNodeExamination } from '#dmz/health/node-health.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';

const reads = vi.hoisted(() => ({ count: 0 }));
vi.mock(import('#shared/config/file-path.ts'), async (original) => {
  const real = await original();
  return {
    ...real,
    readPublicFile: (file) => {
      reads.count += 1;
      return real.readPublicFile(file);
    },
  };
});

const startMs = 1_795_500_000_000;
const dayMs = 86_400_000;

describe('what a node finds wrong with itself', () => {
  let folder: string;
  let nowMs: number;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-node-health-'));
    nowMs = startMs;
    reads.count = 0;
    const listens = { httpsListen: '0.0.0.0:8443', sftpListen: '0.0.0.0:2222', linkListen: '127.0.0.1:8444' };
    const values = {
      name: 'dmz1',
      publicUrl: 'https://files.example.com',
      hostKey: 'local' as const,
      ...listens,
    };
    initNode(folder, values, startMs);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is looked at again at once when a file is another, and read no more often than that or a minute', async () => {
    const config = await loadDmzConfig(nodeFiles(folder).config);
    const link = {
      isUp: false,
      otherMain: undefined,
      policy: { validatedLogins: true, branding: { name: 'x' }, neverBan: [], bans: [] },
      hostKeys: [],
    };
    const look = buildNodeExamination(
      () => config,
      { clock: { now: () => nowMs, monotonic: () => nowMs } },
      { link, served: () => undefined },
    );
    const wrong = async (): Promise<string[]> =>
      (await look()).findings.flatMap(({ check, state }) =>
        check.startsWith('certificate') && state !== 'good' ? [check] : [],
      );
    const before = await wrong();
    for (let times = 0; times < 5; times += 1) expect(await wrong()).toEqual(before);
    expect(reads.count).toBe(1);
    const authority = createThrowAwayAuthority(startMs);
    const other = authority.issueServerCertificate(['other.example.com']);
    writeFileSync(config.https.certificate ?? '', other.certificatePem);
    expect(await wrong()).toContain('certificate-key');
    expect(await wrong()).toContain('certificate-name');
    expect(reads.count).toBe(2);
    nowMs += 4_000 * dayMs;
    expect(await wrong()).toContain('certificate-end');
    expect(reads.count).toBe(3);
    const [last] = createThrowAwayAuthority(startMs + 30_000)
      .issueServerCertificate(['files.example.com'])
      .certificatePem.split(/(?<=END CERTIFICATE-----\n)/);
    writeFileSync(config.https.certificate ?? '', last ?? '');
    const endsMs = new X509Certificate(last ?? '').validToDate.getTime();
    const details = async () => (await look()).findings.map(({ detail }) => detail);
    nowMs = endsMs - 1000;
    expect(await details()).not.toContain('has ended');
    nowMs = endsMs + 1000;
    expect(await details(), 'in the same minute').toContain('has ended');
    expect(reads.count).toBe(4);
  });
});
