import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { EdgeEvents } from '#main-agent/audit/edge-events.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { edgeEventsPerNodeMax, edgeRecordRate, edgeRoomEveryMs } from '#main-agent/audit/limits.ts';
import { NodeHeads } from '#main-agent/audit/node-heads.ts';
import { verifyAudit } from '#main-agent/audit/verify.ts';
import { signEdgeEvent, type EdgeEvent } from '#shared/link/edge-event.ts';
import { buildLog } from '#shared/log.ts';
import { randomId } from '#shared/random-id.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';

const log = buildLog('silent', {});
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const nowMs = Date.parse('2026-11-24T08:00:00.000Z');
let steadyMs = 0;
const clock = { now: () => nowMs, monotonic: () => steadyMs };

describe('events of DMZ nodes', () => {
  let state: MemoryState;
  let events: EdgeEvents;
  let acknowledged: number[];
  const boot = randomId();

  const open = (): EdgeEvents =>
    new EdgeEvents({
      state,
      publicKeysOf: (node) => (node === 'dmz1' ? [publicKey] : []),
      acknowledge: (_node, count) => acknowledged.push(count.sequence),
      clock,
      log,
    });
  beforeEach(() => {
    state = buildMemoryState();
    acknowledged = [];
    events = open();
  });
  const build = (sequence: number, changed: Partial<EdgeEvent> = {}): EdgeEvent =>
    signEdgeEvent(
      {
        boot,
        sequence,
        kind: 'banned',
        atMs: nowMs - 5,
        clientIp: '192.0.2.1',
        protocol: 'sftp',
        detail: `event ${sequence}`,
        ...changed,
      },
      { node: 'dmz1', worker: 0 },
      privateKey,
    );
  /** All of it is in the audit, or can't be. */
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  async function take(...sent: EdgeEvent[]): Promise<void> {
    for (const event of sent) events.take('dmz1', 0, event);
    await settle();
  }
  const audited = (): string[] => state.audit.map(({ event, detail }) => `${event}: ${detail}`);

  it('are audited once each, with node, place in its count and signature, and acknowledged then', async () => {
    await take(build(1), build(2), build(2), build(1), build(3));
    expect(audited()).toEqual(['edge.banned: event 1', 'edge.banned: event 2', 'edge.banned: event 3']);
    expect(state.audit[0]).toMatchObject({
      outcome: 'refused',
      node: 'dmz1',
      clientIp: '192.0.2.1',
      protocol: 'sftp',
      edge: { worker: 0, boot, sequence: 1, atMs: nowMs - 5, signature: build(1).signature },
    });
    expect(acknowledged.at(-1)).toBe(3);
    expect(events.problems()).toEqual([]);
  });

  it('S-03: sent again to a main that started anew, are not audited again, and are acknowledged', async () => {
    await take(build(1), build(2));
    events = open();
    acknowledged = [];
    await take(build(1), build(2), build(3));
    expect(audited()).toHaveLength(3);
    expect(acknowledged).toEqual([3]);
  });

  it('a number that is missing is a record and a problem of its own; a process that starts anew counts anew', async () => {
    await take(build(1), build(4));
    expect(state.audit[1]).toMatchObject({
      event: 'edge.gap',
      outcome: 'failed',
      node: 'dmz1',
      edge: { boot, sequence: 2, missing: 2 },
    });
    expect(events.problems()).toEqual(['2 events of dmz1 never came, from its event 2 on']);
    const next = randomId();
    await take(build(1, { boot: next }), build(2, { boot: next }));
    expect(audited().slice(3)).toEqual(['edge.banned: event 1', 'edge.banned: event 2']);
  });

  it('that its key did not sign are not audited, and that is told once', async () => {
    const other = generateKeyPairSync('ed25519').privateKey;
    const forged = (sequence: number): EdgeEvent =>
      signEdgeEvent(build(sequence), { node: 'dmz1', worker: 0 }, other);
    await take(forged(1), forged(2), { ...build(3), detail: 'changed' });
    expect(state.audit.map(({ event }) => event)).toEqual(['edge.forged']);
    expect(events.problems()).toHaveLength(1);
    expect(acknowledged).toEqual([]);
  });

  it('S-09: of a node that floods are not all written down, and how many were left out is a record', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      const flood = edgeRecordRate.burst + edgeEventsPerNodeMax;
      for (let sequence = 1; sequence <= flood + 5; sequence += 1) events.take('dmz1', 0, build(sequence));
      for (let turn = 0; turn < 100; turn += 1) await settle();
      expect(state.audit.length).toBe(edgeRecordRate.burst);
      expect(acknowledged.at(-1)).toBe(edgeRecordRate.burst);
      expect(events.problems()).toEqual([
        'dmz1 sends more events than are written down; what is too much is left out',
      ]);
      // What waits goes on at the node's rate, so that nothing is acknowledged that is not written.
      steadyMs += 10_000;
      await vi.advanceTimersByTimeAsync(edgeRoomEveryMs);
      for (let turn = 0; turn < 10; turn += 1) await settle();
      expect(state.audit.length).toBe(edgeRecordRate.burst + 10 * edgeRecordRate.perSecond);
      steadyMs += 3_600_000;
      await vi.advanceTimersByTimeAsync(edgeRoomEveryMs);
      for (let turn = 0; turn < 100; turn += 1) await settle();
      steadyMs += 3_600_000;
      await vi.advanceTimersByTimeAsync(edgeRoomEveryMs);
      for (let turn = 0; turn < 100; turn += 1) await settle();
      events.take('dmz1', 0, build(flood + 6));
      for (let turn = 0; turn < 10; turn += 1) await settle();
      expect(audited().at(-2)).toMatch(/^edge\.gap: \d+ events of dmz1 were left out/);
      expect(audited().at(-1)).toBe(`edge.banned: event ${flood + 6}`);
    } finally {
      vi.useRealTimers();
    }
  });

  it('S-14: wait for a state that fails, and are not acknowledged before they are durable', async () => {
    let failing = true;
    state.beforeCommit = () => {
      if (failing) throw new Error('disk full');
    };
    await take(build(1));
    expect(acknowledged).toEqual([]);
    failing = false;
    await take(build(2));
    expect(audited()).toEqual(['edge.banned: event 1', 'edge.banned: event 2']);
    expect(acknowledged.at(-1)).toBe(2);
  });

  it('verify names a node’s event that was taken out together with the chain after it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-edge-'));
    const file = join(folder, 'audit.jsonl');
    await take(build(1), build(4), build(5), build(6));
    const write = async (source: MemoryState): Promise<void> => {
      rmSync(file, { force: true });
      const feed = await startAuditFeed({ state: source, file, rotateBytes: 1e9, keepMs: 1e15, clock, log });
      await feed.close();
    };
    await write(state);
    expect(await verifyAudit(file)).toMatchObject({
      ok: true,
      edgeLosses: [{ node: 'dmz1', missing: 2, record: 2 }],
    });
    const forged = buildMemoryState();
    for (const record of state.audit)
      if (record.detail !== 'event 5') await forged.commit([{ kind: 'audit', record }]);
    await write(forged);
    expect(await verifyAudit(file)).toMatchObject({
      ok: false,
      line: 4,
      reason: 'event 6 of dmz1 after its event 4, and no record says why',
    });
    rmSync(folder, { recursive: true });
  });
});

