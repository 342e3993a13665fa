import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildFileService } from '#main-agent/files/service.ts';
import { openStorages } from '#main-agent/files/storages.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { defaultTotpSettings } from '#main-agent/two-factor/totp.ts';
import { Departures } from '#main-agent/users/departures.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { UserRenames, type RenameSurroundings } from '#main-agent/users/user-renames.ts';
import { buildVault } from '#main-agent/vault/local-vault.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { playVault } from '#test/harness/played-vault.ts';
import { exampleHash, exampleHashName, makeUsersFolder } from './users-folder.ts';

/** Users who get another name, over a real state, real folders and a real vault; killed between any two steps. */

const log = buildLog('silent', {});
const why = { actor: 'admin', reason: 'married' };
const day = 86_400_000;

async function buildWorld() {
  let ms = Date.UTC(2026, 10, 24);
  const clock = { now: () => (ms += 1), monotonic: () => ms };
  const folder = await makeUsersFolder({
    '_default.yaml': [
      'files:',
      '  - { path: /, root: "{username}", allow: [list, read, write, delete] }',
      '  - { path: /in, root: "drop/{username}/in", uploads: direct, allow: [write] }',
      '  - { path: /out, root: "drop/{username}/out", allow: [read] }',
      '  - { path: /all, root: everybody, allow: [read] }',
      '',
    ].join('\n'),
  });
  const base = path.join(folder.base, 'files');
  await mkdir(base);
  const state = await openSqliteState({ file: path.join(folder.base, 'state.db'), clock, log });
  const enrolments = buildYamlEnrolments({ directory: path.join(folder.base, 'enrolments') });
  const users = await folder.open();
  const writes = new FileWrites(users, clock);
  let departures: Departures;
  const uploads = { keepPartialMs: day, keepFinishingMs: 0, keepReplaced: false };
  const storages = await openStorages(
    { local: { type: 'local', base } },
    { ...uploads, formerUntilMs: (name) => departures.formerUntilMs(name), clock, log },
  );
  const files = buildFileService({
    storages,
    uploads,
    audit: { append: async () => undefined },
    retention: {
      users: () => users.list(),
      usersProblem: () => undefined,
      file: path.join(folder.base, 'retention.list'),
    },
    findUser: (name) => users.find(name),
    clock,
    log,
  });
  const storage = storages.get('local');
  const vault = buildVault({
    ask: playVault().ask,
    enrolments,
    departures: { findProblem: () => undefined },
    state,
    totp: defaultTotpSettings,
    guard: { check: () => undefined },
    clock,
    log,
    random: randomBytes,
  });
  const around: RenameSurroundings = {
    prepareFactor: (name, to) => vault.prepareRename(name, to),
    endLogins: async () => undefined,
    forgetTokens: () => undefined,
    bannedNames: () => ['banned'],
  };
  const parts = { users, writes, enrolments, state, files, clock, log };
  /** As main does when it starts. */
  const start = async (): Promise<UserRenames> => {
    departures = new Departures({ ...parts, alsoRemembered: () => files.bins.owners() });
    const renames = new UserRenames({ ...parts, departures });
    await renames.start();
    await departures.start();
    return renames;
  };
  const renames = await start();

  return {
    folder,
    base,
    state,
    users,
    vault,
    files,
    around,
    renames,
    departures: () => departures,
    rename: (name: string, to: string) => renames.with(around).rename(name, to, why),
    /** With a password, a second factor, files and something in the bin. Resolves with two recovery codes. */
    async addUser(name: string): Promise<readonly Secret[]> {
      await folder.write(`${name}.yaml`, `# ${name}'s\nusername: ${name}\npassword: ${exampleHash}\n`);
      await users.refresh();
      for (const place of [name, `drop/${name}/in`, `drop/${name}/out`]) {
        await mkdir(path.join(base, place), { recursive: true });
        await writeFile(path.join(base, place, 'kept.txt'), place);
      }
      await writeFile(path.join(base, name, 'deleted.txt'), name);
      await storage?.removeFile(
        { root: [name], path: ['deleted.txt'] },
        {
          by: { session: `s ${name}`, operation: 1 },
          bin: { user: name, virtualPath: ['deleted.txt'], keepMs: day, isCounted: true },
        },
      );
      const enrolled = await vault.enrol({
        username: name,
        secret: new Secret(randomBytes(20)),
        step: 0,
        requiredOn: ['sftp'],
        recoveryCodes: 2,
        via: { node: 'dmz1', session: 's' },
        replace: false,
        alongside: () => [],
      });
      if (!enrolled.ok) throw new Error(enrolled.reason);
      const [spent] = enrolled.recoveryCodes;
      if (spent !== undefined) {
        const verdict = await (await vault.load(name)).verify(spent, ['recovery']);
        if (verdict.kind === 'right') await state.commit(verdict.evidence);
      }
      return enrolled.recoveryCodes;
    },
    /** Another process, after this one was killed at its n-th step, before or after that was done. */
    async killedAt(step: number, when: 'before' | 'after', name: string, to: string) {
      await departures.close();
      let steps = 0;
      const dying = <T extends object>(real: T, methods: readonly (keyof T)[]): T =>
        new Proxy(real, {
          get(target, key) {
            const value: unknown = Reflect.get(target, key);
            if (typeof value !== 'function') return value;
            if (!methods.includes(key as keyof T)) return value.bind(target) as unknown;
            return async (...given: unknown[]): Promise<unknown> => {
              steps += 1;
              if (steps > step || (steps === step && when === 'before')) throw new Error('killed');
              const result: unknown = await Reflect.apply(value, target, given);
              if (steps >= step) throw new Error('killed');
              return result;
            };
          },
        });
      const killed = new UserRenames({
        ...parts,
        users: dying(users, ['changeTogether']),
        enrolments: dying(enrolments, ['promote', 'remove']),
        state: dying(state, ['commit']),
        files: dying(files, ['moveFolder', 'giveBin']),
        departures,
      });
      const isDone = await killed
        .with(around)
        .rename(name, to, why)
        .then(
          () => true,
          () => false,
        );
      await start();
      return isDone;
    },
    holds: async (name: string) => {
      const user = users.find(name);
      const is = async (place: string) =>
        access(path.join(base, place, 'kept.txt')).then(
          () => true,
          () => false,
        );
      const { state: factor, recoveryCodesLeft } = await vault.status(name);
      return {
        password: user?.passwordHash?.expose(),
        factor,
        recoveryCodesLeft,
        files: await Promise.all([is(name), is(`drop/${name}/in`), is(`drop/${name}/out`)]),
        bin: files.bins.list(name).filter(({ isFormer }) => !isFormer).length,
      };
    },
    async [Symbol.asyncDispose]() {
      await files.close();
      await departures.close();
      await state.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const everything = {
  password: exampleHashName,
  factor: 'enrolled',
  recoveryCodesLeft: 1,
  files: [true, true, true],
  bin: 1,
};
const nothing = {
  password: undefined,
  factor: 'none',
  recoveryCodesLeft: 0,
  files: [false, false, false],
  bin: 0,
};

describe('another name for a user', () => {
  let world: Awaited<ReturnType<typeof buildWorld>>;
  beforeAll(async () => {
    world = await buildWorld();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test('takes along file, folders, bin, authenticator and the codes that are left; one record tells it', async () => {
    const [spent, left] = await world.addUser('alice');
    if (spent === undefined || left === undefined) throw new Error('no codes');
    const { moves } = await world.rename('alice', 'alina');
    expect(moves.map(({ to }) => to.join('/'))).toEqual(['alina', 'drop/alina']);
    expect(await world.holds('alina')).toEqual(everything);
    expect(await world.holds('alice')).toEqual(nothing);
    expect(await readFile(path.join(world.folder.directory, 'alina.yaml'), 'utf8')).toMatch(
      /^# alice's\nusername: alina\n/,
    );
    const factor = await world.vault.load('alina');
    expect((await factor.verify(spent, ['recovery'])).kind).toBe('used');
    expect((await factor.verify(left, ['recovery'])).kind).toBe('right');
    const { id = '' } = world.files.bins.list('alina')[0] ?? {};
    await world.files.bins.restore('alina', id, { ...why, keepBoth: false });
    expect(await readdir(path.join(world.base, 'alina'))).toEqual(['deleted.txt', 'kept.txt']);
    const records = await world.state.read('audit-after', { sequence: 0, limit: 100 });
    const told = records.map(({ record }) => record).filter(({ event }) => event === 'user.renamed');
    expect(told).toMatchObject([
      { user: 'alice', actor: 'admin', detail: 'alice is alina from now on: married' },
    ]);
  });

  test('S-16: whoever is given the old name inherits nothing, and a factor of before is no factor', async () => {
    const [, code] = await world.addUser('bob');
    const file = path.join(world.folder.base, 'enrolments', 'bob.yaml');
    const before = await readFile(file, 'utf8');
    await world.rename('bob', 'robert');
    expect(world.departures().formerUntilMs('bob')).toBeGreaterThan(0);
    await writeFile(file, before);
    await world.folder.write('bob.yaml', 'username: bob\n');
    await world.users.refresh();
    await world.departures().settled();
    expect(world.departures().isNoted('bob')).toBe(false);
    expect(await world.holds('bob')).toEqual(nothing);
    expect((await (await world.vault.load('bob')).verify(code ?? new Secret(''), ['recovery'])).kind).toBe(
      'wrong',
    );
    expect(await world.holds('robert')).toEqual(everything);
  });

  test('renamed twice, or with new codes since, codes count; a file made to name another’s codes opens nothing', async () => {
    const [, code] = await world.addUser('carol');
    await world.rename('carol', 'carola');
    await world.rename('carola', 'caroline');
    expect(
      (await (await world.vault.load('caroline')).verify(code ?? new Secret(''), ['recovery'])).kind,
    ).toBe('right');
    const file = path.join(world.folder.base, 'enrolments', 'caroline.yaml');
    const text = await readFile(file, 'utf8');
    expect(text).toContain('codes_for: carol\n');
    await writeFile(file, text.replace('codes_for: carol\n', 'codes_for: alice\n'));
    const forged = await world.vault.load('caroline');
    expect(forged.status.state).toBe('broken');
    expect((await forged.verify(code ?? new Secret(''), ['recovery'])).kind).toBe('wrong');
    await writeFile(file, text);
    const renewed = await world.vault.renewRecoveryCodes({
      username: 'caroline',
      recoveryCodes: 1,
      evidence: [],
      alongside: () => [],
    });
    if (!renewed.ok) throw new Error(renewed.failed);
    const [fresh = new Secret('')] = renewed.recoveryCodes;
    const now = await world.vault.load('caroline');
    expect((await now.verify(fresh, ['recovery'])).kind).toBe('right');
    expect((await now.verify(code ?? new Secret(''), ['recovery'])).kind).toBe('wrong');
  });

  test.each([
    ['one that is there', 'erin', 'exists'],
    ['one that differs in case from another’s', 'ERIN', 'exists'],
    ['one that differs in case from the old one', 'Dave', 'exists'],
    ['no name', '../x', 'config'],
    ['a name whose folder somebody left', 'lost', 'exists'],
    ['a folder of others', 'everybody', 'exists'],
    ['a name whose factor somebody left', 'gone', 'exists'],
    ['a name that was another person’s', 'alice', 'exists'],
    ['a banned one', 'banned', 'conflict'],
  ])('is refused for %s, and changes nothing', async (_what, to, code) => {
    if (world.users.find('dave') === undefined) {
      await world.addUser('dave');
      await world.addUser('erin');
      await mkdir(path.join(world.base, 'lost'));
      await writeFile(path.join(world.folder.base, 'enrolments', 'gone.yaml'), '');
    }
    await expect(world.rename('dave', to)).rejects.toMatchObject({ code });
    expect(await world.holds('dave')).toEqual(everything);
    expect(await world.state.read('kept-user-rename')).toEqual([]);
    expect(world.renames.findHold('dave')).toBeUndefined();
  });

  test('what failed in the middle keeps the old name shut, and the same command goes on', async () => {
    await world.addUser('frank');
    const endLogins = async (): Promise<void> => {
      await mkdir(path.join(world.base, 'franz'));
    };
    const failing = world.renames.with({ ...world.around, endLogins });
    await expect(failing.rename('frank', 'franz', why)).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('sallyport users rename frank franz'),
    });
    expect(world.renames.findHold('frank')).toBe('frank is being renamed to franz');
    await expect(world.rename('frank', 'other')).rejects.toMatchObject({ code: 'conflict' });
    await rmdir(path.join(world.base, 'franz'));
    await world.rename('frank', 'franz');
    expect(await world.holds('franz')).toEqual(everything);
    expect(world.renames.findHold('frank')).toBeUndefined();
  });

  test('a factor that changed meanwhile is not taken for another one, and is taken along when it goes on', async () => {
    await world.addUser('hanna');
    let prepared = 0;
    const prepareFactor = async (name: string, to: string): Promise<string | undefined> => {
      prepared += 1;
      const id = await world.vault.prepareRename(name, to);
      return prepared === 1 ? '01J00000000000000000000000' : id;
    };
    const renames = world.renames.with({ ...world.around, prepareFactor });
    await expect(renames.rename('hanna', 'hannah', why)).rejects.toMatchObject({ code: 'conflict' });
    expect(world.renames.findHold('hanna')).toBeDefined();
    await renames.rename('hanna', 'hannah', why);
    expect(await world.holds('hannah')).toEqual(everything);
    expect(await world.holds('hanna')).toEqual(nothing);
  });

  test('killed between any two steps it is the old one or the new one after the next start', async () => {
    const stepsMax = 12;
    const ends = new Set<string>();
    for (const when of ['before', 'after'] as const) {
      for (let step = 1; step <= stepsMax; step += 1) {
        const [name, to] = [`x${when}${step}`, `y${when}${step}`];
        await world.addUser(name);
        const isDone = await world.killedAt(step, when, name, to);
        const [has, hasNot] = world.users.find(to) === undefined ? [name, to] : [to, name];
        expect(await world.holds(has), `${when} ${step}`).toEqual(everything);
        expect(await world.holds(hasNot), `${when} ${step}`).toEqual(nothing);
        expect(await world.state.read('kept-user-rename')).toEqual([]);
        expect(world.departures().isNoted(name)).toBe(false);
        ends.add(has === name ? 'old' : 'new');
        if (isDone) break;
        expect(step, 'it ends before').toBeLessThan(stepsMax);
      }
    }
    expect([...ends].sort()).toEqual(['new', 'old']);
  });
});
