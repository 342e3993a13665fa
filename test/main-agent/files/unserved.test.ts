/** What other programs put on a storage and no client is served: it is counted, told, and named to admins. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { describe, expect, test, vi } from 'vitest';
import { surveyAskedEntriesMax } from '#main-agent/files/limits.ts';
import { FolderHandle } from '#main-agent/files/storage/local/folder-handle.ts';
import { runningChecks, type RunningFacts } from '#main-agent/doctor/running-checks.ts';
import { examine } from '#shared/health/check.ts';
import { codesOf, mountOf, type Rig, SettableClock, startRig, userOf } from './rig.ts';

const bidi = '\u202e';

/** One of each kind, in a folder of alice's that holds nothing else. */
async function putUnserved(rig: Rig, ...folder: readonly string[]): Promise<number> {
  const at = (name: string): string => rig.path('alice', ...folder, name);
  await fs.mkdir(rig.path('alice', ...folder), { recursive: true });
  for (const name of ['aux.txt', 'report.', 'blank ', 'a\nb', `gnp${bidi}.exe`, '.sallyport-staging'])
    await fs.writeFile(at(name), 'x');
  await fs.writeFile(Buffer.concat([Buffer.from(at('latin')), Buffer.from([0xe9])]), 'x');
  await fs.symlink('nowhere', at('link'));
  execFileSync('mkfifo', [at('pipe')]);
  await fs.mkdir(at('con'));
  await fs.writeFile(rig.path('alice', ...folder, 'con', 'below'), 'x');
  return 10;
}

