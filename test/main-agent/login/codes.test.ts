import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bypassTtlMaxMs } from '#main-agent/two-factor/limits.ts';
import { buildRig, buildUser, refusal, settle, withFactor, type Rig } from './rig.ts';

let rig: Rig;

beforeEach(async () => {
  rig = await buildRig();
  rig.users.set(
    'alice',
    buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'] }, { email: 'a@example.com' })),
  );
  await rig.enrol('alice');
});
afterEach(() => rig.close());

const minute = 60_000;

describe('authenticator codes', () => {
  it('asks for the code and says nothing else is alive', async () => {
    expect(await rig.begin('alice')).toMatchObject({
      next: 'code',
      username: 'alice',
      expiresInMs: 120_000,
      asked: { method: 'totp', hint: '', recovery: false, attemptsLeft: 5, shapes: ['digits6', 'bypass'] },
    });
  });

  for (const steps of [-1, 0, 1]) {
    it(`takes the code of step ${steps}`, async () => {
      const code = rig.code('alice', steps);
      expect(await rig.answer(await rig.begin('alice'), { code })).toMatchObject({ outcome: 'admitted' });
    });
  }

  for (const steps of [-2, 2]) {
    it(`refuses the code of step ${steps}`, async () => {
      const code = rig.code('alice', steps);
      expect(await rig.answer(await rig.begin('alice'), { code })).toMatchObject({ reason: 'wrong-code' });
    });
  }

  it('S-03: a code opens one session; the second time it is used, also of an earlier step', async () => {
    const [before, now] = [rig.code('alice', -1), rig.code('alice')];
    await rig.answer(await rig.begin('alice'), { code: now });
    const view = await rig.begin('alice', { protocol: 'sftp' });
    const sftp = { protocol: 'sftp' as const };
    expect(view).toMatchObject({ next: 'code' });
    expect(await rig.answer(view, { code: now, ...sftp })).toMatchObject({ reason: 'used-code' });
    expect(await rig.answer(view, { code: before, ...sftp })).toMatchObject({ reason: 'used-code' });
  });

  it('S-03: fifty logins at once with one code, over protocols and nodes: one session, the others hear why', async () => {
    const code = rig.code('alice');
    const attempts = Array.from({ length: 50 }, (_, index) => ({
      protocol: index % 2 === 0 ? ('https' as const) : ('sftp' as const),
      node: index % 3 === 0 ? rig.otherNode : rig.node,
    }));
    const views = await Promise.all(attempts.map((attempt) => rig.begin('alice', attempt)));
    const results = await Promise.all(
      views.map((view, index) => rig.answer(view, { code, ...attempts[index] })),
    );
    expect(results.filter((one) => one.outcome === 'admitted')).toHaveLength(1);
    const others = results.filter((one) => one.outcome === 'again');
    expect(others).toHaveLength(49);
    expect(new Set(others.map((one) => one.reason))).toEqual(new Set(['used-code']));
    expect(rig.login.sessions.list()).toHaveLength(1);
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).recent).toBe(0);
  });

  it('S-03: a crash between spending a code and the answer leaves it spent', async () => {
    const code = rig.code('alice');
    const view = await rig.begin('alice');
    // The commit is durable, the answer is lost.
    await rig.answer(view, { code });
    const after = await rig.restart();
    const again = await after.begin('alice');
    expect(await after.answer(again, { code })).toMatchObject({ reason: 'used-code' });
    after.close();
  });

  it('S-14: what can not be written down does not happen, and the code stays good', async () => {
    const view = await rig.begin('alice');
    const code = rig.code('alice');
    rig.state.beforeCommit = () => {
      throw new Error('disk full');
    };
    await expect(rig.answer(view, { code })).rejects.toThrow('disk full');
    expect(rig.login.sessions.list()).toEqual([]);
    rig.state.beforeCommit = undefined;
    expect(await rig.answer(view, { code })).toMatchObject({ outcome: 'admitted' });
  });

  it('S-03: spent code, session and audit record stand in one commit', async () => {
    const view = await rig.begin('alice');
    const commits: string[][] = [];
    rig.state.beforeCommit = (changes) => void commits.push(changes.map((one) => one.kind));
    await rig.answer(view, { code: rig.code('alice') });
    expect(commits).toHaveLength(1);
    expect(commits[0]).toEqual(expect.arrayContaining(['use-time-step', 'open-session', 'audit']));
  });

  it('keeps the login until its attempts are used up, then refuses', async () => {
    const view = await rig.begin('alice');
    for (const left of [4, 3, 2, 1]) {
      const again = await rig.answer(view, { code: '000000' });
      // What the user reads out finds the record.
      expect(rig.state.audit.at(-1)).toMatchObject({ rule: 'wrong-code' });
      expect(again).toEqual({
        outcome: 'again',
        reason: 'wrong-code',
        reference: rig.state.audit.at(-1)?.reference,
        attemptsLeft: left,
      });
    }
    expect((await refusal(rig.answer(view, { code: '000000' }))).code).toBe('refused');
    expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('challenge-gone');
  });
});