describe('what nodes remember of the audit', () => {
  const hash = (digit: string): string => digit.repeat(64);

  it('contradicts an audit that ends earlier or differs, until the node agrees again', () => {
    let head = { sequence: 5, hash: hash('5') };
    const told: string[] = [];
    const heads = new NodeHeads({ head: () => head, onContradiction: (_node, detail) => told.push(detail) });
    heads.take('dmz1', 0, { sequence: 4, hash: hash('4') });
    heads.take('dmz1', 0, { sequence: 5, hash: hash('5') });
    expect(heads.problems()).toEqual([]);
    heads.take('dmz2', 0, { sequence: 9, hash: hash('9') });
    heads.take('dmz2', 0, { sequence: 9, hash: hash('9') });
    heads.take('dmz3', 0, { sequence: 5, hash: hash('6') });
    expect(told).toEqual([
      'dmz2 remembers audit record 9, the audit ends at 5',
      'dmz3 remembers another audit record 5',
    ]);
    expect(heads.problems()).toHaveLength(2);
    head = { sequence: 12, hash: hash('c') };
    heads.take('dmz2', 0, head);
    expect(heads.problems()).toHaveLength(1);
    expect(heads.list()).toContainEqual({ node: 'dmz2', worker: 0, ...head });
  });
});
