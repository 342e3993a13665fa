import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { checkpointFileOf, appendCheckpoint } from '#main-agent/audit/checkpoint-file.ts';
import { signCheckpoint } from '#main-agent/audit/checkpoint.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import type { AuditEvent, AuditRecord } from '#main-agent/state/audit-record.ts';
import { verifyAudit } from '#main-agent/audit/verify.ts';
import type { Voided } from '#main-agent/restored/acceptance.ts';
import { openRestored } from '#main-agent/restored/restored.ts';
import { markMoved, markRestored, Restores } from '#main-agent/restored/restores.ts';
import { Starts } from '#main-agent/restored/starts.ts';
import { findOlderAudit, findOlderState } from '#main-agent/restored/witnesses.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { StoredSession } from '#main-agent/state/session-records.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { defaultTotpSettings, stepAt } from '#main-agent/two-factor/totp.ts';
import type { Enrolment } from '#main-agent/users/user-source.ts';
import { recoveryId } from '#main-agent/vault/stored-factors.ts';
import { makeUlid } from '#main-agent/vault/ulid.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { buildLog } from '#shared/log.ts';
import { randomId } from '#shared/random-id.ts';
import { buildMemoryEnrolments } from '#test/harness/memory-enrolments.ts';

const nowMs = Date.UTC(2026, 10, 29, 12);
let passedMs = 0;
const clock = { now: () => nowMs + passedMs, monotonic: () => 0 };
const log = buildLog('silent', {});
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const keepMs = 1e15;

type Act<T> = (main: {
  state: StateStore;
  starts: Starts;
  restores: Restores;
  voided: readonly Voided[];
}) => Promise<T>;

/** A main's state and audit in a folder, started and stopped as main does it, without all the rest of main. */
class Box {
  readonly folder = mkdtempSync(join(tmpdir(), 'sallyport-restored-'));
  readonly stateFile = join(this.folder, 'state.db');
  readonly auditFile = join(this.folder, 'audit.jsonl');
  readonly enrolments = new Map<string, Enrolment>();
  /** Of the commits that an acceptance makes: the next one is not made any more. */
  dieAfter = Infinity;
  #open: StateStore | undefined;

  /** `act` runs on a started main; what stands in the audit files afterwards is what it wrote. */
  async run<T>(act: Act<T>, accept?: string): Promise<T> {
    const state = await openSqliteState({ file: this.stateFile, clock, log });
    this.#open = state;
    const commit = state.commit.bind(state);
    state.commit = (changes) => {
      this.dieAfter -= 1;
      return this.dieAfter < 0 ? Promise.reject(new Error('killed')) : commit(changes);
    };
    try {
      return await this.#start(state, act, accept);
    } finally {
      await this.close();
    }
  }

  async #start<T>(state: StateStore, act: Act<T>, accept: string | undefined): Promise<T> {
    const starts = new Starts(state, randomId(), privateKey, clock);
    const restores = new Restores(state, clock);
    const voided = await openRestored({
      facts: { auditFile: this.auditFile, fingerprint: fingerprintOf(publicKey), state },
      state,
      stateFile: this.stateFile,
      accept,
      enrolments: buildMemoryEnrolments(this.enrolments),
      nodes: new Map([['dmz1', 'fp1']]),
      restores,
      starts,
      totp: defaultTotpSettings,
      clock,
      random: randomBytes,
      log,
    });
    const feed = await startAuditFeed({ state, file: this.auditFile, rotateBytes: 2000, keepMs, clock, log });
    const result = await act({ state, starts, restores, voided });
    await feed.flush();
    const head = await feed.durableHead();
    if (head.sequence > 0) await state.commit([{ kind: 'note-audit-head', head }]);
    await feed.close();
    return result;
  }

  async close(): Promise<void> {
    await this.#open?.close();
    this.#open = undefined;
  }

  /** Puts state.db aside; the result puts it back. */
  backUp(...names: readonly string[]): () => void {
    const copies = (names.length === 0 ? ['state.db'] : names).map((name) => join(this.folder, name));
    for (const file of copies) cpSync(file, `${file}.backup`);
    return () => copies.forEach((file) => cpSync(`${file}.backup`, file));
  }
}

