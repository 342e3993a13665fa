import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { secretsImportedAtOnceMax } from '#main-agent/admin/limits.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import { buildPlayedTerminal, type PlayedTerminal } from '#test/harness/played-terminal.ts';
import { startPlayedMain, type PlayedMain } from '#test/main-agent/admin/played-main.ts';

const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';

describe('sallyport two-factor import', () => {
  let main: PlayedMain;
  let folder: string;
  beforeEach(async () => {
    main = await startPlayedMain();
    folder = mkdtempSync(join(tmpdir(), 'sallyport-import-'));
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await main.close();
  });

  async function run(text: string, more: readonly string[] = [], terminal?: PlayedTerminal) {
    const file = join(folder, 'secrets');
    writeFileSync(file, text);
    const at = terminal ?? buildPlayedTerminal();
    const from = terminal === undefined ? file : '-';
    const args = ['--socket', main.socket, 'two-factor', 'import', from, '--reason', 'moved', ...more];
    const code = await runCommand(args, { terminal: at, folder, nowMs: 0, actor: 'eva' });
    return { code, out: at.printed(), err: at.complained() };
  }

  it('reads user and secret, or an otpauth URI, of each line; remarks and empty lines are passed over', async () => {
    const uri = `otpauth://totp/Old:alice?secret=${secret}`;
    const { code, out } = await run(
      `# exported\n\nalice,${secret}\nalice; JBSW Y3DP EHPK\r\nalice\t${uri}\n${uri}\n`,
    );
    expect(code).toBe(0);
    expect(out).toBe('4 imported, 0 replaced, 0 not taken.\n');
    expect(main.asked.map((one) => one.split(' ').slice(1, 3).join(' '))).toEqual([
      'alice 32',
      'alice 14',
      `alice ${uri.length}`,
      `alice ${uri.length}`,
    ]);
  });

  it('says of each line that was not taken why, and ends with a failure; no secret is shown', async () => {
    const { code, out, err } = await run(`alice ${secret}\nbob ${secret}\n`);
    expect(code).not.toBe(0);
    expect(out).toMatch(/2 +bob +there is no such user/);
    expect(out).toContain('1 imported, 0 replaced, 1 not taken.');
    expect(err).toContain('1 of 2 lines were not taken');
    expect(out + err).not.toContain(secret);
  });

  it('shows neither a name nor a secret of a line that is not both', async () => {
    const { code, out, err } = await run(`alice ${secret}\n${secret}\n`);
    expect(code).not.toBe(0);
    expect(err).toContain('Line 2');
    expect(out + err).not.toContain(secret);
    expect(main.asked).toEqual([]);
  });

  it('reads standard input, passes --dry-run and --replace on, and sends many lines in several calls', async () => {
    const lines = `alice ${secret}\n`.repeat(secretsImportedAtOnceMax + 1);
    const terminal = buildPlayedTerminal({ input: lines });
    const { code, out } = await run('', ['--dry-run', '--replace'], terminal);
    expect([code, out]).toEqual([
      0,
      `0 would be imported, ${secretsImportedAtOnceMax + 1} would be replaced, 0 not taken.\n`,
    ]);
    expect(main.asked).toHaveLength(secretsImportedAtOnceMax + 1);
    expect(main.asked[0]).toMatch(/^import alice 32 true true .* moved$/);
  });
});
