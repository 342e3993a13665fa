import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readNewestCheckpoint } from '#main-agent/audit/checkpoint-file.ts';
import { isSignedBy, parseCheckpoint } from '#main-agent/audit/checkpoint.ts';
import { Checkpoints } from '#main-agent/audit/checkpoints.ts';
import { checkpointCloseMs } from '#main-agent/audit/limits.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { buildLog } from '#shared/log.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';
import type { ChainHead } from '#main-agent/state/audit-record.ts';

const nowMs = Date.parse('2026-11-24T08:00:00.000Z');

describe('checkpoints of the audit', () => {
  let folder: string;
  let state: MemoryState;
  let head: ChainHead;
  let server: Server;
  let status: number;
  const received: string[] = [];
  const told: number[] = [];
  const outbound = buildOutboundClient();
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const ours = fingerprintOf(publicKey);
  const hash = (digit: string): string => digit.repeat(64);

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-checkpoints-'));
    state = buildMemoryState();
    head = { sequence: 7, hash: hash('7') };
    status = 204;
    received.length = 0;
    told.length = 0;
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (piece: Buffer) => (body += piece.toString()));
      request.on('end', () => {
        received.push(body);
        response.writeHead(status, { location: '/elsewhere' }).end();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  });

  const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/sallyport`;
  async function start(
    targets: readonly string[] = [],
    key: KeyObject = privateKey,
    sender: OutboundClient = outbound,
  ): Promise<Checkpoints> {
    const checkpoints = new Checkpoints({
      main: 'main1',
      auditFile: join(folder, 'audit.jsonl'),
      privateKey: key,
      targets,
      durableHead: async () => head,
      state,
      outbound: sender,
      tellNodes: ({ sequence }) => told.push(sequence),
      clock: { now: () => nowMs, monotonic: () => nowMs },
      log: buildLog('silent', {}),
    });
    await checkpoints.start();
    return checkpoints;
  }
  const file = (): string => join(folder, 'audit.checkpoints.jsonl');

  it('are signed, noted in the state, told to the nodes and sent away, when the chain moved', async () => {
    const elsewhere = join(folder, 'elsewhere.jsonl');
    const checkpoints = await start([url(), elsewhere]);
    await checkpoints.take();
    await checkpoints.take();
    head = { sequence: 9, hash: hash('9') };
    await checkpoints.close();
    expect(readFileSync(file(), 'utf8').trimEnd().split('\n')).toHaveLength(2);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(readFileSync(elsewhere, 'utf8')).toBe(readFileSync(file(), 'utf8'));
    expect(received.map((body) => `${body}\n`).join('')).toBe(readFileSync(file(), 'utf8'));
    expect(told).toEqual([7, 9]);
    expect((await state.read('audit-extent')).head).toEqual(head);
    const newest = await readNewestCheckpoint(file());
    expect(newest).toMatchObject({ main: 'main1', ...head, time: '2026-11-24T08:00:00.000Z' });
    expect(checkpoints.problems()).toEqual([]);
  });

  it('are believed only whole and of the right key', async () => {
    await (await start()).take();
    const made = await readNewestCheckpoint(file());
    if (made === undefined) throw new Error('no checkpoint');
    expect(isSignedBy(made, ours)).toBe(true);
    expect(isSignedBy(made, fingerprintOf(generateKeyPairSync('ed25519').publicKey))).toBe(false);
    for (const change of [{ sequence: 6 }, { hash: hash('6') }, { time: 'x' }, { main: 'main2' }])
      expect(isSignedBy({ ...made, ...change }, ours)).toBe(false);
    const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' });
    expect(isSignedBy({ ...made, key: other.toString('base64url') }, ours)).toBe(false);
    expect(isSignedBy({ ...made, key: 'AAAA' }, ours)).toBe(false);
    for (const line of [
      '',
      '{}',
      JSON.stringify({ ...made, more: 1 }),
      JSON.stringify({ ...made, sequence: 1.5 }),
    ])
      expect(parseCheckpoint(line)).toBeUndefined();
  });

  it('a target that hangs does not hold up the end, and is told as a problem', async () => {
    const sent = Promise.withResolvers<void>();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const checkpoints = await start(['https://hangs.example/'], privateKey, {
        close: async () => undefined,
        send: ({ signal }) =>
          new Promise((_resolve, reject) => {
            signal?.addEventListener('abort', () => reject(new Error('given up')));
            sent.resolve();
          }),
      });
      let isClosed = false;
      const closing = checkpoints.close().then(() => (isClosed = true));
      await sent.promise;
      await vi.advanceTimersByTimeAsync(checkpointCloseMs - 1);
      expect(isClosed).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      await closing;
      expect(checkpoints.problems()).toEqual([expect.stringContaining('hangs.example/: given up')]);
      expect(readFileSync(file(), 'utf8').trimEnd().split('\n')).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('that do not arrive are a problem until one does; redirects are not followed', async () => {
    status = 302;
    const checkpoints = await start([url(), join(folder, 'no-such-folder', 'file')]);
    await checkpoints.take();
    expect(received).toHaveLength(1);
    // In the order in which they failed, which the two do at once.
    expect(checkpoints.problems().toSorted()).toEqual([
      expect.stringContaining('no-such-folder'),
      expect.stringContaining('status 302'),
    ]);
    status = 200;
    head = { sequence: 8, hash: hash('8') };
    await checkpoints.take();
    expect(checkpoints.problems()).toEqual([expect.stringContaining('no-such-folder')]);
  });

  it('are not taken again after a restart when nothing came', async () => {
    await (await start()).take();
    await (await start()).take();
    expect(told).toEqual([7]);
  });

  it('S-09: their file stays bounded, and a half line at its end hides nothing', async () => {
    const checkpoints = await start();
    await checkpoints.take();
    const line = readFileSync(file(), 'utf8');
    writeFileSync(file(), line.repeat(Math.ceil((2 * 1024 * 1024) / line.length)));
    head = { sequence: 8, hash: hash('8') };
    await checkpoints.take();
    const lines = readFileSync(file(), 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(1440);
    writeFileSync(file(), `${lines.join('\n')}\n{"main":"ma`);
    expect(await readNewestCheckpoint(file())).toMatchObject({ sequence: 8 });
  });
});
