import { rename } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { Departures } from '#main-agent/users/departures.ts';
import { returnGraceMs } from '#main-agent/users/limits.ts';
import type { YamlUsersOptions } from '#main-agent/users/yaml-users.ts';
import type { Clock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import type { FileId } from '#main-agent/users/user-file.ts';
import { exampleHash, makeUsersFolder } from './users-folder.ts';

/** What a real users folder does to the notes of who is gone. */

const files = {
  '_default.yaml': 'quota: 1GiB\n',
  'alice.yaml': `username: alice\npassword: ${exampleHash}\n`,
  'bob.yaml': 'username: bob\n',
  'new.yaml': 'username: new\n',
};

const alice: FileId = { kind: 'user', name: 'alice', relative: 'alice.yaml' };

async function setUp(change: Partial<YamlUsersOptions> = {}, before?: (directory: string) => Promise<void>) {
  let nowMs = 1_000_000_000;
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const folder = await makeUsersFolder(files);
  const state = buildMemoryState();
  // Each has signed in before; alice and bob have an authenticator.
  for (const user of ['alice', 'bob'])
    await state.commit([{ kind: 'set-enrolment', user, id: 'e1', expected: undefined }]);
  await before?.(folder.directory);
  const users = await folder.open(change);
  const start = async (now: Clock): Promise<Departures> => {
    const started = new Departures({
      state,
      users,
      enrolments: { list: async () => [] },
      alsoRemembered: () => ['new'],
      clock: now,
      log: buildLog('silent', {}),
    });
    await started.start();
    return started;
  };
  const departures = await start(clock);
  return {
    folder,
    users,
    state,
    departures,
    nowMs: () => nowMs,
    /** Another main over the same state, with another clock. */
    async restart(changed: Clock) {
      const another = await start(changed);
      return { departures: another, [Symbol.asyncDispose]: () => another.close() };
    },
    pass: (ms: number) => void (nowMs += ms),
    async look() {
      await users.refresh();
      await departures.settled();
    },
    names: () => departures.list().map(({ username }) => username),
    problems: () => ['alice', 'bob', 'new'].filter((name) => departures.findProblem(name) !== undefined),
    [Symbol.asyncDispose]: async () => {
      await departures.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** The folder's name taken by another one, and back. */
const aside = (directory: string): string => `${directory}.aside`;

describe('who is gone from the users folder', () => {
  test('S-16: is noted when the file vanishes, and so is who left by `users apply`', async () => {
    await using site = await setUp();
    await site.folder.remove('bob.yaml');
    await site.look();
    expect(site.names()).toEqual(['bob']);
    await site.users.changeTogether([
      { relative: 'alice.yaml', oldHash: (await site.users.read(alice))?.hash },
    ]);
    await site.departures.settled();
    expect(site.names()).toEqual(['alice', 'bob']);
    expect(await site.state.read('departures')).toHaveLength(2);
  });

  test('S-16: is nobody while the folder is not there, at a start either', async () => {
    await using site = await setUp({}, (directory) => rename(directory, aside(directory)));
    site.pass(returnGraceMs + 1);
    await site.look();
    expect(site.names()).toEqual([]);
    await rename(aside(site.folder.directory), site.folder.directory);
    await site.look();
    expect(site.users.find('alice')).toBeDefined();
    await rename(site.folder.directory, aside(site.folder.directory));
    site.pass(returnGraceMs + 1);
    await site.look();
    expect(site.users.find('alice')).toBeDefined();
    expect([site.names(), site.problems()]).toEqual([[], []]);
  });

  test('S-16: are all who were enrolled when the folder is empty; back in time they are the same, later they wait', async () => {
    await using site = await setUp({}, async (directory) => {
      for (const name of Object.keys(files)) await rename(`${directory}/${name}`, `${directory}/../${name}`);
    });
    const { base, directory } = site.folder;
    const move = async (from: string, to: string): Promise<void> => {
      for (const name of Object.keys(files)) await rename(`${from}/${name}`, `${to}/${name}`);
      await site.look();
    };
    expect(site.names()).toEqual(['alice', 'bob']);
    site.pass(returnGraceMs);
    await move(base, directory);
    expect([site.names(), site.problems()]).toEqual([[], []]);
    await move(directory, base);
    site.pass(returnGraceMs + 1);
    await move(base, directory);
    expect([site.names(), site.problems()]).toEqual([
      ['alice', 'bob'],
      ['alice', 'bob'],
    ]);
    expect(site.users.find('alice')).toBeDefined();
  });

  test('S-16: what is in the bin of a name without a factor is not the next holder’s; nothing waits for a decision', async () => {
    await using site = await setUp();
    await site.folder.remove('new.yaml');
    await site.look();
    site.pass(returnGraceMs + 1);
    await site.folder.write('new.yaml', files['new.yaml']);
    await site.look();
    expect(site.departures.formerUntilMs('new')).toBe(site.nowMs());
    expect([site.names(), site.problems()]).toEqual([[], []]);
  });

  test('S-16: until it is decided whose a name is, what was made before its user went is nobody’s', async () => {
    await using site = await setUp();
    const goneAtMs = site.nowMs();
    await site.folder.remove('bob.yaml');
    await site.look();
    expect(site.departures.formerUntilMs('bob')).toBeUndefined();
    site.pass(returnGraceMs + 1);
    await site.folder.write('bob.yaml', files['bob.yaml']);
    await site.look();
    expect(site.departures.formerUntilMs('bob')).toBe(goneAtMs);
    expect(await site.departures.keep('bob', [])).toBe(true);
    expect(site.departures.formerUntilMs('bob')).toBeUndefined();
  });

  test.each([
    ['comes back at once', returnGraceMs, []],
    ['waits', returnGraceMs + 1, ['bob']],
  ] as const)(
    'S-16: who left at a time that is yet to come, because the clock was set back, %s',
    async (_what, setBackMs, expected) => {
      await using site = await setUp();
      await site.folder.remove('bob.yaml');
      await site.look();
      const nowMs = site.nowMs() - setBackMs;
      await using restarted = await site.restart({ now: () => nowMs, monotonic: () => 0 });
      await site.folder.write('bob.yaml', files['bob.yaml']);
      await site.users.refresh();
      await restarted.departures.settled();
      expect(['bob'].filter((name) => restarted.departures.findProblem(name) !== undefined)).toEqual(
        expected,
      );
    },
  );

  test.each(['keep_last_good', 'refuse'] as const)(
    'S-16: is nobody whose file is broken, however long (broken_user_file: %s)',
    async (brokenUserFile) => {
      await using site = await setUp({ brokenUserFile });
      await site.folder.write('alice.yaml', 'username: alice\nqouta: 1GiB\n');
      await site.folder.write('_default.yaml', 'qouta: 1GiB\n');
      await site.look();
      site.pass(returnGraceMs + 1);
      for (const [name, text] of Object.entries(files)) await site.folder.write(name, text);
      await site.look();
      expect([site.names(), site.problems()]).toEqual([[], []]);
    },
  );

  test('S-16: counts as back with a broken file, which has nothing of the old person’s', async () => {
    await using site = await setUp();
    await site.folder.remove('alice.yaml');
    await site.look();
    site.pass(returnGraceMs + 1);
    await site.folder.write('alice.yaml', 'username: alice\nqouta: 1GiB\n');
    await site.look();
    expect(site.users.find('alice')).toBeUndefined();
    expect(site.departures.list()).toMatchObject([{ username: 'alice', returnedAtMs: expect.any(Number) }]);
    site.pass(1);
    await site.folder.write('alice.yaml', files['alice.yaml']);
    await site.look();
    expect(site.problems()).toEqual(['alice']);
  });

  test('S-16: a broken file that goes is noted although nobody could sign in with it', async () => {
    await using site = await setUp({ brokenUserFile: 'refuse' });
    await site.folder.write('alice.yaml', '');
    await site.look();
    await site.folder.remove('alice.yaml');
    await site.look();
    expect(site.names()).toEqual(['alice']);
  });
});
