import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isCutOff, requireRoom, Staging } from '#main-agent/backup/staging.ts';
import { breakFiles, type Fault } from '#test/harness/faulty-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-staging-'));
const box = join(folder, 'box');
const config = join(box, 'etc', 'main-agent.yaml');
const state = join(box, 'var', 'state.db');
const users = join(box, 'var', 'users');
afterAll(() => rmSync(folder, { recursive: true }));

/** By path, as text. */
function contents(): Readonly<Record<string, string>> {
  const names = readdirSync(box, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => statSync(join(box, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(box, name), 'utf8')]));
}

/** A box with a fresh main, and no state yet. */
function begin(): Readonly<Record<string, string>> {
  rmSync(box, { recursive: true, force: true });
  for (const made of [join(box, 'etc'), users]) mkdirSync(made, { recursive: true });
  writeFileSync(config, 'fresh');
  writeFileSync(join(users, '_default.yaml'), 'fresh');
  return contents();
}

/** As `restoreBackup` does it. */
async function restore(others: readonly string[] = []): Promise<readonly string[]> {
  const owners = { config: undefined, state: undefined };
  const folders = [{ path: users, owner: 'state' }] as const;
  const staging = new Staging(config, folders, owners, 0);
  async function* content() {
    yield Buffer.from('restored');
  }
  try {
    for (const path of [config, state, join(users, 'alice.yaml')])
      await staging.write({ path, owner: 'state' }, content());
    return await staging.putInPlace(others);
  } finally {
    await staging.discard();
  }
}

/** False: it was rejected. */
async function isRestored(fault: Fault): Promise<boolean> {
  const broken = breakFiles(fault);
  try {
    return await restore().then(
      () => true,
      () => false,
    );
  } finally {
    broken.restore();
  }
}

const restored = {
  'etc/main-agent.yaml': 'restored',
  'var/state.db': 'restored',
  'var/users/alice.yaml': 'restored',
};

describe('what a restore puts in place', () => {
  beforeEach(() => void begin());

  it('is all there or as before, at whichever step the disk is full', async () => {
    for (let at = 1, isDone = false; !isDone; at += 1) {
      const before = begin();
      isDone = await isRestored({ at, how: 'fails', once: true, code: 'ENOSPC' });
      expect(contents(), `step ${at}`).toMatchObject(isDone ? restored : before);
      expect(Object.keys(contents()).length === Object.keys(before).length, `step ${at}`).toBe(!isDone);
    }
  });

  it('is no main, at whichever step the power goes off, before everything is there; and is begun anew', async () => {
    let cutOff = 0;
    for (let at = 1, isDone = false; !isDone; at += 1) {
      const before = begin();
      isDone = await isRestored({ at, how: 'fails' });
      const [hasConfig, hasState] = [existsSync(config), existsSync(state)];
      // Main starts by its configuration alone.
      const isWhole = hasState ? restored : before;
      expect([isCutOff(config), contents()], `step ${at}`).toMatchObject(
        hasConfig ? [false, isWhole] : [true, {}],
      );
      if (!hasConfig) cutOff += 1;
      if (hasConfig && hasState) continue;
      await restore(hasState ? [state] : []);
      expect(contents(), `step ${at}`).toMatchObject(restored);
      expect(Object.values(contents()).filter((text) => text === 'fresh')).toHaveLength(2);
      expect(Object.keys(contents()).filter((name) => name.includes('.restoring'))).toEqual([]);
      expect(isCutOff(config)).toBe(false);
    }
    expect(cutOff).toBeGreaterThan(5);
  });

  it('takes no log with it that a killed restore has left beside its state', async () => {
    writeFileSync(`${state}.restoring-wal`, 'of another');
    const moved = await restore();
    expect(moved).toHaveLength(2);
    expect(Object.keys(contents()).filter((name) => name.includes('wal'))).toEqual([]);
    // In the same second: what was moved away before stays.
    await restore([state]);
    expect(Object.values(contents()).filter((text) => text === 'fresh')).toHaveLength(2);
  });

  it('is not begun where it does not fit', async () => {
    await expect(requireRoom(new Map([[join(box, 'not', 'yet', 'x'), 1]]))).resolves.toBeUndefined();
    await expect(requireRoom(new Map([[state, 2 ** 60]]))).rejects.toMatchObject({ code: 'no-space' });
  });
});