describe('a folder with entries that are not served', () => {
  test('tells how many, and the first names, with the first page of its listing', async () => {
    const rig = await startRig();
    const count = await putUnserved(rig, 'd');
    await fs.writeFile(rig.path('alice', 'd', 'good'), 'x');
    await fs.writeFile(rig.path('alice', 'd', 'good2'), 'x');
    const client = rig.client();
    for (const sort of ['name', 'size', '-mtime'] as const) {
      const page = await client.ask('fs.list', { path: ['d'], sort, limit: 1 });
      expect(page.entries).toHaveLength(1);
      expect(page.unserved?.count).toBe(count);
      const names = ['aux.txt', 'a\\u000ab', 'gnp\\u202e.exe', 'blank\\u0020', 'pipe', 'link', 'con'];
      expect(page.unserved?.names).toEqual(expect.arrayContaining(names));
      const second = await client.ask('fs.list', { path: ['d'], sort, limit: 1, cursor: page.next });
      expect(second.unserved).toBeUndefined();
    }
    expect((await client.ask('fs.list', { path: [], sort: 'name', limit: 9 })).unserved).toBeUndefined();
  });

  test('is not removed as if it were empty: how many there are is said', async () => {
    const rig = await startRig();
    await putUnserved(rig, 'd');
    const client = rig.client();
    const removing = client.ask('fs.remove-folder', { path: ['d'], recursive: false });
    await expect(removing).rejects.toMatchObject({
      code: 'not-empty',
      publicMessage: 'The folder is not empty: it holds 10 entries that this server does not show',
      data: { unserved: 10 },
    });
    await fs.mkdir(rig.path('alice', 'new'));
    const onto = client.ask('fs.rename', { from: ['new'], to: ['d'], overwrite: true });
    await expect(onto).rejects.toMatchObject({ code: 'not-empty', data: { unserved: 10 } });
    // With something else in it, its user sees why.
    await fs.writeFile(rig.path('alice', 'd', 'good'), 'x');
    const plain = client.ask('fs.remove-folder', { path: ['d'], recursive: false });
    await expect(plain).rejects.toMatchObject({
      code: 'not-empty',
      publicMessage: 'The folder is not empty',
    });
    await fs.rm(rig.path('alice', 'd'), { recursive: true });
    await fs.mkdir(rig.path('alice', 'd'));
    await client.ask('fs.remove-folder', { path: ['d'], recursive: false });
  });

  test('is deleted with them where that is asked for, and the audit says how many they were', async () => {
    const rig = await startRig();
    await putUnserved(rig, 'd', 'e');
    const client = rig.client();
    await client.put(['d', 'seen'], 'x');
    await client.ask('fs.remove-folder', { path: ['d'], recursive: true });
    expect(rig.event('file.delete')?.['detail']).toBe(
      'a folder with all that was in it, also 10 that no listing shows',
    );
    await fs.mkdir(rig.path('alice', 'f'));
    await client.ask('fs.remove-folder', { path: ['f'], recursive: true });
    expect(rig.event('file.delete')?.['detail']).toBe('a folder with all that was in it');
  });

  test('is asked about with all below it, within a bound', async () => {
    const rig = await startRig();
    const count = await putUnserved(rig, 'd', 'e');
    await fs.writeFile(rig.path('alice', 'outside-of-it.'), '');
    const client = rig.client();
    const asked = await client.ask('fs.survey', { path: ['d'] });
    expect(asked).toMatchObject({ looked: count + 1, isComplete: true, unserved: { count } });
    expect(asked.unserved.names).toEqual(expect.arrayContaining(['e/aux.txt', 'e/.sallyport-staging']));
    expect(await client.ask('fs.survey', { path: ['d', 'e'] })).toMatchObject({ unserved: { count } });
    expect(await client.ask('fs.survey', { path: [] })).toMatchObject({ unserved: { count: count + 1 } });
    const refused = ['nowhere', 'outside-of-it.'].map((name) => client.ask('fs.survey', { path: [name] }));
    expect(codesOf(await Promise.allSettled(refused))).toEqual(['not-found', 'bad-path']);
  });

  test('is not told of where another mount lies, in which the user may list nothing', async () => {
    const rig = await startRig();
    const count = await putUnserved(rig, 'd');
    await putUnserved(rig, 'd', 'box');
    const box = mountOf(['d', 'box'], ['alice', 'd', 'box'], ['write']);
    const client = rig.client(userOf('alice', [mountOf([], ['alice']), box]));
    const { looked, unserved } = await client.ask('fs.survey', { path: ['d'] });
    expect({ looked, count: unserved.count }).toEqual({ looked: count + 1, count });
    expect(await client.ask('fs.survey', { path: [] })).toMatchObject({ unserved: { count } });
  });

  test('S-09: no more than the bound is looked at for a user who asks', async () => {
    const rig = await startRig();
    await fs.mkdir(rig.path('alice', 'many'), { recursive: true });
    for (let index = 0; index <= surveyAskedEntriesMax; index += 1)
      writeFileSync(rig.path('alice', 'many', String(index)), '');
    const asked = await rig.client().ask('fs.survey', { path: ['many'] });
    expect(asked).toEqual({
      looked: surveyAskedEntriesMax,
      isComplete: false,
      unserved: { count: 0, names: [] },
    });
  });

  test('S-08: staging of ours is none of them, at the base or where a mount begins', async () => {
    const rig = await startRig();
    const whole = userOf('eva', [mountOf([], [])]);
    const client = rig.client(whole);
    await client.put(['f'], 'x');
    expect((await client.ask('fs.list', { path: [], sort: 'name', limit: 9 })).unserved).toBeUndefined();
    expect((await rig.service.surveys.refresh())[0]).toMatchObject({ unserved: 0, isComplete: true });
  });
});

