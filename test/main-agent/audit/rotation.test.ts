import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listRotated } from '#main-agent/audit/audit-files.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { exportFormats } from '#main-agent/audit/export-formats.ts';
import { exportAudit } from '#main-agent/audit/export.ts';
import { startAuditFeed, type AuditFeed } from '#main-agent/audit/feed.ts';
import { auditInStateMs } from '#main-agent/audit/limits.ts';
import { verifyAudit } from '#main-agent/audit/verify.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const log = buildLog('silent', {});
const dayMs = 24 * 3_600_000;
const startMs = Date.parse('2026-11-24T12:00:00.000Z');

describe('audit files that turn over', () => {
  let folder: string;
  let file: string;
  let state: StateStore;
  let nowMs: number;
  const feeds: AuditFeed[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-rotation-'));
    file = join(folder, 'audit.jsonl');
    nowMs = startMs;
    state = buildMemoryState();
  });
  afterEach(async () => {
    for (const feed of feeds.splice(0)) await feed.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const options = (changed: object = {}) => ({
    state,
    file,
    rotateBytes: 600,
    keepMs: 400 * dayMs,
    clock: { now: () => nowMs, monotonic: () => nowMs },
    log,
    ...changed,
  });
  async function start(changed: object = {}): Promise<AuditFeed> {
    const feed = await startAuditFeed(options(changed));
    feeds.push(feed);
    return feed;
  }
  async function append(...details: string[]): Promise<void> {
    for (const detail of details) {
      const time = new Date(nowMs).toISOString();
      await buildAudit(state).append({ time, event: 'login.refused', outcome: 'refused', detail });
    }
  }
  const names = (): string[] => readdirSync(folder).toSorted();
  async function exported(): Promise<unknown[]> {
    const details: unknown[] = [];
    for await (const line of exportAudit(file, {}, exportFormats.jsonl))
      details.push((JSON.parse(line) as { detail: string }).detail);
    return details;
  }

  it('a full file is numbered by its first record, and the chain goes on over it', async () => {
    const feed = await start();
    await append('a', 'b', 'c', 'd', 'e', 'f', 'g');
    await feed.flush();
    expect(names()).toEqual(['audit.000000000001.jsonl', 'audit.000000000004.jsonl', 'audit.jsonl']);
    for (const name of names()) {
      expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(600);
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    }
    expect(await exported()).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
    expect(await verifyAudit(file)).toMatchObject({
      ok: true,
      files: 3,
      records: 7,
      first: 1,
      head: feed.head(),
    });
  });

  it('the end of a day ends a file', async () => {
    const feed = await start({ rotateBytes: 1e9 });
    await append('today');
    nowMs += dayMs;
    await append('tomorrow', 'later');
    await feed.flush();
    expect(names()).toEqual(['audit.000000000001.jsonl', 'audit.jsonl']);
    expect(await verifyAudit(file)).toMatchObject({ ok: true, records: 3 });
  });

  it('one record larger than a file may be stands in a file of its own', async () => {
    const feed = await start();
    await append('a', 'x'.repeat(2000), 'b');
    await feed.flush();
    expect(names()).toHaveLength(3);
    expect(await exported()).toEqual(['a', 'x'.repeat(2000), 'b']);
  });

  it('S-14: a crash at each step of turning over loses no record and doubles none', async () => {
    const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    await append(...all);
    await (await start()).close();
    const whole = join(folder, 'whole');
    const files = names();
    for (const name of files) cpSync(join(folder, name), join(whole, name));
    const [, second = ''] = files;
    const bytes = readFileSync(join(whole, second));
    const steps: Readonly<Record<string, () => void>> = {
      'before the file was full, amid a record': () => {
        writeFileSync(file, bytes.subarray(0, bytes.length - 10));
        rmSync(join(folder, second));
      },
      'full and not yet renamed': () => renameSync(join(folder, second), file),
      'renamed, and no new file made': () => rmSync(file),
      'new file made and empty': () => truncateSync(file, 0),
      'first record half written': () => truncateSync(file, 20),
      'renamed, and what was not synced lost': () => {
        rmSync(file);
        rmSync(join(folder, second));
      },
    };
    for (const [step, crash] of Object.entries(steps)) {
      for (const name of files) cpSync(join(whole, name), join(folder, name));
      crash();
      await (await start()).close();
      expect(await exported(), step).toEqual(all);
      expect(await verifyAudit(file), step).toMatchObject({ ok: true, records: 7 });
      expect(
        names().filter((name) => name.includes('aside')),
        step,
      ).toEqual([]);
    }
  });

  it('files past their retention go, a record explains where the chain begins now, the newest full one stays', async () => {
    await append('a', 'b', 'c', 'd', 'e', 'f', 'g');
    await (await start()).close();
    nowMs += 400 * dayMs;
    await (await start({ rotateBytes: 1e9 })).close();
    expect(names()).toEqual(['audit.000000000001.jsonl', 'audit.000000000004.jsonl', 'audit.jsonl']);
    nowMs += 1;
    const feed = await start({ rotateBytes: 1e9 });
    await feed.flush();
    await feed.keepHouse();
    await feed.flush();
    expect(names()).toEqual(['audit.000000000007.jsonl', 'audit.jsonl']);
    expect(await verifyAudit(file)).toMatchObject({ ok: true, first: 7 });

    const kept = join(folder, 'audit.000000000007.jsonl');
    const bytes = readFileSync(kept);
    rmSync(kept);
    expect(await verifyAudit(file)).toMatchObject({
      ok: false,
      file,
      line: 1,
      reason: expect.stringContaining('no retention removed them'),
    });
    writeFileSync(kept, bytes);
  });

  it('old records leave the state once a full file has them, and the files still go on from it', async () => {
    const feed = await start();
    await append('a', 'b', 'c', 'd', 'e', 'f', 'g');
    await feed.flush();
    nowMs += auditInStateMs;
    await feed.keepHouse();
    expect(await state.read('audit-extent')).toMatchObject({ first: 1 });
    nowMs += 1;
    await feed.keepHouse();
    expect(await state.read('audit-extent')).toMatchObject({ first: 6, last: 7 });
    await feed.close();
    for (const lost of [[], ['audit.jsonl']]) {
      for (const name of lost) rmSync(join(folder, name));
      await (await start()).close();
      expect(await exported()).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
      expect(await verifyAudit(file)).toMatchObject({ ok: true, records: 7 });
    }
  });

  it('files of another state are put aside whole, and a new chain begins', async () => {
    await append('a', 'b', 'c', 'd', 'e', 'f', 'g');
    await (await start()).close();
    state = buildMemoryState();
    await append('new');
    await (await start()).close();
    expect(await exported()).toEqual(['new']);
    expect(await verifyAudit(file)).toMatchObject({ ok: true, records: 1 });
    expect(names().filter((name) => name.includes('.aside-'))).toHaveLength(3);
  });

  it('a numbered file that is cut, edited, swapped or gone is named', async () => {
    const feed = await start();
    await append('a', 'b', 'c', 'd', 'e', 'f', 'g');
    await feed.flush();
    const [first = '', second = ''] = (await listRotated(file)).map(({ path }) => path);
    const [one, two] = [readFileSync(first), readFileSync(second)];
    const restore = (): void => {
      writeFileSync(first, one);
      writeFileSync(second, two);
    };
    writeFileSync(first, one.toString().replace('"b"', '"B"'));
    expect(await verifyAudit(file)).toMatchObject({ ok: false, file: first, line: 3 });
    restore();
    truncateSync(first, one.length - 5);
    expect(await verifyAudit(file)).toMatchObject({
      ok: false,
      file: first,
      reason: 'the file ends amid a record',
    });
    restore();
    truncateSync(first, one.lastIndexOf('\n', one.length - 2) + 1);
    expect(await verifyAudit(file)).toMatchObject({ ok: false, file: second, line: 1 });
    writeFileSync(first, two);
    writeFileSync(second, one);
    expect(await verifyAudit(file)).toMatchObject({ ok: false, file: first, line: 1 });
    restore();
    rmSync(second);
    expect(await verifyAudit(file)).toMatchObject({ ok: false, file, line: 1 });
  });

  it('S-14: after kill -9 amid turning over, again and again, every committed record stands there once', async () => {
    const stateFile = join(folder, 'state.db');
    for (let round = 0; round < 4; round += 1) {
      const child = spawn(
        process.execPath,
        [join(import.meta.dirname, 'rotate-until-killed.ts'), stateFile, file],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      let answered = 0;
      createInterface({ input: child.stdout }).on('line', () => {
        answered += 1;
        if (answered === 150 + round * 17) child.kill('SIGKILL');
      });
      await once(child, 'exit');
      expect(child.signalCode).toBe('SIGKILL');
    }
    state = await openSqliteState({ file: stateFile, clock: systemClock, log });
    const feed = await startAuditFeed(options({ clock: systemClock }));
    await feed.close();
    const { last } = await state.read('audit-extent');
    expect(last).toBeGreaterThan(600);
    expect(await verifyAudit(file)).toMatchObject({
      ok: true,
      first: 1,
      records: last,
      head: { sequence: last },
    });
    expect((await listRotated(file)).length).toBeGreaterThan(50);
    await state.close();
  });
});
