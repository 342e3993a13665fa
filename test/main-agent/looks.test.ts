import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { Passwords } from '#main-agent/passwords/password.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { KeyLock } from '#main-agent/turns.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import * as check from '#shared/config/check.ts';
import type { Protocol } from '#shared/login.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import { startRig } from './files/rig.ts';
import { buildRig, buildUser, withFactor, type Rig } from './login/rig.ts';

// So that parses can be counted: exports of a module can't be watched otherwise.
vi.mock('#shared/config/check.ts', { spy: true });

interface Looks {
  readonly queries: readonly string[];
  readonly commits: number;
  readonly parses: number;
}

async function countLooks(state: StateStore, work: () => Promise<unknown>): Promise<Looks> {
  const read = vi.spyOn(state, 'read');
  const commit = vi.spyOn(state, 'commit');
  const parsedBefore = vi.mocked(check.checkYaml).mock.calls.length;
  await work();
  const looks = {
    queries: read.mock.calls.map(([query]) => query),
    commits: commit.mock.calls.length,
    parses: vi.mocked(check.checkYaml).mock.calls.length - parsedBefore,
  };
  read.mockRestore();
  commit.mockRestore();
  return looks;
}

async function startLogin(change: Parameters<typeof withFactor>[0] = {}): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-looks-'));
  const rig = await buildRig({ enrolmentSource: buildYamlEnrolments({ directory }) });
  onTestFinished(() => {
    rig.close();
    rmSync(directory, { recursive: true });
  });
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'], ...change })));
  await rig.enrol('alice');
  // Another text than the one that was written and parsed here: the next login finds it as after a start of main.
  appendFileSync(join(directory, 'alice.yaml'), '# seen by nobody yet\n');
  return rig;
}

/** With the reason: each of these is a round trip to the writer thread, and to another machine with a database there. */
const stepReason =
  'a step of a login looks once: at the place and its locks, then at the factor; when the code came, at the factor ' +
  'again, because what was true before a wait need not be true after it, and in the turn of its user’s answers, because ' +
  'another answer may have spent the code. More is the same question asked twice';

for (const protocol of ['sftp', 'https'] as Protocol[]) {
  it(`a login over ${protocol} with password and code asks the state five times and parses the enrolment once`, async () => {
    const rig = await startLogin();
    const login = await countLooks(rig.state, async () => {
      const view = await rig.begin('alice', { protocol });
      expect(await rig.answer(view, { protocol, code: rig.code('alice') })).toMatchObject({
        outcome: 'admitted',
      });
    });
    expect(login.queries, stepReason).toEqual([
      'last-good-login',
      'locks',
      'two-factor-state',
      'two-factor-state',
      'two-factor-state',
    ]);
    expect(login.commits, 'one transaction holds what is spent, the session and its record').toBe(1);
    expect(login.parses, 'a file whose text is the one read last is not parsed again').toBe(1);
  });
}

it('a login whose user is told of a coming requirement asks once more', async () => {
  const rig = await startLogin({ requiredFrom: { date: '2099-01-01' } });
  const login = await countLooks(rig.state, async () => {
    await rig.answer(await rig.begin('alice'), {});
  });
  expect(login.queries.length, stepReason).toBeLessThanOrEqual(6);
});

it('a page’s next request asks the state nothing, its account once', async () => {
  const rig = await startLogin();
  const admitted = await rig.answer(await rig.begin('alice'), { code: rig.code('alice') });
  if (admitted.outcome !== 'admitted') throw new Error(admitted.reason);
  const { session: id } = admitted.view;
  const session = rig.login.sessions.require(id, { node: 'dmz1', worker: 0 });
  const { sessionHandlers } = rig.login;
  const client = { ip: '203.0.113.9', port: 1, agent: '' };
  const attached = await countLooks(rig.state, () =>
    sessionHandlers['session.attach']({ session: id, client }, session, rig.node.link),
  );
  expect(attached, 'sessions are in memory: a page asks for many things').toEqual({
    queries: [],
    commits: 0,
    parses: 0,
  });
  const viewed = await countLooks(rig.state, () =>
    sessionHandlers['account.view']({ session: id }, session, rig.node.link),
  );
  expect(viewed.queries, 'all about the factor is one look').toEqual(['two-factor-state']);
  expect(viewed.parses).toBe(0);
});

it('a download and a small upload ask the state nothing and write one record each', async () => {
  const state = buildMemoryState();
  const alice = (await startRig({ audit: buildAudit(state) })).client();
  const reason = 'who may do what is in memory: the one commit is the audit’s';
  const once = { queries: [], commits: 1, parses: 0 };
  expect(await countLooks(state, () => alice.put(['small.txt'], 'a few bytes')), reason).toEqual(once);
  expect(await countLooks(state, () => alice.get(['small.txt'])), reason).toEqual(once);
});

it('S-01: a factor that is set up while the password is compared is asked for', async () => {
  const rig = await startLogin();
  rig.users.set('bob', buildUser('bob', withFactor({ requiredOn: ['https'], forceSetup: true })));
  vi.spyOn(Passwords.prototype, 'compare').mockImplementationOnce(async () => {
    await rig.enrol('bob');
    return true;
  });
  const view = await rig.begin('bob');
  expect(view, 'looked at before the hash, there is none and the password alone sets one up').toMatchObject({
    next: 'code',
  });
  expect(await rig.answer(view, { code: rig.code('bob') })).toMatchObject({ outcome: 'admitted' });
});

it('S-13: a lock that an earlier answer brings about holds for the one that waited behind it', async () => {
  const rig = await startLogin();
  const [last, waiting, ...others] = await Promise.all([1, 2, 3, 4, 5].map(() => rig.begin('alice')));
  if (last === undefined || waiting === undefined) throw new Error('no view');
  for (const view of others)
    for (const code of ['000001', '000002', '000003'])
      await rig.answer(view, { code }).catch(() => undefined);
  const { state } = rig;
  const commit = state.commit.bind(state);
  const waits = Promise.withResolvers<void>();
  const held = new Set<KeyLock>();
  const turns = vi.spyOn(KeyLock.prototype, 'run').mockImplementation(async function (
    this: KeyLock,
    key,
    act,
  ) {
    if (key !== 'alice') return this.hold([key], act);
    if (held.has(this)) waits.resolve();
    held.add(this);
    return this.hold([key], act).finally(() => held.delete(this));
  });
  onTestFinished(() => turns.mockRestore());
  let waited: Promise<unknown> | undefined;
  // In the turn of the first, which has counted nothing yet, the second comes as far as to wait for its own.
  vi.spyOn(state, 'commit').mockImplementationOnce(async (changes) => {
    waited = rig.answer(waiting, { code: rig.code('alice') }).catch((error: unknown) => error);
    await waits.promise;
    return commit(changes);
  });
  expect(await rig.answer(last, { code: '000004' })).toMatchObject({ outcome: 'again' });
  expect(await waited, 'looked at before its turn the factor was not locked').toMatchObject({
    code: 'rate-limited',
  });
});