const record = (event: string, facts: Partial<AuditRecord> = {}): AuditRecord => ({
  time: new Date(nowMs).toISOString(),
  event: event as AuditEvent,
  outcome: 'ok',
  ...facts,
});

async function append(state: StateStore, ...records: readonly AuditRecord[]): Promise<void> {
  for (const one of records) await buildAudit(state).append(one);
}

const session: StoredSession = {
  key: 'k',
  username: 'alice',
  node: 'dmz1',
  worker: 0,
  protocol: 'https',
  state: 'signed-in',
  method: 'totp',
  clientIp: '192.0.2.1',
  credential: 'c',
  openedAtMs: nowMs,
  usedAtMs: nowMs,
  expiresAtMs: nowMs + 1e6,
};

const enrolment = (id: string, codes: readonly string[]): Enrolment => ({
  id,
  secret: 's',
  requiredOn: [],
  confirmedAt: new Date(nowMs).toISOString(),
  via: { node: 'dmz1', session: 's' },
  recoveryCodes: codes,
});

let box: Box;
beforeEach(() => {
  passedMs = 0;
  box = new Box();
});
afterEach(async () => {
  await box.close();
  rmSync(box.folder, { recursive: true, force: true });
});

describe('a state older than its audit', () => {
  it('keeps main from starting, and the refusal says where, what is there and what is known', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const restore = box.backUp();
    await box.run(({ state }) => append(state, record('two'), record('three')));
    restore();
    await expect(box.run(async () => undefined)).rejects.toMatchObject({
      code: 'config',
      detail: expect.stringMatching(
        /state\.db ends at audit record 1 of 2026-11-29T.*; .*audit\.jsonl has record 3 of 2026-11-29T/,
      ),
      hint: expect.stringContaining('--accept-restored-state'),
    });
  });

  it('is noticed by a checkpoint alone, when the audit files went back with the state', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const restore = box.backUp('state.db', 'audit.jsonl');
    await box.run(({ state }) => append(state, record('two')));
    const head = { sequence: 2, hash: 'a'.repeat(64) };
    const facts = { main: 'main1', time: new Date(nowMs).toISOString() };
    const other = generateKeyPairSync('ed25519');
    restore();
    await appendCheckpoint(
      checkpointFileOf(box.auditFile),
      signCheckpoint(head, { ...facts, privateKey: other.privateKey }),
    );
    // Not main's word.
    await box.run(async () => undefined);
    await appendCheckpoint(checkpointFileOf(box.auditFile), signCheckpoint(head, { ...facts, privateKey }));
    await expect(box.run(async () => undefined)).rejects.toMatchObject({ code: 'config' });
  });

  it('is noticed when it went on without its audit, and its numbers mean other records', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const restore = box.backUp();
    await box.run(({ state }) => append(state, record('two')));
    restore();
    const state = await openSqliteState({ file: box.stateFile, clock, log });
    await append(state, record('another two'), record('another three'));
    await state.close();
    await expect(box.run(async () => undefined)).rejects.toMatchObject({
      detail: expect.stringContaining('its record 2 is another'),
    });
    // Numbers are never given twice, and what was known elsewhere is not contradicted later.
    await box.run(async () => undefined, 'a test');
    expect(await verifyAudit(box.auditFile)).toMatchObject({ ok: true, head: { sequence: 4 } });
    await box.run(async () => undefined);
  });

  it('S-03: with a reason, nothing is good that could have been spent since', async () => {
    const present = enrolment('01JDEM00000000000000000000', ['A', 'B']);
    box.enrolments.set('alice', present).set('bob', enrolment('01JDEM00000000000000000000', ['C']));
    const token = (id: string) => ({
      id,
      hash: id,
      owner: { service: id },
      role: 'admin' as const,
      note: '',
      createdBy: 'x',
      createdAtMs: nowMs,
      expiresAtMs: nowMs + 1e9,
    });
    const link = {
      id: 'alice',
      hash: 'h',
      address: 'alice@example.com',
      credential: 'none',
      createdBy: 'x',
      createdAtMs: nowMs,
      expiresAtMs: nowMs + 1e9,
    };
    await box.run(async ({ state }) => {
      for (const user of ['alice', 'bob'])
        await state.commit([
          { kind: 'set-enrolment', user, id: present.id, expected: undefined },
          { kind: 'set-bypass-code', user, code: { id: 'b', expiresAtMs: nowMs + 1e6, reEnrol: true } },
        ]);
      await state.commit([
        { kind: 'open-session', session },
        { kind: 'keep-record', list: 'token', record: token('T1') },
        { kind: 'keep-record', list: 'token', record: token('T2') },
        { kind: 'keep-record', list: 'password-link', record: link },
      ]);
      await append(state, record('begin'));
    });
    const restore = box.backUp();
    await box.run(({ state }) =>
      append(
        state,
        record('login.admitted', { user: 'alice', method: 'recovery' }),
        record('admin.call', { rule: 'DELETE /v1/tokens/{id}', detail: 'token T1' }),
        record('admin.call', { rule: 'POST /v1/nodes/{node}/revoke', detail: 'node dmz1' }),
      ),
    );
    restore();
    await box.run(async ({ state, voided }) => {
      expect(voided).toEqual([{ username: 'alice', kind: 'recovery-codes-void' }]);
      expect(await state.read('sessions')).toEqual([]);
      expect((await state.read('kept-token')).map(({ id }) => id)).toEqual(['T2']);
      expect(await state.read('kept-password-link')).toEqual([]);
      expect(await state.read('kept-revoked-node')).toMatchObject([{ id: 'dmz1', identity: 'fp1' }]);
      expect(await state.read('used-codes', { user: 'alice', ids: ['A', 'B'].map(recoveryId) })).toHaveLength(
        2,
      );
      expect(await state.read('used-codes', { user: 'bob', ids: [recoveryId('C')] })).toEqual([]);
      for (const user of ['alice', 'bob'])
        expect(await state.read('two-factor-state', { user })).toMatchObject({
          bypassCode: undefined,
          // The code of the next step is accepted a step early.
          lastStep: stepAt(nowMs, defaultTotpSettings) + 1,
        });
    }, 'the disk died');
    // The files go on as if nothing had been cut, and say it.
    expect(await verifyAudit(box.auditFile)).toMatchObject({
      ok: true,
      first: 1,
      restores: [{ what: 'state', detail: expect.stringContaining('ends at audit record 1') }],
    });
  });

  it('S-03: without an audit that tells, all tokens and recovery codes are void', async () => {
    box.enrolments.set('bob', enrolment('01JDEM00000000000000000000', ['C']));
    await box.run(async ({ state }) => {
      await state.commit([
        { kind: 'set-enrolment', user: 'bob', id: '01JDEM00000000000000000000', expected: undefined },
      ]);
      await append(state, record('one'));
    });
    await box.run(({ restores }) => restores.suspect('dmz1 knows audit record 9', { sequence: 9, start: 5 }));
    await expect(box.run(async () => undefined)).rejects.toMatchObject({
      detail: 'dmz1 knows audit record 9',
    });
    await box.run(async ({ state, voided }) => {
      expect(voided).toEqual([{ username: 'bob', kind: 'recovery-codes-void' }]);
      expect(await state.read('used-codes', { user: 'bob', ids: [recoveryId('C')] })).toHaveLength(1);
    }, 'a test');
    expect(await verifyAudit(box.auditFile)).toMatchObject({ ok: true, head: { sequence: 10 } });
  });

  it('S-03: put in place from a backup, where nobody knows what came after it, all of it is void at the next start', async () => {
    const id = '01JDEM00000000000000000000';
    box.enrolments.set('bob', enrolment(id, ['C']));
    await box.run(async ({ state }) => {
      await state.commit([
        { kind: 'set-enrolment', user: 'bob', id, expected: undefined },
        { kind: 'open-session', session },
      ]);
      await append(state, record('one'));
    });
    const mark = async (reason: string): Promise<void> => {
      const state = await openSqliteState({ file: box.stateFile, clock, log });
      try {
        await markRestored(state, clock, {
          why: { actor: 'eva', reason },
          detail: 'from a backup',
          known: 1e6,
        });
      } finally {
        await state.close();
      }
    };
    await expect(mark(' ')).rejects.toMatchObject({ code: 'config' });
    await mark('the disk died');
    await box.run(async ({ state, restores, voided }) => {
      expect(voided).toEqual([{ username: 'bob', kind: 'recovery-codes-void' }]);
      expect(await state.read('sessions')).toEqual([]);
      expect(restores.problems()).toEqual([expect.stringContaining('from a backup')]);
      await restores.acknowledge({ actor: 'eva', reason: 'it was me' });
    });
    // It is used up: nothing is void twice, and nothing waits.
    await box.run(async ({ state, restores, voided }) => {
      expect(voided).toEqual([]);
      expect(restores.suspected()).toBeUndefined();
      expect(restores.problems()).toEqual([]);
      await append(state, record('after'));
    });
    // The same words another time are no flag that was left somewhere.
    await mark('the disk died');
    await box.run(async ({ restores }) => expect(restores.problems()).toHaveLength(1));
    expect(await verifyAudit(box.auditFile)).toMatchObject({
      ok: true,
      restores: [{ what: 'state', detail: expect.stringContaining('from a backup') }, { what: 'state' }],
    });
    const told = readFileSync(box.auditFile, 'utf8')
      .split('\n')
      .filter((line) => line.includes('"state.restored"'));
    for (const line of told) expect(JSON.parse(line)).toMatchObject({ actor: 'eva', rule: 'the disk died' });
  });

  it('S-03: put in place beside the audit that main wrote last, what that tells is void and nothing else', async () => {
    const id = '01JDEM00000000000000000000';
    for (const user of ['bob', 'carol']) box.enrolments.set(user, enrolment(id, ['A', 'B']));
    await box.run(async ({ state }) => {
      for (const user of ['bob', 'carol'])
        await state.commit([{ kind: 'set-enrolment', user, id, expected: undefined }]);
      await append(state, record('one'));
    });
    const restore = box.backUp();
    await box.run(({ state }) =>
      append(state, record('login.admitted', { user: 'bob', method: 'recovery' })),
    );
    restore();
    const state = await openSqliteState({ file: box.stateFile, clock, log });
    await markRestored(state, clock, {
      why: { actor: 'eva', reason: 'the disk died' },
      detail: 'from a backup',
      known: 2,
    });
    await state.close();
    await box.run(async ({ restores, voided }) => {
      expect(voided).toEqual([{ username: 'bob', kind: 'recovery-codes-void' }]);
      expect(restores.problems()).toEqual([expect.stringContaining('from a backup')]);
    });
    expect(await verifyAudit(box.auditFile)).toMatchObject({ ok: true, head: { sequence: 3 } });
  });

  it('S-03: what was moved to another box starts there, and here only as what was put back', async () => {
    const id = '01JDEM00000000000000000000';
    box.enrolments.set('bob', enrolment(id, ['C']));
    await box.run(async ({ state }) => {
      await state.commit([{ kind: 'set-enrolment', user: 'bob', id, expected: undefined }]);
      await append(state, record('one'));
    });
    const change = async (act: (state: StateStore) => Promise<void>): Promise<void> => {
      const state = await openSqliteState({ file: box.stateFile, clock, log });
      await act(state);
      await state.close();
    };
    await change(async (state) => (await markMoved(state, clock, 'moved by eva'))());
    await box.run(async ({ restores }) => expect(restores.list()).toEqual([]));
    await change(async (state) => void (await markMoved(state, clock, 'moved by eva')));
    await expect(box.run(async () => undefined)).rejects.toMatchObject({
      message: expect.stringMatching(/^This main was moved to another box \(moved by eva\)/),
    });
    const here = box.backUp();
    await change((state) =>
      markRestored(state, clock, {
        why: { actor: 'eva', reason: 'a new box' },
        detail: 'from a backup',
        known: 1,
      }),
    );
    const started: Act<void> = async ({ restores, voided }) => {
      expect(voided).toEqual([{ username: 'bob', kind: 'recovery-codes-void' }]);
      expect(restores.suspected()).toBeUndefined();
    };
    await box.run(started);
    for (const name of ['state.db', 'audit.jsonl']) rmSync(join(box.folder, name));
    here();
    await box.run(started, 'it never ran there');
  });

  it('S-03: what a node said before the backup was made is settled with it', async () => {
    await box.run(({ restores }) => restores.suspect('dmz1 knows audit record 9', { sequence: 9, start: 5 }));
    const state = await openSqliteState({ file: box.stateFile, clock, log });
    await markRestored(state, clock, {
      why: { actor: 'eva', reason: 'a test' },
      detail: 'from a backup',
      known: 1e6,
    });
    await state.close();
    const start = (): Promise<void> =>
      box.run(async ({ restores }) => expect(restores.suspected()).toBeUndefined());
    await start();
    await start();
  });

  it('S-03: a factor that was reset or replaced since is not the one that counts; a newer file is', async () => {
    const old = '01JDEM00000000000000000000';
    const newer = '01JDEM00000000000000000009';
    for (const user of ['reset', 'replaced']) box.enrolments.set(user, enrolment(old, ['A']));
    await box.run(async ({ state }) => {
      for (const user of ['reset', 'replaced', 'renewed'])
        await state.commit([{ kind: 'set-enrolment', user, id: old, expected: undefined }]);
      await append(state, record('begin'));
    });
    const restore = box.backUp();
    await box.run(({ state }) =>
      append(
        state,
        record('two-factor.reset', { user: 'reset' }),
        record('two-factor.enrolled', { user: 'replaced' }),
        record('two-factor.enrolled', { user: 'renewed' }),
      ),
    );
    restore();
    box.enrolments.set('renewed', enrolment(newer, ['N']));
    await box.run(async ({ state, voided }) => {
      expect(voided.map(({ username, kind }) => `${username} ${kind}`).toSorted()).toEqual([
        'replaced two-factor-void',
        'reset two-factor-void',
      ]);
      expect(await state.read('two-factor-state', { user: 'reset' })).toMatchObject({ enrolment: undefined });
      const { enrolment: replaced } = await state.read('two-factor-state', { user: 'replaced' });
      expect(replaced).not.toBe(old);
      expect(await state.read('two-factor-state', { user: 'renewed' })).toMatchObject({
        enrolment: newer,
        lastStep: stepAt(nowMs, defaultTotpSettings) + 1,
      });
      expect(await state.read('used-codes', { user: 'renewed', ids: [recoveryId('N')] })).toEqual([]);
    }, 'a test');
  });

  it('a reason is good for one restore', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const goBack = async (): Promise<void> => {
      const restore = box.backUp();
      await box.run(({ state }) => append(state, record('more')));
      restore();
    };
    await goBack();
    await box.run(async () => undefined, 'first');
    await goBack();
    await expect(box.run(async () => undefined, 'first')).rejects.toThrow('was given for another restore');
    await box.run(async () => undefined, 'second');
    await expect(box.run(async () => undefined, ' ')).rejects.toThrow('takes a reason');
  });

  it('is told until a person acknowledges it, and by verify for ever', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const restore = box.backUp();
    await box.run(({ state }) => append(state, record('two')));
    restore();
    await box.run(async () => undefined, 'a test');
    await box.run(async ({ restores }) => {
      expect(restores.problems()).toEqual([expect.stringContaining('state.db was put back')]);
      await restores.acknowledge({ actor: 'alice', reason: 'known' });
      expect(restores.problems()).toEqual([]);
      await expect(restores.acknowledge({ actor: 'alice', reason: 'known' })).rejects.toMatchObject({
        code: 'conflict',
      });
    });
    await box.run(async ({ restores }) => expect(restores.problems()).toEqual([]));
    expect(await verifyAudit(box.auditFile)).toMatchObject({ ok: true, restores: [{ what: 'state' }] });
  });
});

