import * as fs from 'node:fs/promises';
import { expect, test, vi } from 'vitest';
import type { DueEntry } from '#main-agent/files/retention.ts';
import { matchesName } from '#main-agent/files/retention-rules.ts';
import { retentionBatchFiles, sweepIntervalMs } from '#main-agent/files/limits.ts';
import type { Mount, MountRetention } from '#main-agent/users/effective-user.ts';
import { onEachStorage } from './on-each-storage.ts';
import {
  allVerbs,
  mountOf,
  newFile,
  reading,
  type RigOptions,
  SettableClock,
  startRig,
  type StorageRig,
  userOf,
} from './rig.ts';

const dayMs = 24 * 3_600_000;
const hourMs = 3_600_000;
const month: MountRetention = { afterMs: 30 * dayMs, only: undefined, except: [], emptyFolders: false };
const byHand = { actor: 'socket:eva', reason: 'asked for', unlisted: false };

function keeper(name = 'alice', retention: MountRetention | undefined = month, root = [name]) {
  return userOf(name, [mountOf([], root, allVerbs, { retention })]);
}

async function startAhead<R extends StorageRig>(start: (options?: RigOptions) => Promise<R>) {
  const clock = new SettableClock();
  const rig = await start({ clock });
  return { clock, rig };
}

/** Days pass, one run each, as the sweep has it; of many the last ones. */
async function live(rig: StorageRig, clock: SettableClock, days: number): Promise<void> {
  const runs = Math.min(days, 4);
  clock.aheadMs += (days - runs) * (dayMs + sweepIntervalMs);
  for (let run = 0; run < runs; run += 1) {
    clock.aheadMs += dayMs + sweepIntervalMs;
    await rig.service.retention.runIfDue();
  }
}

function names(entries: readonly DueEntry[]): string[] {
  return entries.map(({ path }) => path.join('/')).sort();
}

async function previewed(rig: StorageRig): Promise<string[]> {
  const { atMs, entries } = await rig.service.retention.plan('next');
  return names(entries.filter(({ deletedAtMs }) => deletedAtMs === atMs));
}

function deletions(rig: StorageRig) {
  return rig.records.filter(({ event, rule }) => event === 'file.delete' && rule === 'retention');
}

onEachStorage(
  'a rule deletes what it says, for good, and its preview said so before; both are in the audit, and so is the quota',
  async (start) => {
    const { clock, rig } = await startAhead(start);
    const client = rig.client({ ...keeper(), quotaBytes: 1000 }, 'https');
    await client.ask('fs.make-folder', { path: ['in'] });
    await client.put(['in', 'old.txt'], 'x'.repeat(100));
    expect(await rig.service.usedBytes('alice')).toBe(100);
    await live(rig, clock, 28);
    expect(await previewed(rig)).toEqual([]);
    await live(rig, clock, 1);
    await client.put(['in', 'new.txt'], 'new');
    expect(rig.event('retention.ran')).toBeUndefined();
    // The other one was changed at the same time of the disk's own clock, and no list named it.
    expect(await previewed(rig)).toEqual(['alice/in/old.txt']);
    await live(rig, clock, 1);
    expect(await client.names(['in'])).toEqual(['new.txt']);
    expect(await rig.medium.readdir('.sallyport-staging')).not.toContain('bin');
    expect(deletions(rig)).toMatchObject([
      { user: 'alice', actor: 'system', outcome: 'ok', path: '/in/old.txt', bytes: 100 },
    ]);
    expect(deletions(rig)[0]?.detail).toContain('alice/in/old.txt');
    expect(rig.event('retention.ran')).toMatchObject({ actor: 'system', outcome: 'ok' });
    expect(rig.event('retention.ran')?.detail).toContain('1 deleted, 100 bytes');
    await expect.poll(() => rig.service.usedBytes('alice')).toBe(3);
  },
);

test('a clock that leaps two months ahead deletes nothing at once, is an alarm, and nothing came of it when it was set right', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(keeper());
  await client.put(['a'], 'a');
  await live(rig, clock, 1);
  clock.aheadMs += 60 * dayMs;
  await rig.service.retention.runIfDue();
  await rig.service.retention.runIfDue();
  expect(await client.names()).toEqual(['a']);
  expect(rig.service.retention.problems()).toEqual([
    expect.stringMatching(/1 files fall due .* clock that leapt/),
  ]);
  expect(rig.event('retention.ran')?.detail).toContain('retention preview');
  clock.aheadMs -= 60 * dayMs;
  await rig.service.retention.runIfDue();
  await live(rig, clock, 2);
  expect(await client.names()).toEqual(['a']);
  expect(rig.service.retention.problems()).toEqual([]);
});

