import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import { decodeBase32 } from '#main-agent/two-factor/base32.ts';
import { defaultTotpSettings, stepAt, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import type { Result } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';
import {
  buildRig,
  buildUser,
  refusal,
  settle,
  signAnswer,
  withFactor,
  type Attempt,
  type Rig,
} from '../login/rig.ts';

let rig: Rig;
let id: string;

beforeEach(async () => {
  rig = await buildRig({ twoFactor: { auto_enable: true } });
  rig.users.set('carol', buildUser('carol', { email: 'carol@example.com' }));
  id = await signIn('carol');
});
afterEach(() => rig.close());

async function signIn(username: string, attempt: Attempt = {}): Promise<string> {
  const result = await rig.answer(await rig.begin(username, attempt), attempt);
  if (result.outcome !== 'admitted') throw new Error(result.reason);
  return result.view.session;
}
function find(sessionId: string): AnySession {
  return rig.login.sessions.require(sessionId, rig.node.link);
}
const start = async (session = id) =>
  rig.login.sessionHandlers['enrol.start']({ session }, find(session), rig.node.link);
const confirm = async (session = id) =>
  rig.login.sessionHandlers['enrol.confirm']({ session }, find(session), rig.node.link);
const resume = async (session = id) =>
  rig.login.sessionHandlers['enrol.resume']({ session }, find(session), rig.node.link);

function codeOf(secret: string, steps = 0): string {
  const octets = new Secret(decodeBase32(secret) ?? Buffer.alloc(0));
  return totpCodeAt(octets, stepAt(rig.now(), defaultTotpSettings) + steps, defaultTotpSettings);
}

async function prove(
  pending: { challenge: string; nonce: string },
  code: string,
  options: { session?: string; username?: string; claims?: Parameters<typeof signAnswer>[1]['claims'] } = {},
): Promise<Result<'enrol.prove'>> {
  const session = options.session ?? id;
  const signed = await signAnswer(
    { ...pending, username: options.username ?? 'carol', next: 'code' },
    { code, method: 'totp', claims: { purpose: 'enrol', ...options.claims } },
    rig.node,
    rig.now(),
  );
  return rig.login.sessionHandlers['enrol.prove']({ session, ...signed }, find(session), rig.node.link);
}

const qrTtl = 30_000;
const proveTtl = 120_000;

describe('setting up an authenticator', () => {
  it('shows a 160 bit secret as text, as an otpauth URI and as a picture', async () => {
    const shown = await start();
    expect(shown.secret).toMatch(/^[A-Z2-7]{32}$/);
    expect(shown.otpauthUri).toBe(
      `otpauth://totp/Sallyport:carol?secret=${shown.secret}&issuer=Sallyport&algorithm=SHA1&digits=6&period=30`,
    );
    expect(shown.qr).toMatch(/^data:image\/png;base64,/);
    expect(shown.expiresInMs).toBe(qrTtl);
  });

  it('scan, confirm, prove: saved sealed, required from the next login on, under a new session id', async () => {
    const { secret } = await start();
    const pending = await confirm();
    expect(pending.proveWithinMs).toBe(proveTtl);
    const result = await prove(pending, codeOf(secret));
    if (result.outcome !== 'enrolled') throw new Error(result.reason);
    expect(new Set(result.recoveryCodes).size).toBe(10);
    expect(result.recoveryCodes[0]).toMatch(/^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$/);
    expect(result.requiredOn).toEqual(['https', 'sftp']);
    expect(result.view.state).toBe('signed-in');
    expect(result.view.session).not.toBe(id);
    expect(() => find(id)).toThrow('signed out');
    expect(find(result.view.session).username).toBe('carol');
    expect(rig.enrolments.get('carol')?.secret).toMatch(/^sealed:v1:/);
    expect(JSON.stringify(rig.enrolments.get('carol'))).not.toContain(secret);
    expect(rig.notices.map((one) => one.kind)).toEqual(['two-factor-enrolled']);
    expect(await rig.begin('carol')).toMatchObject({
      next: 'code',
      asked: { method: 'totp', recovery: true },
    });
  });

  it('S-03: the proving code is used up, the next one works', async () => {
    const { secret } = await start();
    const code = codeOf(secret);
    await prove(await confirm(), code);
    expect(await rig.answer(await rig.begin('carol'), { code })).toMatchObject({ reason: 'used-code' });
    expect(await rig.answer(await rig.begin('carol'), { code: codeOf(secret, 1) })).toMatchObject({
      outcome: 'admitted',
    });
  });

  it('with auto_enable off nothing is required until the admin says so', async () => {
    const off = await rig.restart({ twoFactor: { auto_enable: false } });
    rig = off;
    id = await signIn('carol');
    const { secret } = await start();
    expect(await prove(await confirm(), codeOf(secret))).toMatchObject({ requiredOn: [] });
    expect(await off.begin('carol')).toMatchObject({ next: 'admit' });
    await off.change('carol', withFactor({ requiredOn: ['https'] }));
    expect(await off.begin('carol')).toMatchObject({ next: 'code' });
  });

  it('S-01: sessions opened without a factor end when the set-up makes it required', async () => {
    const other = await signIn('carol');
    const { secret } = await start();
    await prove(await confirm(), codeOf(secret));
    expect(() => find(other)).toThrow('signed out');
  });

  it('the session that proved a code stays, also when the user’s file changes and main starts again', async () => {
    const { secret } = await start();
    const result = await prove(await confirm(), codeOf(secret));
    if (result.outcome !== 'enrolled') throw new Error(result.reason);
    await rig.change('carol', { displayName: 'Carol' });
    await settle();
    rig = await rig.restart();
    expect(find(result.view.session).method).toBe('totp');
  });

  it('the picture is good for 30 s, and not a moment longer', async () => {
    await start();
    rig.advance(qrTtl - 1);
    await confirm();
    await start();
    rig.advance(qrTtl);
    expect((await refusal(confirm())).code).toBe('setup-expired');
    expect((await refusal(confirm())).code).toBe('setup-expired');
  });

  it('proving takes at most 2 min from confirming', async () => {
    const { secret } = await start();
    const pending = await confirm();
    rig.advance(proveTtl - 1);
    expect((await resume()).proveWithinMs).toBe(1);
    rig.advance(1);
    expect((await refusal(prove(pending, codeOf(secret)))).code).toBe('setup-expired');
    expect(await rig.login.vault.status('carol')).toMatchObject({ state: 'none' });
  });

  it('proving before confirming is refused and does no harm', async () => {
    const { secret } = await start();
    expect((await refusal(resume())).code).toBe('setup-not-confirmed');
    const guess = { challenge: 'A'.repeat(43), nonce: 'A'.repeat(43) };
    expect((await refusal(prove(guess, codeOf(secret)))).code).toBe('setup-not-confirmed');
    expect(await prove(await confirm(), codeOf(secret))).toMatchObject({ outcome: 'enrolled' });
  });

  it('confirming twice says the same; another worker can ask for it again', async () => {
    await start();
    const first = await confirm();
    rig.advance(1_000);
    const { challenge, nonce } = first;
    expect(await confirm()).toEqual({ challenge, nonce, proveWithinMs: proveTtl - 1_000 });
    expect(await resume()).toEqual({ challenge, nonce, proveWithinMs: proveTtl - 1_000 });
  });

  it('a new picture makes the older one void', async () => {
    const old = await start();
    const { secret } = await start();
    const pending = await confirm();
    expect(await prove(pending, codeOf(old.secret))).toMatchObject({ reason: 'wrong-code', attemptsLeft: 4 });
    expect(await prove(pending, codeOf(secret))).toMatchObject({ outcome: 'enrolled' });
  });

  it('five wrong codes and the set-up is void', async () => {
    const { secret } = await start();
    const pending = await confirm();
    for (const attemptsLeft of [4, 3, 2, 1, 0])
      expect(await prove(pending, '000000')).toEqual({
        outcome: 'again',
        reason: 'wrong-code',
        attemptsLeft,
      });
    expect((await refusal(prove(pending, codeOf(secret)))).code).toBe('setup-expired');
  });

  it('S-04: a pending set-up belongs to the session that started it', async () => {
    const { secret } = await start();
    const pending = await confirm();
    const other = await signIn('carol');
    expect((await refusal(prove(pending, codeOf(secret), { session: other }))).code).toBe('setup-expired');
    await start(other);
    expect((await refusal(prove(pending, codeOf(secret)))).code).toBe('setup-expired');
  });

  for (const claims of [
    { purpose: 'login' as const },
    { challenge: 'A'.repeat(43) },
    { nonce: 'A'.repeat(43) },
    { sub: 'frank' },
    { protocol: 'sftp' as const },
    { link: 'A'.repeat(43) },
    { method: 'none' as const },
  ]) {
    it(`S-01: refuses a proof that says another ${Object.keys(claims).join()}`, async () => {
      const { secret } = await start();
      expect((await refusal(prove(await confirm(), codeOf(secret), { claims }))).code).toBe('refused');
      expect(await rig.login.vault.status('carol')).toMatchObject({ state: 'none' });
    });
  }

  it('S-03: two proofs at once save one secret', async () => {
    const { secret } = await start();
    const pending = await confirm();
    const results = await Promise.allSettled([
      prove(pending, codeOf(secret)),
      prove(pending, codeOf(secret, 1)),
    ]);
    expect(
      results.filter((one) => one.status === 'fulfilled' && one.value.outcome === 'enrolled'),
    ).toHaveLength(1);
  });

  it('S-14: a set-up that can not be written down did not happen, in the file neither', async () => {
    const { secret } = await start();
    const pending = await confirm();
    rig.state.beforeCommit = () => {
      throw new Error('disk full');
    };
    await expect(prove(pending, codeOf(secret))).rejects.toThrow('disk full');
    rig.state.beforeCommit = undefined;
    expect(rig.enrolments.size).toBe(0);
    expect(await prove(pending, codeOf(secret))).toMatchObject({ outcome: 'enrolled' });
  });

  it('who is enrolled can not set up again; who has registration off not at all', async () => {
    const { secret } = await start();
    const result = await prove(await confirm(), codeOf(secret));
    if (result.outcome === 'enrolled') id = result.view.session;
    expect((await refusal(start())).code).toBe('already-enrolled');
    rig.users.set('frank', buildUser('frank', withFactor({ registration: false })));
    id = await signIn('frank');
    expect((await refusal(start())).code).toBe('not-allowed');
  });

  it('not through a node that self_service does not name', async () => {
    rig = await rig.restart({ twoFactor: { self_service: { enrol: { nodes: ['dmz2'] } } } });
    id = await signIn('carol');
    expect((await refusal(start())).code).toBe('not-allowed');
  });

  it('a bypass code with re-enrol lets that one session replace the factor', async () => {
    await rig.change('carol', withFactor({ requiredOn: ['https'] }));
    await rig.enrol('carol');
    const old = rig.enrolments.get('carol')?.id;
    const bypass = await rig.login.admin.twoFactor.makeBypassCode('carol', {
      actor: 'test',
      reason: 'new phone',
      ttlMs: 60_000,
      reEnrol: true,
    });
    const result = await rig.answer(await rig.begin('carol'), { code: bypass.expose(), method: 'bypass' });
    if (result.outcome !== 'admitted') throw new Error(result.reason);
    id = result.view.session;
    const { secret } = await start();
    const proven = await prove(await confirm(), codeOf(secret));
    if (proven.outcome !== 'enrolled') throw new Error(proven.reason);
    expect(rig.enrolments.get('carol')?.id).not.toBe(old);
    id = proven.view.session;
    expect((await refusal(start())).code).toBe('already-enrolled');
    expect(await rig.answer(await rig.begin('carol'), { code: rig.code('carol', 1) })).toMatchObject({
      outcome: 'again',
    });
  });
});

describe('a set-up that is taken from its user meanwhile', () => {
  it('S-01: is neither confirmed, nor resumed, nor proven where it is not allowed any more', async () => {
    const { secret } = await start();
    const pending = await confirm();
    await rig.change('carol', withFactor({ registration: false }));
    for (const work of [confirm(), resume(), prove(pending, codeOf(secret))])
      expect((await refusal(work)).code).toBe('not-allowed');
    expect(rig.enrolments.size).toBe(0);
  });

  it('S-03: by what was committed first is over, and leaves no session behind', async () => {
    const { secret } = await start();
    const pending = await confirm();
    const commit = rig.state.commit.bind(rig.state);
    rig.state.commit = async (changes) =>
      changes.some(({ kind }) => kind === 'set-enrolment')
        ? { ok: false, failed: 'set-enrolment' }
        : commit(changes);
    expect((await refusal(prove(pending, codeOf(secret)))).code).toBe('setup-expired');
    expect(rig.login.sessions.list()).toHaveLength(1);
    expect((rig.login.sessions as Sessions).countOf('carol', 'https')).toBe(1);
  });

  it('S-14: by the disk leaves no session behind', async () => {
    const { secret } = await start();
    const pending = await confirm();
    rig.state.beforeCommit = () => Promise.reject(new Error('disk full'));
    await expect(prove(pending, codeOf(secret))).rejects.toThrow('disk full');
    expect((rig.login.sessions as Sessions).countOf('carol', 'https')).toBe(1);
  });

  it('S-01: ends other sessions without a factor also where it is required later, and on one door only', async () => {
    rig = await rig.restart({ twoFactor: { auto_enable: false } });
    await rig.change('carol', withFactor({ requiredOn: ['sftp'], requiredFrom: { date: '2027-01-15' } }));
    id = await signIn('carol');
    const other = await signIn('carol');
    const { secret } = await start();
    expect(await prove(await confirm(), codeOf(secret))).toMatchObject({ requiredOn: ['sftp'] });
    expect(() => find(other)).toThrow('signed out');
  });

  it('requires nothing where nobody requires it: other sessions go on', async () => {
    rig = await rig.restart({ twoFactor: { auto_enable: false } });
    id = await signIn('carol');
    const other = await signIn('carol');
    const { secret } = await start();
    const result = await prove(await confirm(), codeOf(secret));
    expect(result.outcome).toBe('enrolled');
    expect(find(other).username).toBe('carol');
    expect(rig.state.audit.find(({ event }) => event === 'two-factor.enrolled')?.rule).toBe(
      'not required yet',
    );
  });

  it('S-01: a proof that does not fit is an alarm; a wrong one is in the audit', async () => {
    const logged = buildRecordedLog();
    rig = await rig.restart({ log: logged.log });
    id = await signIn('carol');
    const { secret } = await start();
    const pending = await confirm();
    await prove(pending, '000000');
    expect(rig.state.audit.at(-1)).toMatchObject({
      event: 'two-factor.proof-refused',
      user: 'carol',
      rule: 'wrong code, 4 tries left',
    });
    expect(logged.lines.join('')).not.toContain('proof refused');
    await refusal(prove(pending, codeOf(secret), { claims: { nonce: 'A'.repeat(43) } }));
    expect(logged.lines.join('')).toContain('proof refused');
  });
});

describe('a forced user', () => {
  beforeEach(() => {
    rig.users.set('dave', buildUser('dave', withFactor({ requiredOn: ['https', 'sftp'], forceSetup: true })));
  });

  it('S-01: is confined to set-up on the web, which makes the same session full', async () => {
    expect(await rig.begin('dave')).toMatchObject({ next: 'setup' });
    id = await signIn('dave');
    expect(find(id).state).toBe('setup-required');
    const { secret } = await start();
    const result = await prove(await confirm(), codeOf(secret), { username: 'dave' });
    expect(result).toMatchObject({ outcome: 'enrolled', view: { state: 'signed-in' } });
    expect(await rig.begin('dave')).toMatchObject({ asked: { method: 'totp' } });
  });

  it('S-01: is told where to go on SFTP, and no assertion gets past that', async () => {
    const view = await rig.begin('dave', { protocol: 'sftp' });
    expect(view.next).toBe('instruct');
    expect((await refusal(rig.answer(view, { protocol: 'sftp' }))).code).toBe('refused');
    expect(rig.login.sessions.list().filter((one) => one.username === 'dave')).toEqual([]);
  });

  it('with an address gives the mailed code first', async () => {
    await rig.change('dave', { email: 'dave@example.com' });
    const view = await rig.begin('dave');
    expect(view).toMatchObject({ next: 'code', asked: { method: 'email' } });
    const result = await rig.answer(view, { code: rig.sent[0]?.code.expose() ?? '' });
    expect(result).toMatchObject({ view: { state: 'setup-required', method: 'email' } });
  });

  it('S-01: with a ticket required a voluntary set-up takes the admin’s code, and spends it when it is saved', async () => {
    rig = await rig.restart({ twoFactor: { enrolment: { ticket: 'required' } } });
    const show = (ticket?: string) =>
      rig.login.sessionHandlers['enrol.start'](
        ticket === undefined ? { session: id } : { session: id, ticket },
        find(id),
        rig.node.link,
      );
    expect((await refusal(show())).code).toBe('ticket-required');
    const made = await rig.login.admin.twoFactor.makeBypassCode('carol', {
      actor: 'socket:root',
      reason: 'first phone',
      ttlMs: 900_000,
      reEnrol: false,
    });
    const wrong = await refusal(show('AAAA-AAAA-AAAA'));
    expect([wrong.code, wrong.data]).toEqual(['ticket-required', { attemptsLeft: 4 }]);
    expect(await rig.state.read('failures', { scope: 'code:carol', nowMs: rig.now() })).toMatchObject({
      recent: 1,
    });
    await show(made.expose());
    rig.advance(qrTtl);
    const { secret } = await show(made.expose());
    expect(await prove(await confirm(), codeOf(secret))).toMatchObject({ outcome: 'enrolled' });
    expect((await rig.login.vault.status('carol')).bypass).toBeUndefined();
  });

  it('S-03: a ticket that was spent meanwhile saves nothing', async () => {
    rig = await rig.restart({ twoFactor: { enrolment: { ticket: 'required' } } });
    const why = { actor: 'socket:root', reason: 'first phone', ttlMs: 900_000, reEnrol: false };
    const made = await rig.login.admin.twoFactor.makeBypassCode('carol', why);
    const { secret } = await rig.login.sessionHandlers['enrol.start'](
      { session: id, ticket: made.expose() },
      find(id),
      rig.node.link,
    );
    const pending = await confirm();
    await rig.login.admin.twoFactor.makeBypassCode('carol', why);
    expect((await refusal(prove(pending, codeOf(secret)))).code).toBe('setup-expired');
    expect(await rig.login.vault.status('carol')).toMatchObject({ state: 'none' });
  });

  it('S-01: with a ticket required only an admin’s code leads to set-up', async () => {
    rig = await rig.restart({ twoFactor: { enrolment: { ticket: 'required' } } });
    expect((await refusal(rig.begin('dave'))).code).toBe('refused');
    const ticket = await rig.login.admin.twoFactor.makeBypassCode('dave', {
      actor: 'test',
      reason: 'first day',
      ttlMs: 60_000,
      reEnrol: false,
    });
    const result = await rig.answer(await rig.begin('dave'), { code: ticket.expose(), method: 'bypass' });
    if (result.outcome !== 'admitted') throw new Error(result.reason);
    id = result.view.session;
    const { secret } = await start();
    expect(await prove(await confirm(), codeOf(secret), { username: 'dave' })).toMatchObject({
      outcome: 'enrolled',
    });
  });
});

describe('recovery codes', () => {
  it('S-03: each opens one session, in any spelling; the second time it is used', async () => {
    const { secret } = await start();
    const result = await prove(await confirm(), codeOf(secret));
    if (result.outcome !== 'enrolled') throw new Error(result.reason);
    const [first = '', second = ''] = result.recoveryCodes;
    const answer = async (code: string) => rig.answer(await rig.begin('carol'), { code, method: 'recovery' });
    expect(await answer(first.toLowerCase().replaceAll('-', ' '))).toMatchObject({
      outcome: 'admitted',
      view: { method: 'recovery' },
    });
    expect(await answer(first)).toMatchObject({ reason: 'used-code' });
    expect(await answer(second)).toMatchObject({ outcome: 'admitted' });
    expect((await rig.login.vault.status('carol')).recoveryCodesLeft).toBe(8);
    expect(await answer('AAAA-AAAA-AAAA-AAAA')).toMatchObject({ reason: 'wrong-code' });
    expect(rig.notices.filter((one) => one.kind === 'recovery-code-used')).toHaveLength(2);
  });

  it('S-03: twenty logins at once with one recovery code: one session', async () => {
    const { secret } = await start();
    const result = await prove(await confirm(), codeOf(secret));
    if (result.outcome !== 'enrolled') throw new Error(result.reason);
    const code = result.recoveryCodes[0] ?? '';
    const views = await Promise.all(Array.from({ length: 20 }, () => rig.begin('carol')));
    const results = await Promise.all(views.map((view) => rig.answer(view, { code, method: 'recovery' })));
    expect(results.filter((one) => one.outcome === 'admitted')).toHaveLength(1);
  });
});

describe('a set-up that is proven while another login is under way', () => {
  it('S-01: a login decided without a factor does not stay in once one is required', async () => {
    const { secret } = await start();
    const pending = await confirm();
    const view = await rig.begin('carol');
    expect(view).toMatchObject({ next: 'admit', admitAs: 'none' });

    // The other login has made its decision and waits for the disk while the set-up is saved.
    const reached = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    rig.state.beforeCommit = (changes) => {
      if (!changes.some((one) => one.kind === 'open-session')) return undefined;
      reached.resolve();
      return held.promise;
    };
    const answer = rig.answer(view);
    await reached.promise;
    expect(await prove(pending, codeOf(secret))).toMatchObject({ outcome: 'enrolled' });
    held.resolve();
    expect((await refusal(answer)).code).toBe('challenge-gone');
    expect(rig.login.sessions.list()).toHaveLength(1);
  });
});
