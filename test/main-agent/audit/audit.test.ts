import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { startAuditFeed, type AuditFeed } from '#main-agent/audit/feed.ts';
import { verifyAudit } from '#main-agent/audit/verify.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { buildLog } from '#shared/log.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const log = buildLog('silent', {});
const nowMs = Date.parse('2026-11-24T00:00:00.000Z');

describe('the audit file', () => {
  let folder: string;
  let file: string;
  let state: StateStore;
  const feeds: AuditFeed[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-audit-'));
    file = join(folder, 'audit.jsonl');
    state = buildMemoryState();
  });
  afterEach(async () => {
    for (const feed of feeds.splice(0)) await feed.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const options = () => ({
    state,
    file,
    rotateBytes: 1e9,
    keepMs: 1e15,
    clock: { now: () => nowMs, monotonic: () => nowMs },
    log,
  });
  async function start(): Promise<AuditFeed> {
    const feed = await startAuditFeed(options());
    feeds.push(feed);
    return feed;
  }
  async function append(...details: string[]): Promise<void> {
    const audit = buildAudit(state);
    for (const detail of details) {
      await audit.append({
        time: '2026-11-24T00:00:00.000Z',
        event: 'login.refused',
        outcome: 'refused',
        detail,
      });
    }
  }
  const details = (): unknown[] =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { detail: string }).detail);

  it('holds every record in order, chained, readable by its owner only', async () => {
    const feed = await start();
    await append('one', 'two', 'three');
    await feed.flush();
    expect(details()).toEqual(['one', 'two', 'three']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await verifyAudit(file)).toMatchObject({ ok: true, records: 3, head: feed.head() });
    expect(await verifyAudit(file, [{ ...feed.head(), from: 'a note' }])).toMatchObject({ ok: true });
  });

  it('S-14: is completed from the state at start, wherever a crash cut it', async () => {
    await append('one', 'two', 'three', 'four');
    await (await start()).close();
    const whole = readFileSync(file);
    for (let cut = 0; cut <= whole.length; cut += 7) {
      writeFileSync(file, whole);
      truncateSync(file, cut);
      const feed = await startAuditFeed(options());
      await feed.close();
      expect(readFileSync(file).equals(whole)).toBe(true);
    }
  });

  it('goes on where it stopped, over pages', async () => {
    await append(...Array.from({ length: 600 }, (_, n) => `early ${n}`));
    await (await start()).close();
    await append('late');
    const feed = await start();
    expect(details()).toHaveLength(601);
    expect(await verifyAudit(file)).toMatchObject({ ok: true, records: 601, head: feed.head() });
  });

  it('puts a damaged file aside and writes all again', async () => {
    await append('one', 'two');
    await (await start()).close();
    appendFileSync(file, Buffer.alloc(100));
    appendFileSync(file, '\n');
    await start();
    expect(details()).toEqual(['one', 'two']);
    expect(readdirSync(folder).filter((name) => name.startsWith('audit.jsonl.aside-'))).toHaveLength(1);
  });

  it('puts a file aside whose numbers mean other records in this state', async () => {
    await append('one', 'two', 'three');
    await (await start()).close();
    const before = readFileSync(file, 'utf8');
    for (const restored of [['one'], ['one', 'two', 'other', 'four']]) {
      writeFileSync(file, before);
      state = buildMemoryState();
      await append(...restored);
      const feed = await start();
      await append('new');
      await feed.flush();
      expect(details()).toEqual([...restored, 'new']);
      expect(await verifyAudit(file)).toMatchObject({ ok: true });
    }
    const aside = readdirSync(folder).filter((name) => name.startsWith('audit.jsonl.aside-'));
    expect(readFileSync(join(folder, aside[0] ?? ''), 'utf8')).toBe(before);
  });

  it('keeps a name with a line break on its own line', async () => {
    const feed = await start();
    await append('evil\n{"sequence":99}\u2028', 'next');
    await feed.flush();
    expect(await verifyAudit(file)).toMatchObject({ ok: true, records: 2 });
  });

  it('an edited, removed or moved line is named, and a cut end shows against a noted head', async () => {
    const feed = await start();
    await append('one', 'two', 'three');
    await feed.flush();
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const write = (changed: readonly (string | undefined)[]): void =>
      writeFileSync(file, changed.map((line) => `${line}\n`).join(''));

    write([lines[0], lines[1]?.replace('two', 'TWO'), lines[2]]);
    expect(await verifyAudit(file)).toMatchObject({ ok: false, line: 3 });
    write([lines[0], lines[2]]);
    expect(await verifyAudit(file)).toMatchObject({ ok: false, line: 2 });
    write([lines[1], lines[0], lines[2]]);
    expect(await verifyAudit(file)).toMatchObject({ ok: false, line: 1 });
    write([lines[0], 'noise', lines[2]]);
    expect(await verifyAudit(file)).toMatchObject({ ok: false, line: 2, reason: 'not an audit record' });
    write([lines[0], lines[1]]);
    expect(await verifyAudit(file)).toMatchObject({ ok: true });
    expect(await verifyAudit(file, [{ ...feed.head(), from: 'a note' }])).toMatchObject({
      ok: false,
      line: 3,
    });
    write([lines[0], lines[1], lines[2]?.replace('three', 'THREE')]);
    expect(await verifyAudit(file, [{ ...feed.head(), from: 'a note' }])).toMatchObject({
      ok: false,
      line: 3,
    });
  });

  it('tells why it can not be written, and refuses to start so', async () => {
    writeFileSync(join(folder, 'plain'), '');
    const inside = join(folder, 'plain', 'audit.jsonl');
    await expect(startAuditFeed({ ...options(), file: inside })).rejects.toMatchObject({ code: 'config' });
    chmodSync(folder, 0o700);
  });

  it('a state that fails is a health error, gone with the next record that works', async () => {
    const feed = await start();
    const read = state.read.bind(state);
    state.read = () => Promise.reject(new Error('disk failed'));
    await append('one');
    await feed.flush();
    expect(feed.problem()).toBe('disk failed');
    state.read = read;
    await append('two');
    await feed.flush();
    expect(feed.problem()).toBeUndefined();
    expect(details()).toEqual(['one', 'two']);
  });
});