test('old files under a new rule or in a folder that was moved there are named for a day before they go', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(userOf('alice', [mountOf([], ['alice'])]));
  await client.ask('fs.make-folder', { path: ['d'] });
  await client.put(['d', 'f'], 'x');
  clock.aheadMs += 90 * dayMs;
  await live(rig, clock, 3);
  client.user = keeper();
  rig.users.set('alice', client.user);
  await live(rig, clock, 1);
  expect(await previewed(rig)).toEqual(['alice/d/f']);
  // An hour later it was not on the list for long enough, whoever asks, except in so many words.
  clock.aheadMs += hourMs;
  expect(await rig.service.retention.run(byHand)).toMatchObject({ deleted: 0 });
  expect(names((await rig.service.retention.plan({ now: true, unlisted: false })).entries)).toEqual([]);
  expect(names((await rig.service.retention.plan({ now: true, unlisted: true })).entries)).toEqual([
    'alice/d/f',
  ]);
  await rig.restart();
  await live(rig, clock, 1);
  expect(await client.names(['d'])).toEqual([]);
});

test('a run by hand deletes what its dry run named, and says who wanted it and why', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(keeper());
  await client.put(['f'], 'x');
  clock.aheadMs += 31 * dayMs;
  const { entries } = await rig.service.retention.plan({ now: true, unlisted: true });
  expect(names(entries)).toEqual(['alice/f']);
  expect(await rig.service.retention.run({ ...byHand, unlisted: true })).toMatchObject({
    deleted: 1,
    bytes: 1,
    isOver: true,
  });
  expect(rig.event('retention.ran')).toMatchObject({ actor: 'socket:eva' });
  expect(rig.event('retention.ran')?.detail).toContain('asked for');
});

test('a file of today with a time of 2010 is new, and one with a time of 2099 is no older than it is', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(keeper());
  await client.put(['past'], 'x');
  await client.put(['future'], 'x');
  await client.ask('fs.change', {
    path: ['past'],
    change: { mtimeMs: Date.UTC(2010, 0), atimeMs: 0 },
    followLinks: false,
  });
  await client.ask('fs.change', {
    path: ['future'],
    change: { mtimeMs: Date.UTC(2099, 0), atimeMs: 0 },
    followLinks: false,
  });
  await live(rig, clock, 29);
  expect(await client.names()).toEqual(['future', 'past']);
  await live(rig, clock, 2);
  expect(await client.names()).toEqual([]);
});

onEachStorage(
  'what is open, being written or has a broken upload waiting is left, and goes once it is not',
  async (start) => {
    const { clock, rig } = await startAhead(start);
    const client = rig.client(keeper());
    const all = ['read', 'written', 'replaced', 'awaited', 'idle'];
    for (const name of all) await client.put([name], 'x');
    await live(rig, clock, 29);
    const read = await client.open(['read'], reading);
    const written = await client.open(['written'], { ...newFile, truncate: false });
    const replaced = await client.open(['replaced'], newFile);
    await client.write(replaced, 'half');
    const broken = await client.open(['awaited'], newFile);
    await client.write(broken, 'half');
    await client.ask('fs.release', { handle: broken, keepPartial: true });
    await live(rig, clock, 2);
    expect(await client.names()).toEqual(['awaited', 'read', 'replaced', 'written']);
    expect(rig.event('retention.ran')?.detail).toContain('4 left');
    await client.ask('fs.release', { handle: read, keepPartial: false });
    await client.ask('fs.release', { handle: written, keepPartial: false });
    await client.ask('fs.release', { handle: replaced, keepPartial: false });
    await live(rig, clock, 1);
    expect(await client.names()).not.toContain('read');
  },
);

