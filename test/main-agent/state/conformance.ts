import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeScope } from '#main-agent/state/factor-records.ts';
import type { StoredAccountChange } from '#main-agent/state/name-records.ts';
import type { StoredDevice, StoredLease, StoredSession } from '#main-agent/state/session-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';

/**
 * What every StateStore must do. A second implementation runs these against itself:
 * `describeStateStore('postgres', (now) => …)`.
 */
export function describeStateStore(
  name: string,
  open: (clock: { now(): number; monotonic(): number }) => Promise<StateStore>,
): void {
  describe(`${name} as a state store`, () => {
    let store: StateStore;
    let nowMs: number;

    beforeEach(async () => {
      nowMs = 1_000_000;
      store = await open({ now: () => nowMs, monotonic: () => nowMs });
    });
    afterEach(() => store.close());

    const accepted = async (...changes: Change[]): Promise<boolean> => (await store.commit(changes)).ok;

    it('S-03: uses a time step once, and never one before the last', async () => {
      const use = (step: number, enrolment = 'e1', user = 'alice'): Promise<boolean> =>
        accepted({ kind: 'use-time-step', user, enrolment, step });
      expect(await use(100)).toBe(true);
      expect(await use(100)).toBe(false);
      expect(await use(99)).toBe(false);
      expect(await use(101)).toBe(true);
      expect(await use(100, 'e2')).toBe(true);
      expect(await use(100, 'e1', 'bob')).toBe(true);
    });

    it('S-16: a renamed user keeps authenticator, spent codes and logins; the old name keeps nothing', async () => {
      const user = 'alice';
      await accepted(
        { kind: 'set-enrolment', user, id: 'e1', expected: undefined },
        { kind: 'use-time-step', user, enrolment: 'e1', step: 7 },
        { kind: 'use-code', user, id: 'c1' },
        { kind: 'note-login', user, clientIp: '192.0.2.1', atMs: nowMs },
        { kind: 'set-bypass-code', user, code: { id: 'b', expiresAtMs: nowMs + 9, reEnrol: false } },
      );
      const rename = (enrolment: string | undefined): Promise<boolean> =>
        accepted({ kind: 'rename-user', user, to: 'alina', enrolment });
      expect(await rename('e0')).toBe(false);
      expect(await rename(undefined)).toBe(false);
      expect(await rename('e1')).toBe(true);
      expect(await store.read('two-factor-state', { user: 'alina', codes: ['c1'] })).toMatchObject({
        enrolment: 'e1',
        newestEnrolment: 'e1',
        lastStep: 7,
        usedCodes: ['c1'],
        firstLoginAtMs: nowMs,
        bypassCode: undefined,
      });
      expect(
        await store.read('last-good-login', { user: 'alina', clientIp: '192.0.2.1', nowMs: nowMs + 1 }),
      ).toBe(nowMs);
      expect(await store.read('two-factor-state', { user, codes: ['c1'] })).toMatchObject({
        enrolment: undefined,
        // A file of before that is put back is not taken for a factor nobody has heard of.
        newestEnrolment: 'e1',
        lastStep: undefined,
        usedCodes: [],
        firstLoginAtMs: undefined,
        bypassCode: undefined,
      });
      await accepted({ kind: 'set-enrolment', user: 'bob', id: 'e2', expected: undefined });
      expect(await accepted({ kind: 'rename-user', user: 'bob', to: 'alina', enrolment: 'e2' })).toBe(false);
    });

    it('S-03: of fifty parallel uses of one step exactly one succeeds', async () => {
      const results = await Promise.all(
        Array.from({ length: 50 }, () =>
          accepted({ kind: 'use-time-step', user: 'alice', enrolment: 'e1', step: 7 }),
        ),
      );
      expect(results.filter(Boolean)).toHaveLength(1);
    });

    it('S-03: a key forgotten with its signatures can never be used again; one that came back in time can', async () => {
      const use = (sshSession: string, fingerprint: string): Promise<boolean> =>
        accepted({ kind: 'use-ssh-signature', user: 'alice', sshSession, fingerprint });
      const forget = (stored: readonly string[], atMs: number): Promise<boolean> =>
        accepted({ kind: 'forget-removed-keys', stored, nowMs: atMs, removedBeforeMs: atMs - 100 });
      await use('s1', 'kept');
      await use('s1', 'back');
      await use('s1', 'gone');
      await forget(['kept'], 1_000);
      await forget(['kept', 'back'], 1_100);
      expect(await use('s1', 'gone')).toBe(false);
      expect(await use('s2', 'gone')).toBe(true);
      await forget(['kept', 'back'], 1_101);
      expect(await use('s1', 'gone')).toBe(false);
      expect(await use('s3', 'gone')).toBe(false);
      await forget(['kept', 'back', 'gone'], 1_102);
      expect(await use('s3', 'gone')).toBe(false);
      for (const key of ['kept', 'back']) {
        expect(await use('s1', key)).toBe(false);
        expect(await use('s2', key)).toBe(true);
      }
    });

    it('takes the events of a node’s process once each, and an audit reader’s place and the audit head as noted', async () => {
      const note = (boot: string, sequence: number): Promise<boolean> =>
        accepted({ kind: 'note-edge-event', node: 'dmz1', worker: 0, count: { boot, sequence } });
      expect(await store.read('edge-position', { node: 'dmz1', worker: 0 })).toBeUndefined();
      expect([await note('b1', 5), await note('b1', 5), await note('b1', 4)]).toEqual([true, false, false]);
      expect(await note('b2', 1)).toBe(true);
      expect(await store.read('edge-position', { node: 'dmz1', worker: 0 })).toEqual({
        boot: 'b2',
        sequence: 1,
      });
      expect(await store.read('audit-reader-position', { reader: 'w' })).toBeUndefined();
      await accepted({ kind: 'note-audit-reader', reader: 'w', sequence: 3 });
      await accepted({ kind: 'note-audit-reader', reader: 'w', sequence: 8 });
      expect(await store.read('audit-reader-position', { reader: 'w' })).toBe(8);
      const head = { sequence: 2, hash: 'h' };
      await accepted({ kind: 'note-audit-head', head });
      expect(await store.read('audit-extent')).toEqual({ first: 0, last: 0, head });
    });

    it('tells once what is told of, and keeps nothing else of a commit that would tell it again', async () => {
      const tell = (of: string, sinceMs: number): Promise<boolean> =>
        accepted({ kind: 'note-receipt', of, atMs: nowMs, sinceMs }, { kind: 'audit', record: record('x') });
      expect([await tell('one', nowMs), await tell('two', nowMs)]).toEqual([true, true]);
      const next = nowMs + 1;
      expect([await tell('one', next), await tell('two', next)]).toEqual([false, false]);
      // A process that says it once more has done it once more.
      expect(await tell('one', nowMs)).toBe(true);
      expect(await store.read('audit-extent')).toMatchObject({ first: 1, last: 3 });
    });

    it('S-03: uses a code once per user', async () => {
      const use = (user: string, id: string): Promise<boolean> => accepted({ kind: 'use-code', user, id });
      expect(await use('alice', 'h1')).toBe(true);
      expect(await use('alice', 'h1')).toBe(false);
      expect(await use('alice', 'h2')).toBe(true);
    });

    it('tells which codes were used', async () => {
      await accepted({ kind: 'use-code', user: 'alice', id: 'h1', expiresAtMs: nowMs + 1 });
      await accepted({ kind: 'use-code', user: 'alice', id: 'h3' });
      expect(await store.read('used-codes', { user: 'alice', ids: ['h1', 'h2', 'h3'] })).toEqual([
        'h1',
        'h3',
      ]);
      expect(await store.read('used-codes', { user: 'bob', ids: ['h1', 'h2', 'h3'] })).toEqual([]);
    });

    it('S-03: keeps sent codes for an hour or their life, a newer one making the older void, and says which were used', async () => {
      const at = nowMs;
      const keep = (id: string, ttlMs: number, clientIp = '203.0.113.9'): Promise<boolean> =>
        accepted({
          kind: 'keep-delivered-code',
          code: {
            id,
            username: 'alice',
            node: 'dmz1',
            protocol: 'sftp',
            clientIp,
            fingerprint: 'f',
            transport: 'email',
            hint: 'a…@example.com',
            sentAtMs: nowMs,
            expiresAtMs: nowMs + ttlMs,
            isUsed: false,
          },
        });
      const kept = async (): Promise<unknown[]> =>
        (await store.read('delivered-codes', { nowMs })).map((code) => [
          code.id,
          code.expiresAtMs - at,
          code.isUsed,
        ]);
      await keep('c1', 60_000);
      nowMs += 1_000;
      await keep('c2', 2 * 3_600_000);
      nowMs += 1_000;
      await keep('c3', 60_000, '203.0.113.10');
      await accepted({ kind: 'use-code', user: 'alice', id: 'c3', expiresAtMs: nowMs + 1 });
      await accepted({ kind: 'use-code', user: 'bob', id: 'c2' });
      expect(await kept()).toEqual([
        ['c1', -at, false],
        ['c2', 7_201_000, false],
        ['c3', 62_000, true],
      ]);
      nowMs = at + 3_602_000;
      expect(await kept()).toEqual([['c2', 7_201_000, false]]);
    });

    it('notes a reminder when the last one is long enough ago, user by user', async () => {
      const note = (user: string, atMs: number): Promise<boolean> =>
        accepted({ kind: 'note-reminder', user, atMs, intervalMs: 100 });
      expect(await note('alice', nowMs)).toBe(true);
      expect(await note('alice', nowMs + 99)).toBe(false);
      expect(await note('bob', nowMs + 99)).toBe(true);
      expect(await note('alice', nowMs + 100)).toBe(true);
      expect(await note('alice', nowMs + 199)).toBe(false);
    });

    it('S-03: uses the outstanding bypass code once, in time', async () => {
      const use = (id: string, atMs: number): Promise<boolean> =>
        accepted({ kind: 'use-bypass-code', user: 'alice', id, nowMs: atMs });
      const set = (id: string | undefined): Promise<boolean> =>
        accepted({
          kind: 'set-bypass-code',
          user: 'alice',
          code: id === undefined ? undefined : { id, expiresAtMs: 2_000, reEnrol: true },
        });
      await set('b1');
      await set('b2');
      expect((await store.read('two-factor-state', { user: 'alice' })).bypassCode).toEqual({
        id: 'b2',
        expiresAtMs: 2_000,
        reEnrol: true,
      });
      expect(await use('b1', 1_000)).toBe(false);
      expect(await use('b2', 2_000)).toBe(false);
      expect(await use('b2', 1_999)).toBe(true);
      expect(await use('b2', 1_999)).toBe(false);
      await set('b3');
      await set(undefined);
      expect(await use('b3', 1_000)).toBe(false);
      expect((await store.read('two-factor-state', { user: 'alice' })).bypassCode).toBeUndefined();
    });

    it('S-03: replaces the value of a device once for each value', async () => {
      const rotate = (oldHash: string, newHash: string, atMs = 1_500): Promise<boolean> =>
        accepted({ kind: 'rotate-device', id: 'd1', oldHash, newHash, nowMs: atMs });
      expect(await accepted({ kind: 'open-device', device: device('d1') })).toBe(true);
      expect(await accepted({ kind: 'open-device', device: device('d1') })).toBe(false);
      expect(await store.read('devices', { user: 'alice' })).toEqual([device('d1')]);
      expect(await rotate('v1', 'v2')).toBe(true);
      expect(await rotate('v1', 'v3')).toBe(false);
      expect(await store.read('devices', { user: 'alice' })).toEqual([
        { ...device('d1'), valueHash: 'v2', previousHash: 'v1', rotatedAtMs: 1_500 },
      ]);
      expect(await rotate('v2', 'v3', 50_000_000)).toBe(false);
      await accepted({ kind: 'open-device', device: device('d2') });
      await accepted({ kind: 'end-device', id: 'd1' });
      expect(await store.read('devices', { user: 'alice' })).toEqual([device('d2')]);
      await accepted({ kind: 'end-devices', user: 'alice' });
      expect(await store.read('devices', { user: 'alice' })).toEqual([]);
      expect(await rotate('v1', 'v2')).toBe(false);
    });

    it('S-16: keeps the first time a name was left through every return, until it is decided', async () => {
      const of = async (): Promise<unknown> => (await store.read('departures')).at(0);
      const undecided = { username: 'alice', returnedAtMs: undefined, formerUntilMs: undefined };
      await accepted({ kind: 'note-return', user: 'alice', atMs: 5 });
      expect(await store.read('departures')).toEqual([]);
      await accepted({ kind: 'note-departure', user: 'alice', atMs: 10 });
      await accepted({ kind: 'note-return', user: 'alice', atMs: 20 });
      expect(await of()).toEqual({ ...undecided, goneAtMs: 10, returnedAtMs: 20 });
      await accepted({ kind: 'note-departure', user: 'alice', atMs: 30 });
      expect(await of()).toEqual({ ...undecided, goneAtMs: 10 });
      await accepted({ kind: 'settle-departure', user: 'alice', formerUntilMs: 40 });
      expect(await of()).toEqual({ ...undecided, goneAtMs: undefined, formerUntilMs: 40 });
      await accepted({ kind: 'note-departure', user: 'alice', atMs: 50 });
      await accepted({ kind: 'settle-departure', user: 'alice', formerUntilMs: undefined });
      expect(await of()).toEqual({ ...undecided, goneAtMs: undefined, formerUntilMs: 40 });
      await accepted({ kind: 'note-departure', user: 'bob', atMs: 60 });
      await accepted({ kind: 'settle-departure', user: 'bob', formerUntilMs: undefined });
      expect(await store.read('departures')).toHaveLength(1);
    });

    it('S-16: remembers names by factor, token, bypass code and place, and which of it must pass to nobody', async () => {
      const token = { hash: 'h', role: 'admin', note: '', createdBy: 'x', createdAtMs: 0 } as const;
      await accepted({ kind: 'set-enrolment', user: 'enrolled', id: 'e1', expected: undefined });
      await accepted({ kind: 'set-enrolment', user: 'reset', id: 'e1', expected: undefined });
      await accepted({ kind: 'set-enrolment', user: 'reset', id: undefined, expected: 'e1' });
      const code = { id: 'b', expiresAtMs: nowMs + 1, reEnrol: false };
      await accepted({ kind: 'set-bypass-code', user: 'helped', code });
      await accepted({ kind: 'note-login', user: 'seen', clientIp: '203.0.113.9', atMs: nowMs });
      await accepted({ kind: 'note-login', user: 'enrolled', clientIp: '203.0.113.9', atMs: nowMs });
      for (const [id, owner, expiresAtMs] of [
        ['t1', { user: 'admin' }, nowMs + 1],
        ['t2', { user: 'once' }, nowMs],
        ['t3', { service: 'backup' }, nowMs + 1],
      ] as const)
        await accepted({ kind: 'keep-record', list: 'token', record: { ...token, id, owner, expiresAtMs } });
      const names = (await store.read('remembered-names', { nowMs })).map(({ username, isHeld }) => [
        username,
        isHeld,
      ]);
      expect(Object.fromEntries(names)).toEqual({ enrolled: true, helped: false, seen: false, admin: true });
    });

    it('S-15: finds what was changed through a node by time, and what added a key last', async () => {
      const note = (atMs: number, more: Partial<StoredAccountChange> = {}): Promise<boolean> =>
        accepted({ kind: 'note-account-change', change: { ...accountChange, atMs, ...more } });
      for (const atMs of [30, 10, 20]) await note(atMs);
      await note(15, { node: 'dmz2' });
      await note(40, { username: 'bob' });
      const timesOf = async (fromMs: number, toMs: number, limit = 10): Promise<number[]> =>
        (await store.read('account-changes', { node: 'dmz1', fromMs, toMs, limit })).map(({ atMs }) => atMs);
      expect(await timesOf(10, 40)).toEqual([10, 20, 30]);
      expect(await timesOf(11, 41)).toEqual([20, 30, 40]);
      expect(await timesOf(0, 100, 2)).toEqual([10, 20]);
      expect(await store.read('account-changes', { node: 'dmz2', fromMs: 0, toMs: 100, limit: 10 })).toEqual([
        { ...accountChange, atMs: 15, node: 'dmz2' },
      ]);
      await note(50, { kind: 'ssh-key-removed' });
      expect(await store.read('ssh-key-additions', { user: 'alice' })).toEqual([
        { ...accountChange, atMs: 30 },
      ]);
    });

    it('finds the devices that were remembered through a node', async () => {
      await accepted({ kind: 'open-device', device: device('d1') });
      await accepted({ kind: 'open-device', device: { ...device('d2'), node: 'dmz9' } });
      expect(await store.read('devices-through', { node: 'dmz9' })).toEqual([
        { ...device('d2'), node: 'dmz9' },
      ]);
    });

    it('S-03: takes evidence of the present enrolment only', async () => {
      const isPresent = (id: string): Promise<boolean> =>
        accepted({ kind: 'require-enrolment', user: 'alice', id });
      expect(await isPresent('e1')).toBe(false);
      await accepted({ kind: 'set-enrolment', user: 'alice', id: 'e1', expected: undefined });
      expect(await isPresent('e1')).toBe(true);
      await accepted({ kind: 'set-enrolment', user: 'alice', id: 'e2', expected: 'e1' });
      expect(await isPresent('e1')).toBe(false);
    });

    it('forgets a user: logins, addresses and changes', async () => {
      for (const user of ['alice', 'bob']) {
        await accepted({ kind: 'note-login', user, clientIp: '203.0.113.1', atMs: nowMs });
        await accepted({ kind: 'note-account-change', change: { ...accountChange, username: user } });
      }
      await accepted({ kind: 'forget-user', user: 'alice' });
      expect((await store.read('two-factor-state', { user: 'alice' })).firstLoginAtMs).toBeUndefined();
      expect(
        await store.read('last-good-login', { user: 'alice', clientIp: '203.0.113.1', nowMs }),
      ).toBeUndefined();
      expect(await store.read('last-good-login', { user: 'bob', clientIp: '203.0.113.1', nowMs })).toBe(
        nowMs,
      );
      const left = await store.read('account-changes', { node: 'dmz1', fromMs: 0, toMs: nowMs, limit: 10 });
      expect(left.map(({ username }) => username)).toEqual(['bob']);
    });

    it('remembers the first login, and the last good one from each address for 30 days', async () => {
      const note = (clientIp: string): Promise<boolean> =>
        accepted({ kind: 'note-login', user: 'alice', clientIp, atMs: nowMs });
      const first = nowMs;
      await note('203.0.113.1');
      nowMs += 5_000;
      await note('203.0.113.1');
      expect((await store.read('two-factor-state', { user: 'alice' })).firstLoginAtMs).toBe(first);
      expect(await store.read('last-good-login', { user: 'alice', clientIp: '203.0.113.1', nowMs })).toBe(
        nowMs,
      );
      expect(
        await store.read('last-good-login', { user: 'alice', clientIp: '203.0.113.2', nowMs }),
      ).toBeUndefined();
      expect(await store.read('known-address', { clientIp: '203.0.113.1', nowMs })).toBe(true);
      expect(await store.read('known-address', { clientIp: '203.0.113.2', nowMs })).toBe(false);
      nowMs += 30 * 24 * 3_600_000;
      expect(
        await store.read('last-good-login', { user: 'alice', clientIp: '203.0.113.1', nowMs }),
      ).toBeUndefined();
      expect(await store.read('known-address', { clientIp: '203.0.113.1', nowMs })).toBe(false);
    });

    it('S-03: uses an SSH signature once per session id and key', async () => {
      const use = (sshSession: string, fingerprint: string): Promise<boolean> =>
        accepted({ kind: 'use-ssh-signature', user: 'alice', sshSession, fingerprint });
      expect(await use('s1', 'f1')).toBe(true);
      expect(await use('s1', 'f1')).toBe(false);
      expect(await use('s1', 'f2')).toBe(true);
      expect(await use('s2', 'f1')).toBe(true);
    });

    it('makes all changes of a commit or none, and names the first that failed', async () => {
      await accepted({ kind: 'use-code', user: 'alice', id: 'used' });
      const result = await store.commit([
        { kind: 'open-session', session: session('k1') },
        { kind: 'audit', record: record('REF1') },
        { kind: 'count-failure', ...counter('code:alice', nowMs) },
        { kind: 'use-code', user: 'alice', id: 'used' },
        { kind: 'use-time-step', user: 'alice', enrolment: 'e', step: 1 },
      ]);
      expect(result).toEqual({ ok: false, failed: 'use-code' });
      expect(await store.read('sessions')).toEqual([]);
      expect(await store.read('find-audit', { reference: 'REF1' })).toEqual([]);
      expect((await store.read('failures', { scope: 'code:alice', nowMs })).recent).toBe(0);
      expect(await accepted({ kind: 'use-time-step', user: 'alice', enrolment: 'e', step: 1 })).toBe(true);
    });

    it('one failed commit among many leaves its neighbours alone', async () => {
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          accepted(
            { kind: 'open-session', session: session(`k${index}`) },
            { kind: 'use-code', user: 'alice', id: index % 2 === 0 ? 'same' : `own${index}` },
          ),
        ),
      );
      expect(results.filter(Boolean)).toHaveLength(11);
      expect(await store.read('sessions')).toHaveLength(11);
    });

    it('opens, touches, replaces and ends sessions', async () => {
      expect(await accepted({ kind: 'open-session', session: session('k1') })).toBe(true);
      expect(await accepted({ kind: 'open-session', session: session('k1') })).toBe(false);
      await accepted({ kind: 'touch-session', key: 'k1', usedAtMs: 5_000 });
      expect(await store.read('sessions')).toEqual([{ ...session('k1'), usedAtMs: 5_000 }]);
      const replace = { kind: 'replace-session', oldKey: 'k1', session: session('k2') } as const;
      expect(await accepted(replace)).toBe(true);
      expect(await accepted(replace)).toBe(false);
      expect(await store.read('sessions')).toEqual([session('k2')]);
      expect(await accepted({ kind: 'end-session', key: 'k2' })).toBe(true);
      expect(await accepted({ kind: 'end-session', key: 'k2' })).toBe(true);
      expect(await accepted({ kind: 'touch-session', key: 'k2', usedAtMs: 1 })).toBe(true);
      expect(await store.read('sessions')).toEqual([]);
    });

    it('uses a lease until its opens, its idle time or its end', async () => {
      const use = (id: string, atMs: number): Promise<boolean> =>
        accepted({ kind: 'use-lease', id, nowMs: atMs });
      await accepted({ kind: 'open-lease', lease: lease('l1', { opensLeft: 2 }) });
      expect(await use('l1', 1_100)).toBe(true);
      expect(await store.read('leases')).toEqual([lease('l1', { opensLeft: 1, usedAtMs: 1_100 })]);
      expect(await use('l1', 1_200)).toBe(true);
      expect(await use('l1', 1_300)).toBe(false);

      await accepted({ kind: 'open-lease', lease: lease('l2', {}) });
      expect(await use('l2', 1_599)).toBe(true); // slides to 2 199
      expect(await use('l2', 2_199)).toBe(false);

      await accepted({ kind: 'open-lease', lease: lease('l3', { ttlMs: 1e9 }) });
      expect(await use('l3', 9_999)).toBe(true);
      expect(await use('l3', 10_000)).toBe(false);
      expect(await use('none', 1_000)).toBe(false);

      await accepted({ kind: 'open-lease', lease: lease('l4', { username: 'bob' }) });
      await accepted({ kind: 'end-lease', id: 'l2' });
      expect((await store.read('leases')).map(({ id }) => id)).toEqual(['l1', 'l3', 'l4']);
      await accepted({ kind: 'end-leases', user: 'alice' });
      expect((await store.read('leases')).map(({ id }) => id)).toEqual(['l4']);
    });

    it('sets the newest enrolment only over the expected one', async () => {
      const set = (id: string | undefined, expected: string | undefined): Promise<boolean> =>
        accepted({ kind: 'set-enrolment', user: 'alice', id, expected });
      expect(await set('e1', 'e0')).toBe(false);
      expect(await set('e1', undefined)).toBe(true);
      expect(await set('e2', undefined)).toBe(false);
      await accepted({ kind: 'use-time-step', user: 'alice', enrolment: 'e1', step: 42 });
      expect(await store.read('two-factor-state', { user: 'alice' })).toMatchObject({
        enrolment: 'e1',
        lastStep: 42,
      });
      expect(await set(undefined, 'e1')).toBe(true);
      expect(await store.read('two-factor-state', { user: 'alice' })).toMatchObject({
        enrolment: undefined,
        newestEnrolment: 'e1',
        lastStep: undefined,
      });
      expect(await set('e2', undefined)).toBe(true);
      expect(await store.read('two-factor-state', { user: 'alice' })).toMatchObject({
        enrolment: 'e2',
        lastStep: undefined,
      });
      expect((await store.read('two-factor-state', { user: 'bob' })).enrolment).toBeUndefined();
    });

    it('S-03: the newest enrolment never goes backward, whatever is set later', async () => {
      const set = (id: string | undefined, expected: string | undefined): Promise<boolean> =>
        accepted({ kind: 'set-enrolment', user: 'alice', id, expected });
      await set('e5', undefined);
      await set('e2', 'e5');
      expect(await store.read('two-factor-state', { user: 'alice' })).toMatchObject({
        enrolment: 'e2',
        newestEnrolment: 'e5',
      });
      await set('e6', 'e2');
      expect(await store.read('two-factor-state', { user: 'alice' })).toMatchObject({
        newestEnrolment: 'e6',
      });
    });

    it('locks a scope at the limit, doubles the next lock up to the maximum, and forgets on success', async () => {
      const fail = (): Promise<boolean> =>
        accepted({ kind: 'count-failure', ...counter('code:alice', nowMs) });
      expect(await store.read('failures', { scope: 'code:alice', nowMs })).toEqual({
        recent: 0,
        inARow: 0,
        lockedUntilMs: undefined,
      });
      await fail();
      await fail();
      expect(await store.read('failures', { scope: 'code:alice', nowMs })).toEqual({
        recent: 2,
        inARow: 2,
        lockedUntilMs: undefined,
      });
      await fail();
      expect(await store.read('failures', { scope: 'code:alice', nowMs })).toMatchObject({
        inARow: 3,
        lockedUntilMs: nowMs + 500,
      });
      nowMs += 600;
      for (let i = 0; i < 3; i++) await fail();
      expect(await store.read('failures', { scope: 'code:alice', nowMs })).toMatchObject({
        inARow: 6,
        lockedUntilMs: nowMs + 1_000,
      });
      for (let i = 0; i < 3; i++) await fail();
      expect((await store.read('failures', { scope: 'code:alice', nowMs })).lockedUntilMs).toBe(
        nowMs + 1_500,
      );
      expect((await store.read('failures', { scope: 'code:bob', nowMs })).inARow).toBe(0);
      await accepted({ kind: 'clear-failures', scope: 'code:alice' });
      expect(await store.read('failures', { scope: 'code:alice', nowMs })).toEqual({
        recent: 0,
        inARow: 0,
        lockedUntilMs: undefined,
      });
    });

    it('takes back one failure of a time, and neither another one nor a lock', async () => {
      const recent = async () => (await store.read('failures', { scope: 'password:a', nowMs })).recent;
      const fail = (atMs: number) => accepted({ kind: 'count-failure', ...counter('password:a', atMs) });
      await fail(nowMs - 1);
      await fail(nowMs);
      await accepted({ kind: 'take-back-failure', scope: 'password:a', atMs: nowMs - 1 });
      expect(await recent()).toBe(1);
      await accepted({ kind: 'take-back-failure', scope: 'password:a', atMs: nowMs - 1 });
      await accepted({ kind: 'take-back-failure', scope: 'password:b', atMs: nowMs });
      expect(await recent()).toBe(1);
      await fail(nowMs);
      await accepted({ kind: 'take-back-failure', scope: 'password:a', atMs: nowMs });
      expect(await recent()).toBe(1);
      for (let tries = 0; tries < 2; tries += 1) await fail(nowMs);
      await accepted({ kind: 'take-back-failure', scope: 'password:a', atMs: nowMs });
      expect(await store.read('locks', { scopes: ['password:a'] })).toEqual([nowMs + 500]);
    });

    it('tells what wrong codes made of a factor, and of many scopes until when each is locked', async () => {
      const untouched = await store.read('two-factor-state', { user: 'alice' });
      expect(untouched.wrongCodes).toEqual({ inARow: 0, lockedUntilMs: undefined });
      for (let i = 0; i < 3; i++)
        await accepted({ kind: 'count-failure', ...counter(codeScope('alice'), nowMs) });
      await accepted({ kind: 'count-failure', ...counter('password:alice', nowMs) });
      expect((await store.read('two-factor-state', { user: 'alice' })).wrongCodes).toEqual({
        inARow: 3,
        lockedUntilMs: nowMs + 500,
      });
      const scopes = ['password:alice', codeScope('alice'), 'never', codeScope('alice')];
      expect(await store.read('locks', { scopes })).toEqual([0, nowMs + 500, 0, nowMs + 500]);
      expect(await store.read('locks', { scopes: [] })).toEqual([]);
    });

    it('tells of a factor which of its codes were used, as far as they are asked about', async () => {
      await accepted({ kind: 'use-code', user: 'alice', id: 'h1' });
      await accepted({ kind: 'use-code', user: 'bob', id: 'h2' });
      const codes = ['h1', 'h2', 'h3'];
      expect((await store.read('two-factor-state', { user: 'alice', codes })).usedCodes).toEqual(['h1']);
      expect((await store.read('two-factor-state', { user: 'alice' })).usedCodes).toEqual([]);
    });

    it('clears a scope with its parts, if asked to, and nothing beside them', async () => {
      const scopes = ['password:a', 'password:a from 192.0.2.1', 'password:a from ::1', 'password:ab'];
      const counted = () =>
        Promise.all(scopes.map(async (scope) => (await store.read('failures', { scope, nowMs })).inARow));
      for (const scope of scopes) await accepted({ kind: 'count-failure', ...counter(scope, nowMs) });
      await accepted({ kind: 'clear-failures', scope: 'password:a' });
      expect(await counted()).toEqual([0, 1, 1, 1]);
      await accepted({ kind: 'clear-failures', scope: 'password:a', withParts: true });
      expect(await counted()).toEqual([0, 0, 0, 1]);
    });

    it('counts only failures inside the window', async () => {
      const fail = (): Promise<boolean> =>
        accepted({ kind: 'count-failure', ...counter('code:alice', nowMs) });
      await fail();
      nowMs += 900;
      await fail();
      expect((await store.read('failures', { scope: 'code:alice', nowMs })).recent).toBe(2);
      nowMs += 100; // the first is now exactly one window old
      expect((await store.read('failures', { scope: 'code:alice', nowMs })).recent).toBe(1);
      await fail();
      expect(await store.read('failures', { scope: 'code:alice', nowMs })).toMatchObject({
        recent: 2,
        inARow: 3,
      });
    });

    it('S-03: voids all evidence of a state that was put back, and keeps the rest', async () => {
      await accepted(
        { kind: 'set-enrolment', user: 'alice', id: 'e1', expected: undefined },
        { kind: 'use-time-step', user: 'alice', enrolment: 'e1', step: 5 },
        { kind: 'set-enrolment', user: 'bob', id: 'e2', expected: undefined },
        { kind: 'use-time-step', user: 'bob', enrolment: 'e2', step: 500 },
        { kind: 'open-session', session: session('s1') },
        { kind: 'open-lease', lease: lease('l1', {}) },
        { kind: 'set-bypass-code', user: 'alice', code: { id: 'b', expiresAtMs: 2_000_000, reEnrol: true } },
        { kind: 'use-code', user: 'alice', id: 'c1' },
      );
      expect(await accepted({ kind: 'void-evidence', step: 100 })).toBe(true);
      expect(await store.read('sessions')).toEqual([]);
      expect(await store.read('leases')).toEqual([]);
      expect(await store.read('two-factor-state', { user: 'alice' })).toMatchObject({
        enrolment: 'e1',
        lastStep: 100,
        bypassCode: undefined,
      });
      expect(await store.read('two-factor-state', { user: 'bob' })).toMatchObject({ lastStep: 500 });
      expect(await store.read('used-codes', { user: 'alice', ids: ['c1'] })).toEqual(['c1']);
    });

    it('takes audit records back under their numbers, and gives no number twice', async () => {
      expect(await accepted({ kind: 'skip-audit-numbers', upTo: 0 })).toBe(true);
      await accepted({ kind: 'audit', record: record('R1') });
      await accepted(
        { kind: 'restore-audit', sequence: 1, record: record('another') },
        { kind: 'restore-audit', sequence: 2, record: record('R2') },
        { kind: 'skip-audit-numbers', upTo: 7 },
        { kind: 'skip-audit-numbers', upTo: 3 },
        { kind: 'audit', record: record('R8') },
      );
      expect(
        (await store.read('audit-after', { sequence: 0, limit: 10 })).map((row) => [
          row.sequence,
          row.record.reference,
        ]),
      ).toEqual([
        [1, 'R1'],
        [2, 'R2'],
        [8, 'R8'],
      ]);
      expect(await store.read('audit-extent')).toMatchObject({ last: 8 });
    });

    it('keeps audit records in order, finds them by reference and tells who listens', async () => {
      let told = 0;
      const stop = store.onAudit(() => told++);
      await accepted({ kind: 'audit', record: record('R1') }, { kind: 'audit', record: record('R2') });
      await accepted({ kind: 'audit', record: record('R1', 'second') });
      await accepted({ kind: 'end-session', key: 'none' });
      expect(told).toBeGreaterThan(0);
      stop();
      await accepted({ kind: 'audit', record: record('R3') });
      const all = await store.read('audit-after', { sequence: 0, limit: 100 });
      expect(all.map((entry) => entry.record.reference)).toEqual(['R1', 'R2', 'R1', 'R3']);
      const sequences = all.map((entry) => entry.sequence);
      expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
      expect(await store.read('audit-after', { sequence: sequences[1] ?? 0, limit: 1 })).toEqual([all[2]]);
      expect(await store.read('find-audit', { reference: 'R1' })).toEqual([
        record('R1'),
        record('R1', 'second'),
      ]);
      expect(await store.read('find-audit', { reference: 'none' })).toEqual([]);
    });
  });
}

