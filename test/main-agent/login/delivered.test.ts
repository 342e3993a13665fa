import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChallengeView } from '#shared/link/messages.ts';
import { buildRig, buildUser, refusal, withFactor, type Rig } from './rig.ts';

let rig: Rig;

beforeEach(async () => {
  rig = await buildRig();
  rig.users.set(
    'bob',
    buildUser('bob', withFactor({ requiredOn: ['https', 'sftp'] }, { email: 'bob@example.com' })),
  );
});
afterEach(() => rig.close());

const lastCode = (): string => rig.sent.at(-1)?.code.expose() ?? '';
const resend = (view: ChallengeView) =>
  rig.login.loginHandlers['login.resend']({ challenge: view.challenge }, rig.node.link);

describe('codes by mail', () => {
  it('is sent to the address of the user store after the right password, and opens one session', async () => {
    await refusal(rig.begin('bob', { password: 'wrong' }));
    expect(rig.sent).toEqual([]);
    const view = await rig.begin('bob');
    expect(view).toMatchObject({
      next: 'code',
      expiresInMs: 300_000,
      asked: {
        method: 'email',
        hint: 'b…@example.com',
        recovery: false,
        resendInMs: 30_000,
        sentAgoMs: 0,
        shapes: ['digits6', 'bypass'],
        deliveredLength: 6,
      },
    });
    expect(rig.sent[0]).toMatchObject({
      address: 'bob@example.com',
      transport: 'email',
      expiresInMs: 300_000,
    });
    expect(lastCode()).toMatch(/^[0-9]{6}$/);
    expect(await rig.answer(view, { code: lastCode() })).toMatchObject({ view: { method: 'email' } });
  });

  it('a second login with the same user, node, protocol and address joins it; the first right answer takes it', async () => {
    const first = await rig.begin('bob');
    rig.advance(10_000);
    const second = await rig.begin('bob');
    expect(rig.sent).toHaveLength(1);
    expect(second.asked).toMatchObject({ sentAgoMs: 10_000, resendInMs: 20_000 });
    expect(await rig.answer(second, { code: lastCode() })).toMatchObject({ outcome: 'admitted' });
    expect(await rig.answer(first, { code: lastCode() })).toMatchObject({ reason: 'used-code' });
  });

  it('S-03: twenty logins at once make one mail and one session', async () => {
    const views = await Promise.all(Array.from({ length: 20 }, () => rig.begin('bob')));
    expect(rig.sent).toHaveLength(1);
    const results = await Promise.all(views.map((view) => rig.answer(view, { code: lastCode() })));
    expect(results.filter((one) => one.outcome === 'admitted')).toHaveLength(1);
    expect(results.filter((one) => one.outcome === 'again' && one.reason === 'used-code')).toHaveLength(19);
  });

  it('S-03: connections of one client that joined it go on by the lease its first use earned', async () => {
    const sftp = { protocol: 'sftp' as const };
    const views = await Promise.all(Array.from({ length: 4 }, () => rig.begin('bob', sftp)));
    expect(rig.sent).toHaveLength(1);
    const answers = views.map((view) => rig.answer(view, { ...sftp, code: lastCode() }));
    const methods = (await Promise.all(answers)).map((one) =>
      one.outcome === 'admitted' ? one.view.method : one.reason,
    );
    expect(methods.toSorted((one, other) => one.localeCompare(other))).toEqual([
      'email',
      'lease',
      'lease',
      'lease',
    ]);
    expect(rig.state.audit.at(-1)).toMatchObject({
      rule: 'factor not asked: lease (the code was used by another connection)',
    });
  });

  it('S-03: another client that joined it does not ride that lease', async () => {
    const first = { protocol: 'sftp' as const };
    const other = { ...first, client: { agent: 'another client' } };
    const views = [await rig.begin('bob', first), await rig.begin('bob', other)] as const;
    await rig.answer(views[0], { ...first, code: lastCode() });
    expect(await rig.answer(views[1], { ...other, code: lastCode() })).toMatchObject({ reason: 'used-code' });
  });

  it('S-03: a wrong code rides nothing', async () => {
    const sftp = { protocol: 'sftp' as const };
    const views = [await rig.begin('bob', sftp), await rig.begin('bob', sftp)] as const;
    await rig.answer(views[0], { ...sftp, code: lastCode() });
    const wrong = lastCode() === '000000' ? '000001' : '000000';
    expect(await rig.answer(views[1], { ...sftp, code: wrong })).toMatchObject({ reason: 'wrong-code' });
  });

  for (const [name, attempt] of [
    ['protocol', { protocol: 'sftp' as const }],
    ['address', { client: { ip: '203.0.113.10' } }],
  ] as const) {
    it(`S-01: a code is worth nothing on another ${name}`, async () => {
      await rig.begin('bob');
      const code = lastCode();
      rig.advance(30_000);
      const view = await rig.begin('bob', attempt);
      expect(rig.sent).toHaveLength(2);
      // The same six digits twice in a row happen once in a million runs.
      expect(lastCode()).not.toBe(code);
      expect(await rig.answer(view, { code, ...attempt })).toMatchObject({ reason: 'wrong-code' });
    });
  }

  it('inside the send interval a login elsewhere is asked, and nothing is sent', async () => {
    await rig.begin('bob');
    const view = await rig.begin('bob', { client: { ip: '203.0.113.10' } });
    expect(view).toMatchObject({ next: 'code', asked: { method: 'email', resendInMs: 30_000 } });
    expect(view.asked?.sentAgoMs).toBeUndefined();
    expect(rig.sent).toHaveLength(1);
    rig.advance(30_000);
    await resend(view);
    const here = { client: { ip: '203.0.113.10' } };
    expect(await rig.answer(view, { code: lastCode(), ...here })).toMatchObject({ outcome: 'admitted' });
  });

  it('a resend is allowed after 30 s, not before, and makes the older code void', async () => {
    const view = await rig.begin('bob');
    const old = lastCode();
    rig.advance(29_999);
    const error = await refusal(resend(view));
    expect([error.code, error.data?.retryAfterMs]).toEqual(['rate-limited', 1]);
    rig.advance(1);
    expect(await resend(view)).toEqual({ resendInMs: 30_000 });
    // The same six digits twice in a row happen once in a million runs.
    expect(lastCode()).not.toBe(old);
    expect(await rig.answer(view, { code: old })).toMatchObject({ reason: 'wrong-code' });
    expect(await rig.answer(view, { code: lastCode() })).toMatchObject({ outcome: 'admitted' });
  });

  it('at most five sends an hour', async () => {
    const view = await rig.begin('bob');
    for (let sends = 1; sends < 5; sends += 1) {
      rig.advance(30_000);
      await resend(view);
    }
    rig.advance(30_000);
    expect((await refusal(resend(view))).data?.retryAfterMs).toBe(3_600_000 - 5 * 30_000);
  });

  it('a code is dead after its life, and with its user’s own life', async () => {
    const view = await rig.begin('bob');
    rig.advance(300_000);
    expect((await refusal(rig.answer(view, { code: lastCode() }))).code).toBe('challenge-gone');
    await rig.change('bob', withFactor({ requiredOn: ['https'], deliveredTtlMs: 60_000 }));
    expect((await rig.begin('bob')).expiresInMs).toBe(60_000);
  });

  it('a code that is typed after three minutes, or in its last millisecond, is good, and a joiner has what is left', async () => {
    for (const afterMs of [180_000, 299_999]) {
      const view = await rig.begin('bob');
      rig.advance(afterMs - 1);
      expect((await rig.begin('bob')).expiresInMs).toBe(300_001 - afterMs);
      rig.advance(1);
      expect(await rig.answer(view, { code: lastCode() })).toMatchObject({ view: { method: 'email' } });
    }
  });

  it('a failed send is told after the right password only, alarms, and may be tried again at once', async () => {
    rig.deliver = async () => {
      throw new Error('relay refused');
    };
    expect((await refusal(rig.begin('bob', { password: 'wrong' }))).code).toBe('refused');
    const error = await refusal(rig.begin('bob'));
    expect(error.code).toBe('delivery-failed');
    expect(rig.state.audit.at(-1)).toMatchObject({
      rule: 'the code could not be delivered',
      reference: error.reference,
    });
    rig.deliver = undefined;
    expect(await rig.begin('bob')).toMatchObject({ asked: { method: 'email', sentAgoMs: 0 } });
  });

  it('without a relay there is no address to send to', async () => {
    rig.close();
    rig = await buildRig({ smtp: false });
    rig.users.set(
      'bob',
      buildUser('bob', withFactor({ requiredOn: ['https'] }, { email: 'bob@example.com' })),
    );
    expect((await refusal(rig.begin('bob'))).code).toBe('refused');
  });

  it('S-01: a delivered code is no answer once the user is enrolled', async () => {
    const view = await rig.begin('bob');
    await rig.enrol('bob');
    expect((await refusal(rig.answer(view, { code: lastCode() }))).code).toBe('challenge-gone');
    expect(await rig.begin('bob')).toMatchObject({ asked: { method: 'totp' } });
    expect(rig.sent).toHaveLength(1);
  });

  it('wrong codes count for the same lock', async () => {
    for (let logins = 0; logins < 5; logins += 1) {
      const view = await rig.begin('bob');
      const wrong = lastCode() === '000000' ? '000001' : '000000';
      await rig.answer(view, { code: wrong });
      await rig.answer(view, { code: wrong });
    }
    expect((await refusal(rig.answer(await rig.begin('bob'), { code: lastCode() }))).code).toBe(
      'rate-limited',
    );
  });
});