test('only names its patterns are about, and of several rules for one file the longest, and never is never', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(
    userOf('alice', [
      mountOf([], ['alice'], allVerbs, { retention: { ...month, only: ['*.log', 'a?'], except: ['keep*'] } }),
      mountOf(['long'], ['alice', 'long'], allVerbs, { retention: { ...month, afterMs: 90 * dayMs } }),
      mountOf(['ever'], ['alice', 'ever'], allVerbs, { retention: { ...month, afterMs: undefined } }),
    ]),
  );
  const names30 = ['x.log', 'a1', 'keep.log', 'x.txt', 'abc'];
  for (const name of names30) await client.put([name], 'x');
  await client.put(['long', 'x.log'], 'x');
  await client.put(['ever', 'x.log'], 'x');
  await live(rig, clock, 32);
  expect(await client.names()).toEqual(['abc', 'ever', 'keep.log', 'long', 'x.txt']);
  expect(await client.names(['long'])).toEqual(['x.log']);
  await live(rig, clock, 60);
  expect(await client.names(['long'])).toEqual([]);
  expect(await client.names(['ever'])).toEqual(['x.log']);
});

test('in a shared folder the longest of its users’ times holds, and nobody’s home is made by looking for it', async () => {
  const { clock, rig } = await startAhead(startRig);
  const alice = rig.client(keeper('alice', { ...month, afterMs: 5 * dayMs }, ['team']));
  rig.client(keeper('bob', month, ['team']));
  rig.client(keeper('carol'));
  await alice.put(['f'], 'x');
  await live(rig, clock, 29);
  expect(await alice.names()).toEqual(['f']);
  await live(rig, clock, 2);
  expect(await alice.names()).toEqual([]);
  expect(deletions(rig)[0]?.user).toBeUndefined();
  expect(await fs.readdir(rig.base)).not.toContain('carol');
});

test('links are not followed, names that no client could use stay and are counted, folders stay unless asked', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(keeper('alice', { ...month, emptyFolders: true }));
  await client.ask('fs.make-folder', { path: ['empty'] });
  await client.ask('fs.make-folder', { path: ['odd'] });
  await client.put(['f'], 'x');
  await fs.symlink(rig.path('..', 'outside'), rig.path('alice', 'link'));
  await fs.writeFile(Buffer.concat([Buffer.from(`${rig.path('alice', 'odd')}/`), Buffer.from([0xff])]), 'x');
  await live(rig, clock, 32);
  expect(await client.names()).toEqual(['odd']);
  expect(await fs.readdir(rig.path('..', 'outside'))).toEqual(['secret']);
  expect(await fs.readdir(rig.path('alice', 'odd'))).toHaveLength(1);
  expect(rig.event('retention.ran')?.detail).toContain('2 left that no listing shows');
});

test('nothing is deleted while a user file is broken, since the rule that keeps a file may stand in it', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(keeper());
  await client.put(['f'], 'x');
  await live(rig, clock, 29);
  rig.usersProblem = 'a user file is broken';
  await live(rig, clock, 1);
  expect(await client.names()).toEqual(['f']);
  expect(rig.service.retention.problems()).toEqual(['Retention deletes nothing: a user file is broken']);
  await expect(rig.service.retention.run(byHand)).rejects.toMatchObject({ code: 'conflict' });
  rig.usersProblem = undefined;
  await live(rig, clock, 1);
  expect(await client.names()).toEqual([]);
});

test('what changed after a run looked around holds: rules, and that a user file can not be read', async () => {
  const { clock, rig } = await startAhead(startRig);
  const inside = (retention: Partial<MountRetention>, more: readonly Mount[] = []) =>
    userOf('alice', [
      mountOf([], ['alice'], allVerbs, { retention: { ...month, emptyFolders: true, ...retention } }),
      ...more,
    ]);
  const before = inside({});
  const client = rig.client(before);
  for (const name of ['empty', 'd']) await client.ask('fs.make-folder', { path: [name] });
  for (const path of [['a.txt'], ['b.log'], ['d', 'c.log']]) await client.put(path, 'x');
  await live(rig, clock, 29);
  const runAs = async (change: () => void) => {
    // The walk has the old ones, all after it the new ones.
    vi.spyOn(rig.users, 'values').mockImplementationOnce(() => {
      change();
      return [before].values();
    });
    await live(rig, clock, 1);
    rig.users.set('alice', before);
    rig.usersProblem = undefined;
    return [...(await client.names()), ...(await client.names(['d']))];
  };
  const all = ['a.txt', 'b.log', 'd', 'empty', 'c.log'];
  for (const user of [userOf('alice', []), inside({ afterMs: 90 * dayMs }), inside({ afterMs: undefined })])
    expect(await runAs(() => rig.users.set('alice', user))).toEqual(all);
  await runAs(() => (rig.usersProblem = 'a user file is broken'));
  expect(await client.names()).toHaveLength(4);
  expect(rig.service.retention.problems()).toEqual(['Retention deletes nothing: a user file is broken']);
  const shown = [
    mountOf(['d'], ['alice', 'd'], allVerbs, { retention: { ...month, afterMs: undefined } }),
    mountOf(['e'], ['alice', 'empty'], allVerbs, { retention: month }),
  ];
  const left = await runAs(() => rig.users.set('alice', inside({ except: ['*.txt'] }, shown)));
  expect(left).toEqual(['a.txt', 'd', 'empty', 'c.log']);
  await live(rig, clock, 1);
  expect(await client.names(), 'what stayed goes when the rule is back').toEqual(['d']);
});

