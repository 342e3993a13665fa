import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';

const enrolment: Enrolment = {
  id: '01JDEM00000000000000000000',
  secret: `sealed:v1:${'A'.repeat(64)}`,
  requiredOn: ['https', 'sftp'],
  confirmedAt: '2026-11-24T03:00:00.000Z',
  via: { node: 'dmz1', session: 'c2Vzc2lvbg' },
  recoveryCodes: ['A'.repeat(43), '-'.repeat(43)],
};

async function write(source: EnrolmentSource, username: string, one: Enrolment): Promise<void> {
  await source.prepare(username, one);
  await source.promote(username, one.id);
}

let base: string;
let directory: string;
beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'sallyport-enrolments-'));
  directory = path.join(base, 'enrolments');
});
afterEach(() => rm(base, { recursive: true, force: true }));

describe('an enrolment', () => {
  test('is read as it was written, from a private file in a private folder', async () => {
    const source = buildYamlEnrolments({ directory });
    expect(await source.read('alice')).toBeUndefined();
    await write(source, 'alice', enrolment);
    expect(await source.read('alice')).toEqual(enrolment);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(path.join(directory, 'alice.yaml'))).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['alice.yaml']);
  });

  test('replaces the one before, and is gone when removed, twice if need be', async () => {
    const source = buildYamlEnrolments({ directory });
    await write(source, 'alice', enrolment);
    await write(source, 'alice', { ...enrolment, requiredOn: [] });
    expect(await source.read('alice')).toMatchObject({ requiredOn: [] });
    await source.remove('alice');
    await source.remove('alice');
    expect(await source.read('alice')).toBeUndefined();
  });

  test('is what its file says now, also when somebody changed or broke it since', async () => {
    const source = buildYamlEnrolments({ directory });
    await write(source, 'alice', enrolment);
    const file = path.join(directory, 'alice.yaml');
    const text = await readFile(file, 'utf8');
    expect(await source.read('alice')).toEqual(enrolment);
    await writeFile(file, text.replace('2026-11-24', '2026-11-25'));
    expect(await source.read('alice')).toMatchObject({ confirmedAt: '2026-11-25T03:00:00.000Z' });
    await writeFile(file, text.replace('sealed:v1', 'opened:v1'));
    await expect(source.read('alice')).rejects.toMatchObject({ code: 'config' });
    await writeFile(file, text);
    expect(await source.read('alice')).toEqual(enrolment);
    await rm(file);
    expect(await source.read('alice')).toBeUndefined();
  });

  test('that is prepared leaves the one before in force until it is promoted by its id', async () => {
    const source = buildYamlEnrolments({ directory });
    await write(source, 'alice', enrolment);
    const newer = { ...enrolment, id: '01JDEM00000000000000000001' };
    await source.prepare('alice', newer);
    expect(await source.promote('alice', enrolment.id)).toBeUndefined();
    expect(await source.read('alice')).toEqual(enrolment);
    expect(await source.list()).toEqual(['alice']);
    expect(await source.promote('alice', newer.id)).toEqual(newer);
    expect(await source.read('alice')).toEqual(newer);
    expect(await source.promote('alice', newer.id)).toBeUndefined();
  });

  test('that can not be read rejects instead of looking like none', async () => {
    const source = buildYamlEnrolments({ directory });
    await write(source, 'alice', enrolment);
    const file = path.join(directory, 'alice.yaml');
    const good = await readFile(file, 'utf8');
    for (const broken of [
      '',
      good.replace('id:', 'di:'),
      good.replace('sealed:v1', 'plain'),
      good.slice(0, 60),
    ]) {
      await writeFile(file, broken);
      await expect(source.read('alice')).rejects.toMatchObject({ code: 'config' });
    }
  });

  test('that could not be read back is not written', async () => {
    const source = buildYamlEnrolments({ directory });
    await expect(source.prepare('alice', { ...enrolment, secret: 'JBSWY3DPEHPK3PXP' })).rejects.toMatchObject(
      {
        code: 'config',
      },
    );
    expect(await source.read('alice')).toBeUndefined();
  });

  test('never leaves its folder, whatever the name', async () => {
    const source = buildYamlEnrolments({ directory });
    for (const name of ['../alice', 'a/b', '', '.', 'alice\0', '_default']) {
      expect(await source.read(name)).toBeUndefined();
      await expect(source.prepare(name, enrolment)).rejects.toMatchObject({ code: 'bad-request' });
      await source.remove(name);
    }
    expect(await readdir(base)).toEqual([]);
  });
});
