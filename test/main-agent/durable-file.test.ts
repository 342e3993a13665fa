import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { removeDurably, writeDurably } from '#main-agent/durable-file.ts';
import { identifyFile } from '#main-agent/users/user-file.ts';
import { breakFiles } from '#test/harness/faulty-files.ts';

const oldText = 'username: alice\n# as it was\n';
const newText = 'username: alice\nstatus: disabled\n';
/** More than any of these writes takes. */
const stepsMax = 40;

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-durable-'));
  file = path.join(folder, 'alice.yaml');
  writeFileSync(file, oldText, { mode: 0o640 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `act` with the disk failing from each step on, until it gets through; looks after each. */
async function failAtEach(act: () => Promise<unknown>, look: (step: number) => void): Promise<number> {
  for (let step = 1; step < stepsMax; step += 1) {
    const faulty = breakFiles({ at: step, how: 'fails' });
    const failed = await act()
      .then(() => false)
      .catch(() => true)
      .finally(() => faulty.restore());
    look(step);
    if (!failed) return step - 1;
    writeFileSync(file, oldText);
  }
  throw new Error('it never got through');
}

describe('a file written durably', () => {
  test('is the old one or the new one after a failure at any step, and nothing half written has its name', async () => {
    const seen = new Set<string>();
    const steps = await failAtEach(
      () => writeDurably(file, newText, { mode: 0o600 }),
      (step) => {
        const text = readFileSync(file, 'utf8');
        expect([oldText, newText], `step ${step}`).toContain(text);
        seen.add(text);
        const others = readdirSync(folder).filter((name) => name !== 'alice.yaml');
        expect(others.map(identifyFile)).toEqual(others.map(() => undefined));
      },
    );
    expect(seen).toEqual(new Set([oldText, newText]));
    // Made, written, synced, renamed, tidied up, and the folder opened and synced.
    expect(steps).toBeGreaterThanOrEqual(6);
  });

  test('that fails once for a full disk leaves the old one and nothing else', async () => {
    for (let step = 1; step <= 4; step += 1) {
      const faulty = breakFiles({ at: step, how: 'fails', once: true });
      await expect(writeDurably(file, newText, { mode: 0o600 })).rejects.toThrow('EIO');
      faulty.restore();
      expect(readFileSync(file, 'utf8')).toBe(oldText);
      expect(readdirSync(folder)).toEqual(['alice.yaml']);
    }
  });

  test('is the old one or the new one after SIGKILL at any step', { timeout: 60_000 }, () => {
    const program = path.join(import.meta.dirname, 'write-until-killed.ts');
    const seen = new Set<string>();
    for (let step = 1; step < stepsMax; step += 1) {
      const run = spawnSync(process.execPath, [program, file, newText, String(step)], { encoding: 'utf8' });
      const text = readFileSync(file, 'utf8');
      expect([oldText, newText], `step ${step}`).toContain(text);
      seen.add(text);
      if (run.stdout === 'written') break;
      expect(run.signal, run.stderr).toBe('SIGKILL');
      writeFileSync(file, oldText);
    }
    expect(seen).toEqual(new Set([oldText, newText]));
  });

  test('that must be new is there whole or not at all', async () => {
    const fresh = path.join(folder, 'bob.yaml');
    await failAtEach(
      () => writeDurably(fresh, newText, { mode: 0o600, exclusive: true }),
      () => {
        if (!readdirSync(folder).includes('bob.yaml')) return;
        expect(readFileSync(fresh, 'utf8')).toBe(newText);
        expect(statSync(fresh).mode & 0o777).toBe(0o600);
        rmSync(fresh);
      },
    );
  });

  test('and removed is there as it was, or gone', async () => {
    await failAtEach(
      () => removeDurably(file),
      () => {
        expect(['', oldText]).toContain(existsSync(file) ? readFileSync(file, 'utf8') : '');
      },
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});
