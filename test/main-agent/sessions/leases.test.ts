import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { twoFactorSchema } from '#main-agent/config-two-factor.ts';
import { Devices } from '#main-agent/sessions/devices.ts';
import { Leases, type LeaseBinding } from '#main-agent/sessions/leases.ts';
import { devicesPerUserMax, leasesMax } from '#main-agent/sessions/limits.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import {
  buildRig,
  buildUser,
  cheapHash,
  refusal,
  startMs,
  withFactor,
  type Attempt,
  type Rig,
} from '../login/rig.ts';

let rig: Rig;
const sftp = { protocol: 'sftp' as const };
const minute = 60_000;

beforeEach(async () => {
  rig = await buildRig();
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'] })));
  await rig.enrol('alice');
  await rig.answer(await rig.begin('alice', sftp), { ...sftp, code: rig.code('alice') });
});
afterEach(() => rig.close());

const ride = async (attempt: Attempt = {}) => {
  const full = { ...sftp, ...attempt };
  return rig.answer(await rig.begin('alice', full), full);
};
const isAsked = async (attempt: Attempt = {}) =>
  (await rig.begin('alice', { ...sftp, ...attempt })).next === 'code';

describe('leases', () => {
  it('S-01: the next connection needs the password and no code, and the audit says why', async () => {
    expect(await ride()).toMatchObject({ outcome: 'admitted', view: { method: 'lease' } });
    expect(rig.state.audit.at(-1)).toMatchObject({ rule: 'factor not asked: lease', method: 'lease' });
    expect((await refusal(rig.begin('alice', { ...sftp, password: 'wrong' }))).code).toBe('refused');
  });

  it('S-01: not for another protocol, node, address or client', async () => {
    expect(await isAsked({ protocol: 'https' })).toBe(true);
    expect(await isAsked({ node: rig.otherNode })).toBe(true);
    expect(await isAsked({ client: { ip: '203.0.113.10' } })).toBe(true);
    expect(await isAsked({ client: { agent: 'another client' } })).toBe(true);
    expect(await isAsked({ client: { port: 40_000 } })).toBe(false);
  });

  it('slides by 10 min, up to one hour, over a restart', async () => {
    for (let minutes = 0; minutes < 54; minutes += 9) {
      rig.advance(9 * minute);
      expect(await ride()).toMatchObject({ outcome: 'admitted' });
      for (const session of rig.login.sessions.list()) await rig.login.sessions.end(session.key, 'test');
    }
    const after = await rig.restart();
    expect(await after.begin('alice', sftp)).toMatchObject({ admitAs: 'lease' });
    rig.advance(6 * minute);
    expect(await after.begin('alice', sftp)).toMatchObject({ next: 'code' });
    after.close();
  });

  it('S-03: opens as many sessions as its settings say, and not one more, however long it would last', async () => {
    const after = await rig.restart({ twoFactor: { lease: { opens: 3 } } });
    await after.login.admin.leases.endAllOf('alice', { actor: 'test', reason: 'test' });
    rig.advance(minute);
    await after.answer(await after.begin('alice', sftp), { ...sftp, code: after.code('alice') });
    const ended = async () => {
      for (const session of after.login.sessions.list()) await after.login.sessions.end(session.key, 'test');
    };
    for (let opens = 0; opens < 3; opens += 1) {
      await ended();
      const view = await after.begin('alice', sftp);
      expect(view).toMatchObject({ admitAs: 'lease' });
      await after.answer(view, sftp);
    }
    await ended();
    expect(await after.begin('alice', sftp)).toMatchObject({ next: 'code' });
    after.close();
  });

  it('ends when it is not used for 10 min', async () => {
    rig.advance(10 * minute - 1);
    expect(await isAsked()).toBe(false);
    rig.advance(1);
    expect(await isAsked()).toBe(true);
  });

  it('carries eight connections at once, the first included, and not nine', async () => {
    for (let connections = 2; connections <= 8; connections += 1) await ride();
    expect(await isAsked()).toBe(true);
    const [first] = rig.login.sessions.list();
    await rig.login.sessions.end(first?.key ?? '', 'closed');
    expect(await isAsked()).toBe(false);
  });

  it('S-14: end with a ban of their user or address, and others go on', async () => {
    await rig.login.admin.endMatching((username) => username === 'bob', 'banned');
    expect(await isAsked()).toBe(false);
    await rig.login.admin.endMatching((_username, clientIp) => clientIp === '203.0.113.9', 'banned');
    expect(await isAsked()).toBe(true);
  });

  it('S-03: never more than eight, when many arrive at the same time', async () => {
    const views = await Promise.all(Array.from({ length: 12 }, () => rig.begin('alice', sftp)));
    const results = await Promise.allSettled(views.map((view) => rig.answer(view, sftp)));
    expect(results.filter((one) => one.status === 'fulfilled')).toHaveLength(7);
  });

  it('ends with the password, a reset, a disabled account, and a lock of the factor', async () => {
    const endings: (() => Promise<unknown>)[] = [
      () => rig.change('alice', { passwordHash: new Secret(cheapHash('another password')) }),
      () => rig.change('alice', { status: 'disabled' }),
      () => rig.login.admin.leases.endAllOf('alice', { actor: 'test', reason: 'test' }),
      async () => {
        for (let logins = 0; logins < 5; logins += 1) {
          const view = await rig.begin('alice');
          await rig.answer(view, { code: '000000' });
          await rig.answer(view, { code: '000000' });
        }
      },
    ];
    for (const end of endings) {
      expect(await rig.login.admin.leases.list()).toHaveLength(1);
      await end();
      const password =
        rig.users.get('alice')?.passwordHash?.expose() === cheapHash('another password')
          ? 'another password'
          : undefined;
      await rig.change('alice', { status: 'active' });
      expect(await isAsked(password === undefined ? {} : { password })).toBe(true);
      await rig.change('alice', { passwordHash: new Secret(cheapHash('correct horse battery')) });
      await rig.login.admin.twoFactor.unlock('alice', { actor: 'test', reason: 'test' });
      await rig.login.admin.leases.endAllOf('alice', { actor: 'test', reason: 'test' });
      rig.advance(minute);
      await rig.answer(await rig.begin('alice', sftp), { ...sftp, code: rig.code('alice') });
    }
    await rig.login.admin.twoFactor.reset('alice', { actor: 'test', reason: 'test' });
    expect(await rig.login.admin.leases.list()).toEqual([]);
  });

  it('S-01: a lease that ended between the steps does not admit', async () => {
    const view = await rig.begin('alice', sftp);
    await rig.login.admin.leases.endAllOf('alice', { actor: 'test', reason: 'test' });
    expect((await refusal(rig.answer(view, sftp))).code).toBe('challenge-gone');
  });

  it('is not given by a recovery code, nor by a lease', async () => {
    const before = await rig.login.admin.leases.list();
    await ride();
    expect((await rig.login.admin.leases.list()).map((one) => one.id)).toEqual(before.map((one) => one.id));
  });
});

