import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyAudit } from '#main-agent/audit/verify.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { requestsInFlightMax } from '#main-agent/state/limits.ts';
import { openDatabase } from '#main-agent/state/sqlite/schema.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { systemClock } from '#shared/clock.ts';
import type { SallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { describeStateStore } from '../conformance.ts';

const log = buildLog('silent', {});
const folders: string[] = [];
function stateFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-state-'));
  folders.push(folder);
  return join(folder, 'state.db');
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describeStateStore('SQLite', (clock) => openSqliteState({ file: stateFile(), clock, log }));

describe('the SQLite state', () => {
  let file: string;
  beforeEach(() => {
    file = stateFile();
  });
  const open = () => openSqliteState({ file, clock: systemClock, log });

  it('is readable by its owner only', async () => {
    const store = await open();
    await store.commit([{ kind: 'use-code', user: 'alice', id: 'h' }]);
    for (const name of [file, `${file}-wal`]) expect(statSync(name).mode & 0o777).toBe(0o600);
    await store.close();
  });

  it('S-03: still knows used evidence after a restart', async () => {
    const before = await open();
    await before.commit([{ kind: 'use-code', user: 'alice', id: 'h' }]);
    await before.close();
    const after = await open();
    expect(await after.commit([{ kind: 'use-code', user: 'alice', id: 'h' }])).toEqual({
      ok: false,
      failed: 'use-code',
    });
    await after.close();
  });

  it('is copied whole while it is written, for its owner alone, and sqlite3 finds nothing wrong with it', async () => {
    const store = await open();
    const use = (id: number): Promise<unknown> =>
      store.commit([
        { kind: 'use-code', user: 'alice', id: `${id}` },
        { kind: 'use-code', user: 'bob', id: `${id}`.padEnd(2000, '-') },
      ]);
    for (let id = 0; id < 2000; id += 100)
      await Promise.all(Array.from({ length: 100 }, (_, one) => use(id + one)));
    const copy = `${file}.copy`;
    const copied = store.copyTo(copy);
    let last = 2000;
    for (; last < 2400; last += 1) await use(last);
    await copied;
    expect(statSync(copy).mode & 0o777).toBe(0o600);
    const sqlite = (query: string): string =>
      execFileSync('sqlite3', [copy, query], { encoding: 'utf8' }).trim();
    expect(sqlite('PRAGMA integrity_check')).toBe('ok');
    const counts = sqlite('SELECT username, count(*) FROM used_codes GROUP BY username').split('\n');
    const [alice, bob] = counts.map((line) => Number(line.split('|')[1]));
    expect(alice, 'a commit is in it with all its changes, or not at all').toBe(bob);
    expect(alice).toBeGreaterThanOrEqual(2000);
    expect(alice).toBeLessThanOrEqual(last);
    await expect(store.copyTo(copy)).rejects.toMatchObject({ code: 'exists' });
    await store.close();
  });

  it('is copied again and again, several times at once, while others write without a pause, and no copy fails', async () => {
    const store = await open();
    const use = (user: string, id: number): Promise<unknown> =>
      store.commit([{ kind: 'use-code', user, id: `${id}`.padEnd(2000, '-') }]);
    const copies = Array.from({ length: 100 }, (_, number) => `${file}.copy${number}`);
    const copied = new AbortController();
    const write = async (user: string): Promise<number> => {
      let id = 0;
      for (; !copied.signal.aborted; id += 1) expect(await use(user, id)).toEqual({ ok: true });
      return id;
    };
    const writing = Promise.all(['alice', 'bob', 'carol'].map(write));
    for (let next = 0; next < copies.length; next += 4)
      await Promise.all(copies.slice(next, next + 4).map((copy) => store.copyTo(copy)));
    copied.abort();
    expect(Math.min(...(await writing))).toBeGreaterThan(0);
    await store.close();
    for (const copy of copies.slice(-4))
      expect(execFileSync('sqlite3', [copy, 'PRAGMA integrity_check'], { encoding: 'utf8' }).trim()).toBe(
        'ok',
      );
  });

  it('finishes what was asked before it closes, and refuses what comes after', async () => {
    const store = await open();
    const commits = Array.from({ length: 100 }, (_, n) =>
      store.commit([{ kind: 'use-code', user: 'alice', id: `h${n}` }]),
    );
    await store.close();
    expect((await Promise.all(commits)).every((result) => result.ok)).toBe(true);
    await expect(store.read('sessions')).rejects.toMatchObject({ code: 'busy' });
  });

  it('refuses a second main-agent on the same state', async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({ code: 'config', hint: expect.stringContaining('Another') });
    await store.close();
  });

  it('makes no temporary files, also where a large batch can be undone', () => {
    const database = openDatabase(file);
    try {
      expect(database.prepare('PRAGMA temp_store').get()).toMatchObject({ temp_store: 2 });
      const put = database.prepare(
        `INSERT OR REPLACE INTO kept_records (list, id, data) VALUES ('test', ?, ?)`,
      );
      const putAll = (content: string): void => {
        for (let index = 0; index < 500; index += 1) put.run(String(index), content.repeat(1000));
      };
      putAll('a');
      database.exec('BEGIN IMMEDIATE');
      database.exec('SAVEPOINT one');
      putAll('b');
      const targets = readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/self/fd/${fd}`)];
        } catch {
          return [];
        }
      });
      expect(targets.some((target) => target.startsWith(file))).toBe(true);
      expect(targets.filter((target) => target.includes('etilqs'))).toEqual([]);
      database.exec('ROLLBACK TO one');
      database.exec('COMMIT');
    } finally {
      database.close();
    }
  });

  it('refuses a database of a newer version', async () => {
    await (await open()).close();
    const database = new DatabaseSync(file);
    database.exec('PRAGMA user_version = 9999');
    database.close();
    await expect(open()).rejects.toMatchObject({ code: 'config', detail: expect.stringContaining('newer') });
  });

  it('S-09: bounds what waits for the disk', async () => {
    const store = await open();
    const asked = Array.from({ length: requestsInFlightMax + 1 }, (_, n) =>
      store.commit([{ kind: 'use-code', user: 'alice', id: `h${n}` }]).then(
        () => 'done',
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    const results = await Promise.all(asked);
    expect(results.slice(0, requestsInFlightMax).every((result) => result === 'done')).toBe(true);
    expect(results.at(-1)).toBe('busy');
    await store.close();
  });

  it('S-09: remembers the newest 256 addresses of a user', async () => {
    const store = await open();
    const note = (clientIp: string, atMs: number): Promise<unknown> =>
      store.commit([{ kind: 'note-login', user: 'alice', clientIp, atMs }]);
    const startMs = Date.now();
    await Promise.all(Array.from({ length: 257 }, (_, n) => note(`ip${n}`, startMs + n)));
    expect(
      await store.read('last-good-login', { user: 'alice', clientIp: 'ip0', nowMs: startMs }),
    ).toBeUndefined();
    expect(await store.read('last-good-login', { user: 'alice', clientIp: 'ip1', nowMs: startMs })).toBe(
      startMs + 1,
    );
    expect(await store.read('last-good-login', { user: 'alice', clientIp: 'ip256', nowMs: startMs })).toBe(
      startMs + 256,
    );
    await store.close();
  });

  it('S-14: when the writer thread dies nothing is answered any more but errors', async () => {
    let writer: Worker | undefined;
    process.once('worker', (worker) => (writer = worker));
    const failures: SallyportError[] = [];
    const store = await openSqliteState({
      file,
      clock: systemClock,
      log,
      onFailure: (error) => failures.push(error),
    });
    const waiting = store
      .commit([{ kind: 'use-code', user: 'alice', id: 'h' }])
      .catch((error: unknown) => error);
    await writer?.terminate();
    expect([{ ok: true }, failures[0]]).toContainEqual(await waiting);
    await expect(store.commit([{ kind: 'end-session', key: 'k' }])).rejects.toBe(failures[0]);
    await expect(store.read('sessions')).rejects.toBe(failures[0]);
    expect(failures).toHaveLength(1);
    await store.close();
  });

  it('a commit that SQLite cannot store fails alone', async () => {
    const store = await open();
    const broken = { kind: 'use-code', user: 'alice', id: undefined } as never;
    const [bad, good] = await Promise.allSettled([
      store.commit([broken]),
      store.commit([{ kind: 'use-code', user: 'alice', id: 'h' }]),
    ]);
    expect(bad.status).toBe('rejected');
    expect(good).toEqual({ status: 'fulfilled', value: { ok: true } });
    await store.close();
  });

  it('S-03: after kill -9 amid commits every answered one is there, and each is whole', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'commit-until-killed.ts'), file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const answered: number[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      answered.push(Number(line));
      if (answered.length === 300) child.kill('SIGKILL');
    }
    if (child.signalCode === null) await once(child, 'exit');
    expect(child.signalCode).toBe('SIGKILL');

    const store = await open();
    const sessions = new Set((await store.read('sessions')).map(({ key }) => key));
    const audited = new Set(
      (await store.read('audit-after', { sequence: 0, limit: 1000 })).map(({ record }) => record.reference),
    );
    expect(answered.length).toBeGreaterThanOrEqual(300);
    for (const n of answered) expect(sessions.has(`k${n}`)).toBe(true);
    expect(audited).toEqual(sessions);

    // S-14: audit.jsonl was never written by the killed process; it is completed from the state, unbroken.
    const auditFile = `${file}.jsonl`;
    const feed = await startAuditFeed({
      state: store,
      file: auditFile,
      rotateBytes: 4096,
      keepMs: 1e15,
      clock: systemClock,
      log,
    });
    await feed.close();
    expect(await verifyAudit(auditFile)).toMatchObject({ ok: true, records: audited.size });
    await store.close();
  });
});