test('what was deleted when main was killed has its record, once, and what was not is looked at anew', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(keeper());
  await client.put(['gone'], 'x');
  await client.put(['there'], 'x');
  await live(rig, clock, 29);
  const going = (name: string) => ({
    key: name.padEnd(22, '-'),
    storage: 'local',
    path: ['alice', name],
    virtualPath: [name],
    user: 'alice',
    bytes: 1,
    detail: `a file, alice/${name}`,
  });
  await fs.writeFile(`${rig.retentionFile}.going`, JSON.stringify([going('gone'), going('there')]));
  await fs.rm(rig.path('alice', 'gone'));
  await rig.restart();
  await live(rig, clock, 1);
  expect(deletions(rig).map(({ path }) => path)).toEqual(['/gone', '/there']);
  await expect(fs.readFile(`${rig.retentionFile}.going`)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('where the audit takes no record no more is deleted, and what is gone has its record later', async () => {
  const { clock, rig } = await startAhead(startRig);
  const client = rig.client(keeper());
  for (let index = 0; index < retentionBatchFiles + 1; index += 1)
    await fs.writeFile(rig.path('alice', `f${index}`), '').catch(() => client.put([`f${index}`], ''));
  await live(rig, clock, 29);
  rig.losesRecords = true;
  await live(rig, clock, 1);
  expect(await client.names()).toHaveLength(1);
  expect(rig.service.retention.problems()).toEqual([expect.stringContaining('the audit did not take')]);
  rig.losesRecords = false;
  await rig.service.retention.runIfDue();
  expect(await client.names()).toEqual([]);
  expect(deletions(rig)).toHaveLength(retentionBatchFiles + 1);
  expect(rig.service.retention.problems()).toEqual([]);
});

test('what a user deletes is in the bin no longer than the rule lets the file stay', async () => {
  const { clock, rig } = await startAhead(startRig);
  const retention = { ...month, afterMs: 3 * dayMs };
  const bin = { keepMs: 7 * dayMs, isCounted: true, sftp: false };
  const client = rig.client(userOf('alice', [mountOf([], ['alice'], allVerbs, { bin, retention })]), 'https');
  await client.put(['f'], 'x');
  clock.aheadMs += 2 * dayMs;
  await client.ask('fs.remove-file', { path: ['f'] });
  const { entries } = await client.ask('fs.list-bin', { limit: 10 });
  const [entry] = entries;
  const keptMs = (entry?.expiresAtMs ?? 0) - (entry?.deletedAtMs ?? 0);
  expect(keptMs / dayMs).toBeCloseTo(1, 1);
});

test('a pattern takes * and ?, in names of any script, and no time', () => {
  const rows: [string, string, boolean][] = [
    ['*', 'x', true],
    ['*.pdf', 'a.pdf', true],
    ['*.pdf', 'a.pdf.txt', false],
    ['a?c', 'a\u{1f600}c', true],
    ['a*b*c', 'axxbyyc', true],
    ['a*b*c', 'axxbyy', false],
    ['über*', 'u\u0308ber1', true],
    [`${'*a'.repeat(100)}b`, 'a'.repeat(255), false],
  ];
  for (const [pattern, name, expected] of rows)
    expect([pattern, matchesName(pattern, name)]).toEqual([pattern, expected]);
});