describe('the book of leases', () => {
  const settings = twoFactorSchema.parse({ lease: { opens: 3 } }).lease;
  const client = (agent: string, change: Partial<LeaseBinding> = {}): LeaseBinding => ({
    username: 'alice',
    credential: 'password:x',
    protocol: 'sftp',
    node: 'dmz1',
    clientIp: '203.0.113.9',
    agent,
    ...change,
  });
  let nowMs: number;
  const build = (state = buildMemoryState()) => {
    const leases = new Leases({
      settings,
      state,
      clock: { now: () => nowMs, monotonic: () => nowMs },
      countRiders: () => 0,
    });
    const give = (binding: LeaseBinding): string => {
      const offered = leases.offer(binding, 'totp');
      if (offered === undefined) throw new Error('no lease');
      offered.keep();
      return offered.id;
    };
    return { leases, give, state };
  };
  beforeEach(() => {
    nowMs = startMs;
  });

  it('S-01: gives one for a code of the user’s own, on a protocol that has them', () => {
    const { leases } = build();
    for (const method of ['totp', 'email', 'sms'])
      expect(leases.offer(client('a'), method)?.changes).toMatchObject([
        { kind: 'open-lease', lease: { openedAtMs: nowMs, expiresAtMs: nowMs + 60 * minute, opensLeft: 3 } },
      ]);
    for (const method of ['recovery', 'bypass', 'device', 'trusted-network', 'lease', 'none'])
      expect(leases.offer(client('a'), method)).toBeUndefined();
    expect(leases.offer(client('a', { protocol: 'https' }), 'totp')).toBeUndefined();
  });

  it('a client has one: the next takes its place, in the same commit', () => {
    const { leases, give } = build();
    const first = give(client('a'));
    const next = leases.offer(client('a'), 'totp');
    expect(next?.changes).toMatchObject([
      { kind: 'end-lease', id: first },
      { kind: 'open-lease', lease: { id: next?.id } },
    ]);
    const riding = leases.ride(client('a'), first);
    next?.keep();
    // Found before the other one came; it is not the other's to count.
    riding?.keep();
    expect(leases.find(client('a'))).toMatchObject({ id: next?.id, opensLeft: 3 });
    expect(leases.ride(client('a'), first)).toBeUndefined();
    expect(leases.ride(client('a'), next?.id ?? '')?.changes).toEqual([
      { kind: 'use-lease', id: next?.id, nowMs },
    ]);
  });

  it('S-03: is over after ten minutes without use, after an hour, or after so many sessions', () => {
    const { leases, give } = build();
    const id = give(client('a'));
    const rode = (): boolean => {
      const found = leases.ride(client('a'), id);
      found?.keep();
      return found !== undefined;
    };
    nowMs += 10 * minute - 1;
    expect(rode()).toBe(true);
    expect(leases.list()).toHaveLength(1);
    nowMs += 10 * minute - 1;
    expect(leases.list()).toHaveLength(1);
    nowMs += 1;
    expect(leases.list()).toEqual([]);
    nowMs -= 1;
    expect([rode(), rode(), rode()]).toEqual([true, true, false]);
    // It is forgotten with that, so it is ended by nobody any more.
    expect(leases.list()).toEqual([]);
    give(client('b'));
    nowMs += 10 * minute;
    expect(leases.find(client('b'))).toBeUndefined();
  });

  it('tells until the end of its hour, and not in its last moment', () => {
    const long = twoFactorSchema.parse({ lease: { ttl: '1h', max: '1h' } }).lease;
    const leases = new Leases({
      settings: long,
      state: buildMemoryState(),
      clock: { now: () => nowMs, monotonic: () => nowMs },
      countRiders: () => 0,
    });
    leases.offer(client('a'), 'totp')?.keep();
    nowMs += 30 * minute;
    leases.ride(client('a'), leases.list()[0]?.id ?? '')?.keep();
    nowMs += 30 * minute - 1;
    expect(leases.list()).toHaveLength(1);
    nowMs += 1;
    expect(leases.list()).toEqual([]);
  });

  it('holds so many; those that are over go first, then the oldest', () => {
    const { leases, give } = build();
    const oldest = give(client('oldest'));
    give(client('over'));
    nowMs += 9 * minute;
    leases.ride(client('oldest'), oldest)?.keep();
    for (let number = 2; number < leasesMax; number += 1) give(client(`${number}`));
    nowMs += minute;
    expect(leases.find(client('oldest'))?.id).toBe(oldest);
    give(client('one more'));
    expect(leases.list()).toHaveLength(leasesMax);
    expect(leases.find(client('oldest'))?.id).toBe(oldest);
    give(client('and one'));
    expect(leases.list()).toHaveLength(leasesMax);
    expect(leases.find(client('oldest'))).toBeUndefined();
    expect(leases.find(client('2'))).toBeDefined();
  });

  it('ends one, a user’s, or those of whom it is asked, in the state as well', async () => {
    const { leases, state } = build();
    const add = async (binding: LeaseBinding): Promise<string> => {
      const offered = leases.offer(binding, 'totp');
      await state.commit(offered?.changes ?? []);
      offered?.keep();
      return offered?.id ?? '';
    };
    const first = await add(client('first'));
    await add(client('second'));
    await add(client('third', { node: 'dmz2' }));
    await add(client('bob’s', { username: 'bob' }));
    const left = async (): Promise<string[]> => {
      const stored = (await state.read('leases')).map(({ agent }) => agent);
      expect(leases.list().map(({ agent }) => agent)).toEqual(stored);
      return stored;
    };
    expect(await leases.end(first)).toBe(true);
    expect(await leases.end(first)).toBe(false);
    expect(await left()).toEqual(['second', 'third', 'bob’s']);
    await leases.endWhere(({ node }) => node === 'dmz2');
    expect(await left()).toEqual(['second', 'bob’s']);
    await leases.endAllOf('alice');
    expect(await left()).toEqual(['bob’s']);
  });

  it('S-01: switched off it ends what there was before', async () => {
    const here = await rig.restart({ twoFactor: { lease: 'off' } });
    expect(await here.begin('alice', sftp)).toMatchObject({ next: 'code' });
    expect(await here.state.read('leases')).toEqual([]);
    here.close();
  });
});