describe('an audit older than its state', () => {
  it('is written again from the state, and told until a person acknowledges it', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const restore = box.backUp('audit.jsonl');
    await box.run(({ state }) => append(state, record('two')));
    restore();
    await box.run(async ({ restores }) =>
      expect(restores.problems()).toEqual([expect.stringContaining('the audit was put back')]),
    );
    expect(await verifyAudit(box.auditFile)).toMatchObject({
      ok: true,
      restores: [
        { what: 'audit', detail: expect.stringContaining('ended at record 1, state.db has noted 2') },
      ],
    });
    rmSync(box.auditFile);
    await box.run(async ({ restores }) => expect(restores.problems()).toHaveLength(2));
  });
});

describe('a crash', () => {
  it('never looks like something put back, wherever it cuts the audit file', async () => {
    await box.run(({ state }) => append(state, record('noted')));
    const durable = statSync(box.auditFile).size;
    // As after kill -9: more is in the state and in the file than was ever noted.
    await box.run(({ state }) => append(state, ...Array.from({ length: 4 }, () => record('more'))));
    const whole = readFileSync(box.auditFile);
    const state = await openSqliteState({ file: box.stateFile, clock, log });
    const head = { sequence: 1, hash: '0'.repeat(64) };
    await state.commit([{ kind: 'note-audit-head', head }]);
    await append(state, record('not in the file'));
    const facts = { auditFile: box.auditFile, fingerprint: fingerprintOf(publicKey) };
    for (let bytes = durable; bytes <= whole.length; bytes += 1) {
      writeFileSync(box.auditFile, whole.subarray(0, bytes));
      // A lost page of a power cut.
      if (bytes % 3 === 0) appendFileSync(box.auditFile, Buffer.alloc(9));
      expect(await findOlderState({ ...facts, state }), `${bytes} bytes`).toBeUndefined();
      expect(await findOlderAudit({ ...facts, state }), `${bytes} bytes`).toBeUndefined();
    }
    await state.close();
    await box.run(async ({ restores }) => expect(restores.list()).toEqual([]));
    expect(await verifyAudit(box.auditFile)).toMatchObject({ ok: true, records: 6, restores: [] });
  });

  it('S-03: amid an acceptance leaves one that is done again, to the same end', async () => {
    const old = makeUlid(nowMs, randomBytes);
    box.enrolments.set('alice', enrolment(old, ['A'])).set('carol', enrolment(old, ['C']));
    await box.run(async ({ state }) => {
      for (const user of ['alice', 'carol'])
        await state.commit([{ kind: 'set-enrolment', user, id: old, expected: undefined }]);
      await state.commit([{ kind: 'open-session', session }]);
      await append(state, record('begin'));
    });
    const restore = box.backUp();
    passedMs = 1000;
    await box.run(({ state }) =>
      append(
        state,
        record('login.admitted', { user: 'alice', method: 'recovery' }),
        record('two-factor.enrolled', { user: 'carol' }),
      ),
    );
    const newer = makeUlid(nowMs + passedMs, randomBytes, old);
    box.enrolments.set('carol', enrolment(newer, ['N']));
    const before = box.backUp('audit.jsonl');
    for (let commits = 0, isDone = false; !isDone; commits += 1) {
      expect(commits).toBeLessThan(20);
      restore();
      before();
      box.dieAfter = commits;
      await box.run(async () => undefined, 'first').catch(() => undefined);
      box.dieAfter = Infinity;
      const outcome = await box
        .run(async ({ restores }) => (restores.suspected() === undefined ? 'accepted' : 'unnoticed'))
        .catch(String);
      expect(outcome, `${commits} commits`).toMatch(/^accepted$|older than what is known/);
      isDone = outcome === 'accepted';
      if (!isDone) await box.run(async () => undefined, 'first');
      await box.run(async ({ state, restores }) => {
        expect(await state.read('sessions')).toEqual([]);
        expect(await state.read('used-codes', { user: 'alice', ids: [recoveryId('A')] })).toHaveLength(1);
        expect(await state.read('two-factor-state', { user: 'carol' })).toMatchObject({ enrolment: newer });
        expect(restores.list()).toHaveLength(1);
      });
      expect(await verifyAudit(box.auditFile)).toMatchObject({ ok: true, restores: [{ what: 'state' }] });
    }
  });

  it('never makes what main signed for a node contradict it', async () => {
    const told: Parameters<Starts['judge']>[0][] = [];
    for (let round = 0; round < 12; round += 1) {
      await box.run(async ({ state, starts }) => {
        for (const head of told) expect(starts.judge(head)).toEqual({ kind: 'fits' });
        for (let count = 0; count < round % 4; count += 1) {
          await append(state, record('one'));
          const { last } = await state.read('audit-extent');
          told.push(starts.sign({ sequence: last, hash: 'a'.repeat(64) }));
        }
      });
    }
    expect(told.length).toBeGreaterThan(12);
  });
});

