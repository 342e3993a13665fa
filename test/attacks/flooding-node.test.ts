import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createPrivateKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { edgeRecordRate, refusalRate } from '#main-agent/audit/limits.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import type { FloodingNodeOptions } from '#test/harness/flooding-node.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

/** FLOOD_SECONDS=60 by hand prints what it came to. */
const wantedSeconds = process.env['FLOOD_SECONDS'];
const floodSeconds = Number(wantedSeconds ?? 3);
const program = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const patienceMs = 120_000;
/** A refusal with the longest names and an event with the longest detail, in the file. */
const recordBytesMax = 2_000;
const mainGrowthKiBMax = 300 * 1024;

describe('a DMZ node that was broken into and sends main all it can', () => {
  let product: Product;
  beforeAll(async () => {
    product = await startProduct({ nodes: 2, mainProgram: program('../../main-agent/main.ts') });
  });
  afterAll(() => product.close());

  const residentKiB = (): number =>
    Number(
      /^VmRSS:\s+([0-9]+) kB$/m.exec(readFileSync(`/proc/${product.site.main.pid}/status`, 'utf8'))?.[1],
    );

  /** The alarm of main that the node has gone over what is written down of it. */
  const isTold = (): boolean =>
    readFileSync(product.site.files.main.log, 'utf8').includes('it sent more than are written down');

  async function logIn(): Promise<number> {
    const session = new HttpsSession(product.site.nodes[1]?.https ?? '', product.site.files.ca);
    const { status } = await session.json('POST', '/api/login', {
      username: 'carol',
      password: product.password('carol'),
    });
    if (status === 200) await session.json('POST', '/api/logout');
    return status;
  }

  it('S-09: fills neither main’s disk nor its memory, and people at the other node sign in meanwhile', async () => {
    const { files, main, nodes } = product.site;
    const calmStart = performance.now();
    for (let n = 0; n < 3; n += 1) expect(await logIn()).toBe(200);
    const calmMs = (performance.now() - calmStart) / 3;
    await nodes[0]?.process.stop();
    const auditBefore = statSync(files.main.audit).size;
    const logBefore = statSync(files.main.log).size;
    const before = residentKiB();
    const mainPid = main.pid;
    const options: FloodingNodeOptions = {
      name: 'dmz1',
      port: (JSON.parse(readFileSync(files.secrets, 'utf8')) as { ports: { link: number } }).ports.link,
      identityKey: files.dmz.identityKey,
      signingKey: files.dmz.signingKey,
      mainIdentity: fingerprintOf(createPrivateKey(readFileSync(files.main.identityKey))),
    };
    const flood = spawn(process.execPath, [program('../harness/flooding-node.ts'), JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const startedMs = performance.now();
    let printed = '';
    flood.stdout.on('data', (text: Buffer) => (printed += text.toString()));
    const statuses: number[] = [];
    let most = 0;
    try {
      // From its first record on; main dials in its own time.
      await waitUntil(
        () => product.audit().some(({ event, node }) => event === 'login.refused' && node === 'dmz1'),
        patienceMs,
      );
      const end = performance.now() + floodSeconds * 1000;
      // On a machine under load it takes longer until the node has gone over its budget.
      while (performance.now() < end || !isTold()) {
        expect(performance.now() - startedMs).toBeLessThan(floodSeconds * 1000 + patienceMs);
        statuses.push(await logIn());
        most = Math.max(most, residentKiB());
      }
    } finally {
      flood.kill('SIGTERM');
      await once(flood, 'close');
    }
    const sent = JSON.parse(printed) as Record<string, number>;
    const after = residentKiB();
    const auditBytes = statSync(files.main.audit).size - auditBefore;
    const seconds = (performance.now() - startedMs) / 1000;
    const logBytes = statSync(files.main.log).size - logBefore;
    if (wantedSeconds !== undefined)
      process.stdout.write(
        `${JSON.stringify({ calmMs, logBytes, sent, auditBytes, before, most, after, logins: statuses.length })}\n`,
      );

    expect(main.pid, 'main is the same process').toBe(mainPid);
    expect(statuses.length).toBeGreaterThan(0);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    const records =
      refusalRate.burst + edgeRecordRate.burst + (refusalRate.perSecond + edgeRecordRate.perSecond) * seconds;
    // Signing in and out is told as ever.
    expect(auditBytes).toBeLessThan((records + 4 * statuses.length) * recordBytesMax);
    expect(logBytes).toBeLessThan(100_000 + 2_000 * seconds);
    expect(most - before).toBeLessThan(mainGrowthKiBMax);
  });
});