describe('a clock that is off', () => {
  it('is told when two different codes in a row agree, and neither is taken', async () => {
    const view = await rig.begin('alice');
    expect(await rig.answer(view, { code: rig.code('alice', -4) })).toMatchObject({ reason: 'wrong-code' });
    rig.advance(30_000);
    expect(await rig.answer(view, { code: rig.code('alice', -4) })).toMatchObject({
      reason: 'clock-drift',
      driftSeconds: -120,
    });
  });

  it('is not told for the same code twice, nor when a wrong one came between', async () => {
    const view = await rig.begin('alice');
    const drifted = rig.code('alice', 5);
    await rig.answer(view, { code: drifted });
    expect(await rig.answer(view, { code: drifted })).not.toMatchObject({ reason: 'clock-drift' });
    await rig.answer(view, { code: '000000' });
    expect(await rig.answer(view, { code: rig.code('alice', 6) })).toMatchObject({ reason: 'wrong-code' });
  });

  it('S-13: a wrong code that was burned meanwhile by another answer counts towards the lock all the same', async () => {
    const commit = rig.state.commit.bind(rig.state);
    for (let wrong = 0; wrong < 10; wrong += 1) {
      const view = await rig.begin('alice');
      let isBurned = false;
      rig.state.commit = async (changes) => {
        const burns = changes.some(({ kind }) => kind === 'use-time-step' || kind === 'use-code');
        if (!burns || isBurned) return commit(changes);
        isBurned = true;
        return { ok: false, failed: changes[0]?.kind ?? 'audit' };
      };
      expect(await rig.answer(view, { code: rig.code('alice', 5) })).toMatchObject({
        outcome: 'again',
      });
      expect(isBurned).toBe(true);
      rig.state.commit = commit;
    }
    const locked = await refusal(rig.answer(await rig.begin('alice'), { code: rig.code('alice') }));
    expect(locked.code).toBe('rate-limited');
  });

  it('S-03: a code shown too early is burned: its own time does not revive it', async () => {
    const early = rig.code('alice', 5);
    await rig.answer(await rig.begin('alice'), { code: early });
    rig.advance(5 * 30_000);
    expect(rig.code('alice')).toBe(early);
    expect(await rig.answer(await rig.begin('alice'), { code: early })).toMatchObject({
      reason: 'used-code',
    });
    rig.advance(30_000);
    expect(await rig.answer(await rig.begin('alice'), { code: rig.code('alice') })).toMatchObject({
      outcome: 'admitted',
    });
  });

  for (const [name, jumpMs] of [
    ['going back', -5_000],
    ['jumping ahead', 61_000],
  ] as const) {
    it(`main's own clock ${name} pauses authenticator codes until an admin confirms it`, async () => {
      const view = await rig.begin('alice');
      rig.jump(jumpMs);
      expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('busy');
      expect(rig.login.admin.clockProblem()).toBe(jumpMs);
      await rig.login.admin.confirmClock({ actor: 'test', reason: 'looked at it' });
      expect(await rig.answer(view, { code: rig.code('alice') })).toMatchObject({ outcome: 'admitted' });
    });
  }
});