describe('what a node was told', () => {
  const hash = 'a'.repeat(64);

  it('contradicts a state of before, also when that state has gone on meanwhile', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const restore = box.backUp('state.db', 'audit.jsonl');
    const told = await box.run(async ({ state, starts }) => {
      await append(state, record('two'));
      return starts.sign({ sequence: 2, hash });
    });
    restore();
    await box.run(async ({ state, starts }) => {
      expect(starts.judge(told).kind).toBe('contradicts');
      await append(state, record('other two'), record('other three'));
      expect(starts.judge(told).kind).toBe('contradicts');
    });
    // Accepted, it is settled: the node need not forget it.
    await box.run(({ restores }) => restores.suspect('dmz1 knows', told));
    await box.run(async ({ starts }) => expect(starts.judge(told)).toEqual({ kind: 'fits' }), 'a test');
    await box.run(async ({ starts }) => expect(starts.judge(told)).toEqual({ kind: 'fits' }));
  });

  it('by a restore that was accepted does not contradict the next one that is', async () => {
    await box.run(({ state }) => append(state, record('one')));
    const restore = box.backUp();
    await box.run(({ state }) => append(state, record('two')));
    const told: Parameters<Starts['judge']>[0][] = [];
    for (const reason of ['first', 'second', 'third']) {
      restore();
      passedMs += 1000;
      await box.run(async ({ starts }) => {
        for (const head of told) expect(starts.judge(head)).toEqual({ kind: 'fits' });
        told.push(starts.sign({ sequence: 3, hash }));
      }, reason);
    }
    expect(await verifyAudit(box.auditFile)).toMatchObject({ ok: true, restores: [{}, {}, {}] });
    // The reasons stand in the audit, which is not older.
    restore();
    await expect(box.run(async () => undefined, 'second')).rejects.toThrow('given for another restore');
  });

  it('of the same start contradicts a state from the middle of it', async () => {
    const { told, restore } = await box.run(async ({ state, starts }) => {
      await append(state, record('one'));
      const copy = await openBackup(box);
      await append(state, record('two'));
      return { told: starts.sign({ sequence: 2, hash }), restore: copy };
    });
    restore();
    rmSync(box.auditFile);
    await box.run(async ({ starts }) => expect(starts.judge(told).kind).toBe('contradicts'));
  });

  it('counts only as main signed it: a node can make up no start, number, hash or process', async () => {
    await box.run(async ({ starts }) => {
      const told = starts.sign({ sequence: 2, hash });
      for (const forged of [
        { ...told, sequence: 1e9 },
        { ...told, start: told.start + 1 },
        { ...told, boot: randomId() },
        { ...told, hash: 'b'.repeat(64) },
        { ...told, signature: 'A'.repeat(86) },
      ])
        expect(starts.judge(forged)).toEqual({ kind: 'forged' });
    });
  });
});

/** A copy of the state as it is amid a start; the result puts it back. */
async function openBackup({ stateFile }: Box): Promise<() => void> {
  for (const end of ['', '-wal']) cpSync(stateFile + end, `${stateFile}${end}.amid`);
  return () => {
    for (const end of ['', '-wal']) cpSync(`${stateFile}${end}.amid`, stateFile + end);
  };
}
