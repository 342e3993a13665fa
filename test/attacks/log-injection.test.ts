import fc from 'fast-check';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { verifyAudit } from '#main-agent/audit/verify.ts';
import { formatFacts, formatTable } from '#main-agent/cli/table.ts';
import { buildLog } from '#shared/log.ts';
import { showInvisible } from '#shared/visible-text.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

/** What a terminal, an editor or a log viewer obeys instead of showing it; the line feed that ends a line is ours. */
const obeyed = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

const named: readonly string[] = [
  'evil\n{"sequence":99,"previous":"0"}',
  'evil\r\nlogin.admitted',
  '\u001b[2J\u001b[31mred\u001b]0;title\u0007',
  '\u009b31m',
  '\u2028\u2029\u0085',
  '\u202ereversed\u2066\u200b\u061c\ufeff',
  '\ud800 \udc00 \udbff',
  '\u{e0041}\u{e0042}',
  '\0\u007f\u0008\u0008',
  '"\\\u200b\\u0041"',
  'x'.repeat(65_535) + '\n',
];
const hostile = fc.oneof(
  fc.constantFrom(...named),
  fc.string({ unit: 'binary', maxLength: 64 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 64 })
    .map((units) => String.fromCharCode(...units)),
);

describe('names that want to be lines of their own', () => {
  it('stay one whole JSON line in the audit file, with nothing a terminal obeys, and say the same', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-injection-'));
    const clock = { now: () => 0, monotonic: () => 0 };
    const state = buildMemoryState();
    const file = join(folder, 'audit.jsonl');
    const names = [...named, ...fc.sample(hostile, 500)];
    const time = '2026-11-24T00:00:00.000Z';
    for (const name of names) {
      const record = { user: name, agent: name, path: name, detail: name, node: name, rule: name };
      await buildAudit(state).append({ time, event: 'login.refused', outcome: 'refused', ...record });
    }
    const feed = await startAuditFeed({
      state,
      file,
      rotateBytes: 1e9,
      keepMs: 1e15,
      clock,
      log: buildLog('silent', {}),
    });
    await feed.close();
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(names.length);
    for (const [index, line] of lines.entries()) {
      expect(obeyed.test(line)).toBe(false);
      expect((JSON.parse(line) as { user: string }).user).toBe(names[index]);
    }
    expect(await verifyAudit(file)).toMatchObject({ ok: true, records: names.length });
    rmSync(folder, { recursive: true });
  });

  it('stay one line in tables and in what commands print', () => {
    fc.assert(
      fc.property(hostile, (name) => {
        const table = formatTable(['name'], [[name], [[name, name]], [{ name }]]).split('\n');
        expect(table).toHaveLength(5);
        const facts = formatFacts({ name }).split('\n');
        expect(facts).toHaveLength(2);
        for (const line of [...table, ...facts]) expect(obeyed.test(line)).toBe(false);
      }),
    );
  });

  it('mean the same as JSON when they are shown', () => {
    fc.assert(
      fc.property(hostile, (name) => {
        const shown = showInvisible(JSON.stringify({ name }));
        expect(obeyed.test(shown)).toBe(false);
        expect(JSON.parse(shown)).toEqual({ name });
      }),
    );
  });

  it('stay one line in the log of a real process', async () => {
    const program = `
      const { buildLog } = await import(${JSON.stringify(join(import.meta.dirname, '../../shared/log.ts'))});
      const log = buildLog('info', { node: 'n' });
      for (const name of ${JSON.stringify(named)}) log.info({ user: name, err: new Error(name) }, name);
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      maxBuffer: 8 * 1024 * 1024,
    });
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(named.length);
    for (const [index, line] of lines.entries()) {
      expect(obeyed.test(line)).toBe(false);
      expect((JSON.parse(line) as { user: string }).user).toBe(named[index]);
    }
  });
});