describe('wrong codes', () => {
  async function wrongCodes(count: number): Promise<void> {
    for (let left = count; left > 0;) {
      const view = await rig.begin('alice', { protocol: left % 2 === 0 ? 'https' : 'sftp' });
      const protocol = left % 2 === 0 ? ('https' as const) : ('sftp' as const);
      for (let tries = 0; tries < 4 && left > 0; tries += 1, left -= 1)
        await rig.answer(view, { code: '000000', protocol });
    }
  }

  it('S-13: ten over all protocols lock the factor for 15 min, and not nine', async () => {
    await wrongCodes(9);
    expect(await rig.answer(await rig.begin('alice'), { code: rig.code('alice') })).toMatchObject({
      outcome: 'admitted',
    });
    await wrongCodes(10);
    rig.advance(60_000);
    const error = await refusal(rig.answer(await rig.begin('alice'), { code: rig.code('alice') }));
    expect(error.code).toBe('rate-limited');
    expect(error.data?.retryAfterMs).toBe(14 * minute);
    rig.advance(14 * minute);
    expect(await rig.answer(await rig.begin('alice'), { code: rig.code('alice') })).toMatchObject({
      outcome: 'admitted',
    });
  });

  it('S-13: the lock survives a restart and doubles the next time', async () => {
    await wrongCodes(10);
    const after = await rig.restart();
    const error = await refusal(after.answer(await after.begin('alice'), { code: after.code('alice') }));
    expect(error.code).toBe('rate-limited');
    after.close();
    rig.advance(15 * minute);
    await wrongCodes(10);
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).lockedUntilMs).toBe(
      rig.now() + 30 * minute,
    );
  });

  it('S-13: twenty at once on as many logins count one by one: ten are looked at, the others find the lock', async () => {
    const views = await Promise.all(Array.from({ length: 20 }, () => rig.begin('alice')));
    // A disk that takes its time: all have read the counter before the first failure is written.
    rig.state.beforeCommit = settle;
    const answers = await Promise.allSettled(views.map((view) => rig.answer(view, { code: '000000' })));
    const outcomes = answers.map((one) =>
      one.status === 'fulfilled' ? one.value.outcome : (one.reason as { code: string }).code,
    );
    expect(outcomes.filter((one) => one === 'again')).toHaveLength(10);
    expect(outcomes.filter((one) => one === 'rate-limited')).toHaveLength(10);
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).inARow).toBe(10);
  });

  it('S-13: used codes never lock anybody out', async () => {
    const code = rig.code('alice');
    await rig.answer(await rig.begin('alice'), { code });
    for (let logins = 0; logins < 5; logins += 1) {
      const view = await rig.begin('alice');
      for (let tries = 0; tries < 4; tries += 1) await rig.answer(view, { code });
    }
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).inARow).toBe(0);
  });

  it('S-13: a stranger without the password moves no code counter', async () => {
    for (let tries = 0; tries < 12; tries += 1)
      await refusal(rig.begin('alice', { password: 'wrong password' }));
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).inARow).toBe(0);
  });

  it('a hundred in a row disable the factor until an admin unlocks it; the user is told at ten', async () => {
    for (let round = 0; round < 10; round += 1) {
      await wrongCodes(10);
      rig.advance(24 * 60 * minute);
    }
    expect(rig.notices.map((one) => one.kind)).toEqual(['many-wrong-codes', 'factor-disabled']);
    const view = await rig.begin('alice');
    expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('refused');
    await rig.login.admin.twoFactor.unlock('alice', { actor: 'test', reason: 'called back' });
    expect(await rig.answer(view, { code: rig.code('alice') })).toMatchObject({ outcome: 'admitted' });
  }, 30_000);
});

