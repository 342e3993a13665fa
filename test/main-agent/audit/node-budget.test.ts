import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { refusalRate, summedEveryMs } from '#main-agent/audit/limits.ts';
import { NodeBudget } from '#main-agent/audit/node-budget.ts';
import type { AuditEvent, Audit, AuditRecord } from '#main-agent/state/audit-record.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { buildLog } from '#shared/log.ts';

const log = buildLog('silent', {});
const startMs = Date.parse('2026-11-29T22:00:00.000Z');
let nowMs = startMs;
const clock = { now: () => nowMs, monotonic: () => nowMs };

describe('what a node’s word alone may write into the audit', () => {
  let folder: string;
  let state: StateStore;
  let audit: Audit;
  let budget: NodeBudget;

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    nowMs = startMs;
    folder = mkdtempSync(join(tmpdir(), 'sallyport-budget-'));
    budget = new NodeBudget({ clock, log, write: (record) => audit.append(record) });
    state = await openSqliteState({
      file: join(folder, 'state.db'),
      admit: (changes) => budget.admit(changes),
      clock,
      log,
    });
    audit = buildAudit(state);
  });
  afterEach(async () => {
    vi.useRealTimers();
    await state.close();
    rmSync(folder, { recursive: true });
  });

  const record = (node: string | undefined, event: string, more: Partial<AuditRecord> = {}): AuditRecord => ({
    time: new Date(nowMs).toISOString(),
    event: event as AuditEvent,
    outcome: 'refused',
    ...(node !== undefined && { node }),
    ...more,
  });
  const refuse = async (node: string, times: number, event = 'login.refused'): Promise<void> => {
    const names = Array.from({ length: times }, (_, index) => `name ${index + 1}`);
    const facts = { clientIp: '192.0.2.9', rule: 'no such user' };
    await Promise.all(names.map((user) => audit.append(record(node, event, { user, ...facts }))));
  };
  const written = async (): Promise<readonly AuditRecord[]> =>
    (await state.read('audit-after', { sequence: 0, limit: 10_000 })).map((row) => row.record);
  const count = async (node: string): Promise<number> =>
    (await written()).filter((one) => one.node === node && one.event !== 'audit.summed').length;
  const summaries = async (): Promise<readonly AuditRecord[]> =>
    (await written()).filter(({ event }) => event === 'audit.summed');
  const passMinute = async (): Promise<void> => {
    nowMs += summedEveryMs;
    await vi.advanceTimersByTimeAsync(summedEveryMs);
    // The state writes in another thread: behind this record stands the summary.
    await audit.append(record(undefined, 'a.minute.later', { outcome: 'ok' }));
  };

  it('S-09: is written down up to its budget, and not beyond', async () => {
    await refuse('dmz1', refusalRate.burst - 1);
    expect(await count('dmz1')).toBe(refusalRate.burst - 1);
    await refuse('dmz1', 1);
    expect(await count('dmz1')).toBe(refusalRate.burst);
    expect(budget.problems()).toEqual([]);
    await refuse('dmz1', 1);
    expect(await count('dmz1')).toBe(refusalRate.burst);
    expect(budget.problems()).toHaveLength(1);
  });

  it('is one record a minute beyond it: how many of each event, the first and the last', async () => {
    await refuse('dmz1', refusalRate.burst);
    await refuse('dmz1', 3);
    await refuse('dmz1', 40, 'file.refused');
    expect(await summaries()).toEqual([]);
    await passMinute();
    const [summary, ...more] = await summaries();
    expect(more).toEqual([]);
    expect(summary).toMatchObject({
      outcome: 'refused',
      node: 'dmz1',
      summed: { 'file.refused': 40, 'login.refused': 3 },
    });
    expect(summary?.detail).toContain('the first: 2026-11-29T22:00:00.000Z login.refused name 1 192.0.2.9');
    expect(summary?.detail).toMatch(/the last: \S+ file\.refused name 40 192\.0\.2\.9/);
    // The next minute has a budget again, and its own summary.
    const before = await count('dmz1');
    await refuse('dmz1', 500);
    expect((await count('dmz1')) - before).toBe((summedEveryMs / 1000) * refusalRate.perSecond);
    await passMinute();
    expect((await summaries()).map(({ summed }) => summed)).toHaveLength(2);
    await passMinute();
    expect(await summaries()).toHaveLength(2);
  });

  it('leaves another node’s records alone', async () => {
    await refuse('dmz1', refusalRate.burst + 100);
    await refuse('dmz2', 50);
    expect(await count('dmz2')).toBe(50);
  });

  it('counts a sign-in that failed on our side and a head of the audit that it invents, too', async () => {
    await refuse('dmz1', refusalRate.burst);
    await audit.append(record('dmz1', 'login.refused', { outcome: 'failed' }));
    await audit.append(record('dmz1', 'audit.contradicted', { outcome: 'failed' }));
    expect(await count('dmz1')).toBe(refusalRate.burst);
  });

  it('never takes the place of what really happened: logins, changes, endings, transfers, our own failures', async () => {
    await refuse('dmz1', refusalRate.burst + 10);
    const before = await count('dmz1');
    const real: readonly Partial<AuditRecord>[] = [
      { event: 'login.admitted', outcome: 'ok' },
      { event: 'file.upload', outcome: 'ok' },
      { event: 'session.ended', outcome: 'ok' },
      { event: 'account.not-written', outcome: 'failed' },
    ];
    for (const one of real) await audit.append(record('dmz1', '', one));
    expect(await count('dmz1')).toBe(before + real.length);
  });

  it('takes nothing from the changes that a refusal is committed with', async () => {
    await refuse('dmz1', refusalRate.burst + 10);
    await state.commit([
      {
        kind: 'count-failure',
        scope: 'password:alice',
        atMs: nowMs,
        windowMs: 900_000,
        limit: 5,
        lockMs: 900_000,
        lockMaxMs: 900_000,
      },
      { kind: 'audit', record: record('dmz1', 'login.refused') },
    ]);
    expect((await state.read('failures', { scope: 'password:alice', nowMs })).recent).toBe(1);
    expect(await count('dmz1')).toBe(refusalRate.burst);
  });

  it('is told before main stops', async () => {
    await refuse('dmz1', refusalRate.burst + 7);
    await budget.close();
    expect((await summaries()).map(({ summed }) => summed)).toEqual([{ 'login.refused': 7 }]);
  });
});
