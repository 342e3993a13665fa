import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { readHistory } from '#main-agent/audit/history.ts';
import { buildLog } from '#shared/log.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const dayMs = 24 * 3_600_000;
const startMs = Date.parse('2026-09-01T12:00:00.000Z');

describe('the audit read from a time on', () => {
  let made: string;
  let folder: string;
  let file: string;
  let state: ReturnType<typeof buildMemoryState>;

  /** One record a day for fifty days, a file each; those of the last thirty stand in the state, too. */
  beforeAll(async () => {
    made = mkdtempSync(join(tmpdir(), 'sallyport-history-'));
    file = join(made, 'audit.jsonl');
    state = buildMemoryState();
    let nowMs = startMs;
    const clock = { now: () => nowMs, monotonic: () => nowMs };
    const log = buildLog('silent', {});
    const feed = await startAuditFeed({ state, file, rotateBytes: 1e6, keepMs: 400 * dayMs, clock, log });
    for (let day = 1; day <= 50; day += 1) {
      const time = new Date(nowMs).toISOString();
      await buildAudit(state).append({ time, event: 'admin.call', outcome: 'ok', detail: `day ${day}` });
      await feed.flush();
      nowMs += dayMs;
    }
    await feed.keepHouse();
    await feed.close();
  });
  afterAll(() => rmSync(made, { recursive: true }));
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-history-'));
    cpSync(made, folder, { recursive: true });
    file = join(folder, 'audit.jsonl');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** The days that are read, and what is not known. */
  async function read(fromDay: number): Promise<{ days: number[]; gaps: string[] }> {
    const days: number[] = [];
    const gaps: string[] = [];
    for await (const one of readHistory({ state, file }, startMs + (fromDay - 1) * dayMs)) {
      if ('record' in one) days.push(Number(one.record.detail?.slice(4)));
      else gaps.push(one.why);
    }
    return { days, gaps };
  }
  const daysFrom = (first: number): number[] =>
    Array.from({ length: 51 - first }, (_, index) => first + index);
  const rotated = (): string[] =>
    readdirSync(folder)
      .filter((name) => /\.\d{12}\./.test(name))
      .toSorted();

  it('is whole where part of it stands in files alone, each record once', async () => {
    const { first } = await state.read('audit-extent');
    expect(first).toBeGreaterThan(10);
    for (const from of [1, 2, 15, first - 1, first, first + 1, 50]) {
      const { days, gaps } = await read(from);
      expect(gaps).toEqual([]);
      expect(
        days.filter((day) => day >= from),
        `from day ${from}`,
      ).toEqual(daysFrom(from));
    }
  });

  it('says where a file is missing, and goes on after it', async () => {
    rmSync(join(folder, rotated()[14] ?? ''));
    const { days, gaps } = await read(10);
    expect(days.filter((day) => day >= 10)).toEqual(daysFrom(10).filter((day) => day !== 15));
    expect(gaps).toEqual(['the records before number 16 are gone']);
  });

  it('says that its beginning is gone, where that is asked for', async () => {
    for (const name of rotated().slice(0, 5)) rmSync(join(folder, name));
    expect((await read(3)).gaps).toEqual(['the records before number 6 are gone']);
    expect((await read(6)).gaps).toEqual([]);
  });

  it('says what is no record, and what was cut or changed', async () => {
    const [third = '', fourth = ''] = rotated().slice(2, 4);
    writeFileSync(join(folder, third), 'not a record\n');
    const text = readFileSync(join(folder, fourth), 'utf8');
    writeFileSync(join(folder, fourth), text.replace('day 4', 'day 7'));
    const { gaps } = await read(1);
    expect(gaps[0]).toMatch(/^a line of .* is no record$/);
    expect(gaps.slice(1)).toEqual([
      'the records before number 4 are gone',
      'the records before number 5 are gone',
    ]);
  });

  it('says that no file has what the state has no more', async () => {
    for (const name of rotated()) rmSync(join(folder, name));
    const { first } = await state.read('audit-extent');
    const { days, gaps } = await read(1);
    expect(days).toEqual(daysFrom(first));
    expect(gaps[0]).toMatch(/^the records before number \d+ are/);
  });
});