describe('bypass codes', () => {
  const why = { actor: 'socket:test', reason: 'lost phone' };
  const make = (reEnrol = false) =>
    rig.login.admin.twoFactor.makeBypassCode('alice', { ...why, ttlMs: 15 * minute, reEnrol });

  it('stand for the code once, for at most an hour', async () => {
    const code = (await make()).expose();
    const result = await rig.answer(await rig.begin('alice'), { code, method: 'bypass' });
    expect(result).toMatchObject({ outcome: 'admitted', view: { method: 'bypass', leftMs: 3_600_000 } });
    expect(await rig.answer(await rig.begin('alice'), { code, method: 'bypass' })).toMatchObject({
      reason: 'wrong-code',
    });
  });

  it('S-03: two at once with one code: one session', async () => {
    const code = (await make()).expose();
    const views = await Promise.all([rig.begin('alice'), rig.begin('alice')]);
    const results = await Promise.all(views.map((view) => rig.answer(view, { code, method: 'bypass' })));
    expect(results.map((one) => one.outcome).toSorted()).toEqual(['admitted', 'again']);
  });

  it('work during a lock, are void when a new one is made, and when their time is over', async () => {
    const first = (await make()).expose();
    const second = (await make()).expose();
    for (let left = 10; left > 0; left -= 2) {
      const view = await rig.begin('alice');
      await rig.answer(view, { code: '000000' });
      await rig.answer(view, { code: '000000' });
    }
    const view = await rig.begin('alice');
    expect((await refusal(rig.answer(view, { code: first, method: 'bypass' }))).code).toBe('rate-limited');
    expect(await rig.answer(view, { code: second.toLowerCase(), method: 'bypass' })).toMatchObject({
      outcome: 'admitted',
    });
    const third = (await make()).expose();
    rig.advance(15 * minute);
    expect(await rig.answer(await rig.begin('alice'), { code: third, method: 'bypass' })).toMatchObject({
      reason: 'wrong-code',
    });
  });

  it('live for more than nothing and for a day at most', async () => {
    const makeFor = (ttlMs: number) =>
      rig.login.admin.twoFactor.makeBypassCode('alice', { ...why, ttlMs, reEnrol: false });
    for (const ttlMs of [-1, 0, bypassTtlMaxMs + 1])
      expect((await refusal(makeFor(ttlMs))).code).toBe('usage');
    for (const ttlMs of [1, bypassTtlMaxMs]) expect((await makeFor(ttlMs)).expose()).toMatch(/^[A-Z2-7-]+$/);
  });

  it('S-01: a login that waits for one is over when set-up becomes due meanwhile, and the code stays good', async () => {
    rig.users.set('erin', buildUser('erin', withFactor({ requiredOn: ['https'] })));
    const code = (
      await rig.login.admin.twoFactor.makeBypassCode('erin', { ...why, ttlMs: 15 * minute, reEnrol: false })
    ).expose();
    const view = await rig.begin('erin');
    expect(view).toMatchObject({ next: 'code' });
    await rig.change('erin', withFactor({ requiredOn: ['https'], forceSetup: true }));
    const answer = { code, method: 'bypass' as const };
    expect((await refusal(rig.answer(view, answer))).code).toBe('challenge-gone');
    expect(rig.login.sessions.list()).toEqual([]);
    await rig.change('erin', withFactor({ requiredOn: ['https'] }));
    expect(await rig.answer(await rig.begin('erin'), answer)).toMatchObject({ outcome: 'admitted' });
  });

  it('a login that waits for one that was used elsewhere hears that the code is wrong', async () => {
    rig.users.set('erin', buildUser('erin', withFactor({ requiredOn: ['https'] })));
    const code = (
      await rig.login.admin.twoFactor.makeBypassCode('erin', { ...why, ttlMs: 15 * minute, reEnrol: false })
    ).expose();
    const [first, second] = [await rig.begin('erin'), await rig.begin('erin')];
    await rig.answer(first, { code, method: 'bypass' });
    expect(await rig.answer(second, { code, method: 'bypass' })).toMatchObject({ reason: 'wrong-code' });
  });

  it('give no lease and no remembered device', async () => {
    const code = (await make()).expose();
    const sftp = { protocol: 'sftp' as const };
    await rig.answer(await rig.begin('alice', sftp), {
      code,
      method: 'bypass',
      rememberDevice: true,
      ...sftp,
    });
    expect(await rig.begin('alice', sftp)).toMatchObject({ next: 'code' });
  });
});

describe('a reset', () => {
  it('is the only way a factor goes away, and nothing of before works after it', async () => {
    const code = rig.code('alice');
    const result = await rig.answer(await rig.begin('alice'), { code });
    const view = await rig.begin('alice');
    const file = rig.enrolments.get('alice');
    await rig.login.admin.twoFactor.reset('alice', { actor: 'test', reason: 'new phone' });
    expect(result.outcome).toBe('admitted');
    expect(rig.login.sessions.list()).toEqual([]);
    expect((await refusal(rig.answer(view, { code: rig.code('alice', 1) }))).code).toBe('challenge-gone');
    expect(rig.state.audit.at(-1)).toMatchObject({ event: 'session.ended' });
    expect(
      rig.state.audit.some((one) => one.event === 'two-factor.reset' && one.detail === 'new phone'),
    ).toBe(true);
    // An old file put back is not believed.
    if (file !== undefined) rig.enrolments.set('alice', file);
    expect(await rig.login.vault.status('alice')).toMatchObject({ state: 'none' });
  });

  it('S-14: an enrolment file that vanished refuses the login instead of dropping the factor', async () => {
    rig.enrolments.delete('alice');
    expect((await refusal(rig.begin('alice'))).code).toBe('refused');
    expect(rig.state.audit.at(-1)?.rule).toContain('no file');
    await rig.login.admin.twoFactor.reset('alice', { actor: 'test', reason: 'file lost' });
    expect(await rig.begin('alice')).toMatchObject({ asked: { method: 'email' } });
  });

  it('S-14: an older enrolment file put back refuses the login', async () => {
    const old = rig.enrolments.get('alice');
    await rig.enrol('alice');
    if (old !== undefined) rig.enrolments.set('alice', old);
    expect((await refusal(rig.begin('alice'))).code).toBe('refused');
    expect(rig.state.audit.at(-1)?.rule).toContain('older');
  });
});