function session(key: string): StoredSession {
  return {
    key,
    username: 'alice',
    node: 'dmz1',
    worker: 0,
    protocol: 'https',
    state: 'signed-in',
    method: 'totp',
    clientIp: '203.0.113.9',
    credential: 'password:1',
    openedAtMs: 1_000,
    usedAtMs: 1_000,
    expiresAtMs: 50_000_000,
  };
}

function device(id: string): StoredDevice {
  return {
    id,
    username: 'alice',
    node: 'dmz1',
    credential: 'password:1',
    valueHash: 'v1',
    rotatedAtMs: 1_000,
    openedAtMs: 1_000,
    expiresAtMs: 50_000_000,
  };
}

function lease(id: string, changed: Partial<StoredLease>): StoredLease {
  return {
    id,
    username: 'alice',
    credential: 'password:1',
    protocol: 'sftp',
    node: 'dmz1',
    clientIp: '203.0.113.9',
    agent: 'SSH-2.0-x',
    openedAtMs: 1_000,
    usedAtMs: 1_000,
    ttlMs: 600,
    expiresAtMs: 10_000,
    opensLeft: 200,
    ...changed,
  };
}

function record(reference: string, detail = 'x'): Extract<Change, { kind: 'audit' }>['record'] {
  return {
    time: '2026-11-24T00:00:00.000Z',
    event: 'login.refused',
    outcome: 'refused',
    user: 'alice',
    reference,
    detail,
  };
}

function counter(scope: string, atMs: number): Omit<Extract<Change, { kind: 'count-failure' }>, 'kind'> {
  return { scope, atMs, windowMs: 1_000, limit: 3, lockMs: 500, lockMaxMs: 1_500 };
}

const accountChange: StoredAccountChange = {
  kind: 'ssh-key-added',
  username: 'alice',
  node: 'dmz1',
  session: 's1',
  clientIp: '203.0.113.1',
  atMs: 10,
  subject: 'SHA256:x',
};