describe('codes by mail and a restart of main', () => {
  const restart = async (): Promise<void> => {
    rig = await rig.restart();
  };

  it('a code that was sent before opens a new login after, without another mail, for the rest of its life', async () => {
    const view = await rig.begin('bob');
    const code = lastCode();
    rig.advance(240_000);
    await restart();
    expect((await refusal(rig.answer(view, { code }))).code).toBe('challenge-gone');
    const after = await rig.begin('bob');
    expect(rig.sent).toEqual([]);
    expect(after).toMatchObject({
      expiresInMs: 60_000,
      asked: { method: 'email', hint: 'b…@example.com', sentAgoMs: 240_000 },
    });
    const wrong = code === '000000' ? '000001' : '000000';
    expect(await rig.answer(after, { code: wrong })).toMatchObject({ reason: 'wrong-code' });
    expect(await rig.answer(after, { code })).toMatchObject({ view: { method: 'email' } });
  });

  it('S-03: a code whose use was written, but not answered, stays used', async () => {
    const view = await rig.begin('bob');
    const code = lastCode();
    await rig.answer(view, { code });
    rig.advance(30_000);
    await restart();
    const after = await rig.begin('bob');
    expect(rig.sent).toHaveLength(1);
    expect(lastCode()).not.toBe(code);
    expect(await rig.answer(after, { code })).toMatchObject({ reason: 'used-code' });
  });

  it('S-03: inside the send interval a used code is known as used, and nothing is sent', async () => {
    const view = await rig.begin('bob');
    const code = lastCode();
    await rig.answer(view, { code });
    await restart();
    const after = await rig.begin('bob');
    expect(rig.sent).toEqual([]);
    expect(after.asked?.sentAgoMs).toBeUndefined();
    expect(await rig.answer(after, { code })).toMatchObject({ reason: 'used-code' });
  });

  it('S-03: main that dies before the use is written leaves the code good, once', async () => {
    const view = await rig.begin('bob');
    const code = lastCode();
    rig.state.beforeCommit = () => Promise.reject(new Error('killed'));
    await expect(rig.answer(view, { code })).rejects.toThrow('killed');
    rig.state.beforeCommit = undefined;
    await restart();
    expect(await rig.answer(await rig.begin('bob'), { code })).toMatchObject({ outcome: 'admitted' });
    expect(await rig.answer(await rig.begin('bob'), { code })).toMatchObject({ reason: 'used-code' });
  });

  it('main that dies between the mail and its record sends another, rather than wait for one nobody has', async () => {
    rig.state.beforeCommit = () => Promise.reject(new Error('killed'));
    await expect(rig.begin('bob')).rejects.toThrow('killed');
    rig.state.beforeCommit = undefined;
    await restart();
    expect(await rig.begin('bob')).toMatchObject({ asked: { sentAgoMs: 0 } });
    expect(rig.sent).toHaveLength(1);
  });

  it('a code made void by a resend stays void, also when the newer one is dead', async () => {
    const view = await rig.begin('bob');
    const old = lastCode();
    rig.advance(30_000);
    await rig.change('bob', withFactor({ requiredOn: ['https'], deliveredTtlMs: 60_000 }));
    await resend(view);
    await restart();
    expect(await rig.answer(await rig.begin('bob'), { code: old })).toMatchObject({ reason: 'wrong-code' });
    rig.advance(60_000);
    await restart();
    expect(await rig.answer(await rig.begin('bob'), { code: old })).toMatchObject({ reason: 'wrong-code' });
  });

  it('five sends an hour are five, however often main restarts', async () => {
    for (let sends = 0; sends < 5; sends += 1) {
      await rig.begin('bob', { client: { ip: `203.0.113.${sends}` } });
      rig.advance(30_000);
      await restart();
    }
    const view = await rig.begin('bob', { client: { ip: '203.0.113.99' } });
    expect(view.asked).toMatchObject({ resendInMs: 3_600_000 - 5 * 30_000 });
    expect(rig.sent).toEqual([]);
  });

  it('a clock that went back makes a living code dead, not longer', async () => {
    await rig.begin('bob');
    const code = lastCode();
    rig.jump(-1);
    await restart();
    expect(await rig.answer(await rig.begin('bob'), { code })).toMatchObject({ reason: 'wrong-code' });
  });

  it('S-01: is kept as a fingerprint only', async () => {
    await rig.begin('bob');
    expect(JSON.stringify(await rig.state.read('delivered-codes', { nowMs: rig.now() }))).not.toContain(
      lastCode(),
    );
  });
});