describe('trusted networks', () => {
  const trusted = { trusted_networks: [{ cidr: '203.0.113.0/24', nodes: ['dmz1'] }] };

  it('S-01: the factor is not asked there, on that node only; audited', async () => {
    const here = await rig.restart({ twoFactor: trusted });
    const view = await here.begin('alice');
    expect(view).toMatchObject({ next: 'admit', admitAs: 'trusted-network' });
    expect(await here.answer(view)).toMatchObject({ view: { method: 'trusted-network' } });
    expect(here.state.audit.at(-1)?.rule).toBe('factor not asked: trusted network 203.0.113.0/24');
    expect(await here.begin('alice', { node: here.otherNode })).toMatchObject({ next: 'code' });
    expect(await here.begin('alice', { client: { ip: '198.51.100.1' } })).toMatchObject({ next: 'code' });
    here.close();
  });

  it('never stands for a code before set-up', async () => {
    const here = await rig.restart({ twoFactor: trusted });
    here.users.set(
      'dave',
      buildUser('dave', withFactor({ requiredOn: ['https'], forceSetup: true }, { email: 'd@example.com' })),
    );
    expect(await here.begin('dave')).toMatchObject({ next: 'code', asked: { method: 'email' } });
    here.close();
  });
});

describe('remembered devices', () => {
  const on = { remember_device: '30d' };

  async function remember(here: Rig): Promise<string> {
    const result = await here.answer(await here.begin('alice'), {
      code: here.code('alice', 1),
      rememberDevice: true,
    });
    if (result.outcome !== 'admitted' || result.device === undefined) throw new Error('not remembered');
    return result.device.value;
  }
  async function use(here: Rig, device: string): Promise<string | undefined> {
    const view = await here.begin('alice', { device });
    if (view.next !== 'admit') return undefined;
    const result = await here.answer(view);
    return result.outcome === 'admitted' ? result.device?.value : undefined;
  }

  it('stand for the code at the next login; the cookie is another one each time', async () => {
    const here = await rig.restart({ twoFactor: on });
    const first = await remember(here);
    const second = await use(here, first);
    expect(second).toBeDefined();
    expect(second).not.toBe(first);
    expect(await use(here, second ?? '')).toBeDefined();
    here.close();
  });

  it('a replaced cookie shown again revokes the device and tells the user', async () => {
    const here = await rig.restart({ twoFactor: on });
    await here.change('alice', { email: 'a@example.com' });
    const first = await remember(here);
    const second = await use(here, first);
    rig.advance(10_000);
    expect(await use(here, first)).toBeUndefined();
    expect(await use(here, second ?? '')).toBeUndefined();
    expect(here.notices.map((one) => one.kind)).toContain('device-copied');
    here.close();
  });

  it('a parallel tab within 10 s is asked for the code and revokes nothing', async () => {
    const here = await rig.restart({ twoFactor: on });
    const first = await remember(here);
    const second = await use(here, first);
    expect(await use(here, first)).toBeUndefined();
    expect(await use(here, second ?? '')).toBeDefined();
    here.close();
  });

  it('not on another node, for another user, after a password change, or when switched off', async () => {
    const here = await rig.restart({ twoFactor: on });
    const value = await remember(here);
    expect(await here.begin('alice', { device: value, node: here.otherNode })).toMatchObject({
      next: 'code',
    });
    here.users.set('bob', buildUser('bob', withFactor({ requiredOn: ['https'] })));
    await here.enrol('bob');
    expect(await here.begin('bob', { device: value })).toMatchObject({ next: 'code' });
    await here.change('alice', { passwordHash: new Secret(cheapHash('another password')) });
    expect(await here.begin('alice', { device: value, password: 'another password' })).toMatchObject({
      next: 'code',
    });
    await here.change('alice', { passwordHash: new Secret(cheapHash('correct horse battery')) });
    const off = await here.restart({ twoFactor: {} });
    expect(await off.begin('alice', { device: value })).toMatchObject({ next: 'code' });
    off.close();
  });

  describe('by themselves', () => {
    const facts = { username: 'alice', node: 'dmz1', credential: 'password:x', agent: 'Firefox' };
    const lifeMs = 30 * 24 * 60 * minute;
    let nowMs: number;
    const build = () => {
      nowMs = startMs;
      const state = buildMemoryState();
      const devices = new Devices({
        lifeMs,
        state,
        clock: { now: () => nowMs, monotonic: () => nowMs },
        random: randomBytes,
      });
      const add = async (): Promise<string> => {
        const made = await devices.remember(facts);
        await state.commit(made?.changes ?? []);
        expect(made?.cookie.maxAgeMs).toBe(lifeMs);
        return made?.cookie.value ?? '';
      };
      return { devices, state, add };
    };

    it('S-01: are known to their user, node and credential, until their life is over', async () => {
      const { devices, add } = build();
      const value = await add();
      expect(value).toMatch(/^[\w-]{86}$/);
      const kind = async (change = {}) => (await devices.find(value, { ...facts, ...change })).kind;
      expect(await kind()).toBe('known');
      for (const change of [{ username: 'bob' }, { node: 'dmz2' }, { credential: 'password:y' }])
        expect(await kind(change)).toBe('unknown');
      nowMs += lifeMs - 1;
      expect(await kind()).toBe('known');
      nowMs += 1;
      expect(await kind()).toBe('unknown');
    });

    it('S-01: the id with another value is a copy at once; the value before is one ten seconds later', async () => {
      const { devices, state, add } = build();
      const value = await add();
      const kind = async (one: string) => (await devices.find(one, facts)).kind;
      expect(await kind(value.slice(0, 43) + 'A'.repeat(43))).toBe('copied');
      const found = await devices.find(value, facts);
      if (found.kind !== 'known') throw new Error(found.kind);
      const { changes, cookie } = devices.rotate({ id: found.device.id, valueHash: found.valueHash });
      await state.commit(changes);
      expect(cookie.maxAgeMs).toBe(lifeMs);
      expect(await kind(cookie.value)).toBe('known');
      nowMs += 9_999;
      expect([await kind(value), await kind(value.slice(0, 43) + 'A'.repeat(43))]).toEqual([
        'unknown',
        'copied',
      ]);
      nowMs += 1;
      expect(await kind(value)).toBe('copied');
      // What never was a cookie of anybody.
      expect(await kind('A'.repeat(86))).toBe('unknown');
    });

    it('a user has sixteen; the one remembered first makes room for one more', async () => {
      const { state, add } = build();
      const ids = async () => (await state.read('devices', { user: 'alice' })).map(({ id }) => id);
      const values = [];
      // Not in the order in which they are found again.
      for (let number = 0; number < devicesPerUserMax; number += 1) {
        nowMs = startMs - number * 1_000;
        values.push((await add()).slice(0, 43));
      }
      expect(await ids()).toEqual(values);
      nowMs = startMs + 1;
      const newest = (await add()).slice(0, 43);
      expect(await ids()).toEqual([...values.slice(0, -1), newest]);
    });

    it('are remembered where it is switched on only', async () => {
      const answer = { code: rig.code('alice', 1), rememberDevice: true };
      expect(await rig.answer(await rig.begin('alice'), answer)).not.toHaveProperty('device');
      expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    });
  });
});