describe('a survey of a storage', () => {
  test('counts what is not served and names some of it, a few of each user', async () => {
    const rig = await startRig();
    const count = await putUnserved(rig, 'deep', 'er');
    await fs.mkdir(rig.path('bob'));
    await fs.writeFile(rig.path('bob', 'nul'), 'x');
    expect(rig.service.surveys.report()).toEqual([
      { storage: 'local', looked: 0, isComplete: false, unserved: 0, places: [], endedAtMs: undefined },
    ]);
    const [survey] = await rig.service.surveys.refresh();
    expect(survey).toMatchObject({ storage: 'local', isComplete: true, unserved: count + 1 });
    expect(survey?.endedAtMs).toBeDefined();
    // alice, bob, deep, er and what is in it; not what is in `con`.
    expect(survey?.looked).toBe(4 + count + 1);
    expect(survey?.places.filter(({ path }) => path.startsWith('alice/deep/er/'))).toHaveLength(5);
    expect(survey?.places).toContainEqual({ path: 'bob/nul', kind: 'name' });
    expect(rig.service.surveys.report()[0]).toEqual(survey);
  });

  test('shows bytes that are no UTF-8 as what they are', async () => {
    const rig = await startRig();
    await fs.mkdir(rig.path('x'));
    await fs.writeFile(Buffer.concat([Buffer.from(rig.path('x', 'caf')), Buffer.from([0xe9])]), '');
    const [survey] = await rig.service.surveys.refresh();
    expect(survey?.places).toEqual([{ path: 'x/caf\\xe9', kind: 'name' }]);
  });

  test('is not complete where a folder could not be looked into', async () => {
    const rig = await startRig();
    await fs.mkdir(rig.path('closed'));
    const client = rig.client(userOf('eva', [mountOf([], [])]));
    const noEntry = Object.assign(new Error('EACCES'), { code: 'EACCES' });
    const spy = vi.spyOn(FolderHandle.prototype, 'openFolder').mockRejectedValueOnce(noEntry);
    try {
      const [survey] = await rig.service.surveys.refresh();
      const places = [{ path: 'closed', kind: 'unlooked' }];
      expect(survey).toMatchObject({ looked: 1, isComplete: false, unserved: 0, places });
      spy.mockRejectedValueOnce(noEntry);
      expect(await client.ask('fs.survey', { path: [] })).toMatchObject({ looked: 1, isComplete: false });
      expect(await client.ask('fs.survey', { path: [] })).toMatchObject({ looked: 1, isComplete: true });
    } finally {
      spy.mockRestore();
    }
  });

  test('is begun again when it is old, and two who ask share one', async () => {
    const clock = new SettableClock();
    const rig = await startRig({ clock });
    const { surveys } = rig.service;
    surveys.keepFresh();
    const [first] = await surveys.refresh();
    expect(first).toMatchObject({ looked: 0, isComplete: true });
    await fs.mkdir(rig.path('carol'));
    surveys.keepFresh();
    expect(surveys.report()[0]).toEqual(first);
    clock.aheadMs += 25 * 3_600_000;
    surveys.keepFresh();
    await expect.poll(() => surveys.report()[0]?.looked).toBe(1);
  });

  test('a main that closes does not wait for it', async () => {
    const rig = await startRig();
    await fs.mkdir(rig.path('many'));
    for (let index = 0; index < 3_000; index += 1) await fs.writeFile(rig.path('many', `f${index}`), '');
    rig.service.surveys.keepFresh();
    await rig.close();
    await rig.start();
    expect((await rig.service.surveys.refresh())[0]).toMatchObject({ looked: 3_001, isComplete: true });
  });

  test('is what doctor tells: where they are, or how much was looked at', async () => {
    const rig = await startRig();
    const facts = {
      config: { storages: { local: { type: 'local', base: rig.base } } },
      surveys: () => rig.service.surveys.refresh(),
    } as unknown as RunningFacts;
    const checks = runningChecks.filter(({ id }) => id === 'storages');
    const told = async () => {
      const { findings } = await examine(checks, facts);
      expect(findings.filter(({ state, hint = '' }) => state !== 'good' && hint === '')).toEqual([]);
      return findings.map(({ state, detail }) => `${state}: ${detail}`);
    };
    expect(await told()).toEqual(['good: local: every name is served (all 0 names)']);
    await fs.mkdir(rig.path('alice'));
    await fs.symlink('x', rig.path('alice', 'link'));
    await fs.writeFile(rig.path('alice', 'aux'), '');
    expect((await told()).toSorted()).toEqual([
      'warning: local: 2 entries are not served (all 3 names)',
      `warning: local: not served: ${rig.base}/alice/aux (a name that clients could not use)`,
      `warning: local: not served: ${rig.base}/alice/link (a link)`,
    ]);
  });
});
