import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import { randomId } from '#shared/random-id.ts';
import { buildRig, buildUser, refusal, signAnswer, withFactor, type Rig } from './rig.ts';

let rig: Rig;
let view: ChallengeView;

beforeEach(async () => {
  rig = await buildRig();
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'] })));
  rig.users.set('frank', buildUser('frank'));
  await rig.enrol('alice');
  view = await rig.begin('alice');
});
afterEach(() => rig.close());

function expectNobodyIn(): void {
  expect(rig.login.sessions.list()).toEqual([]);
}

describe('login assertions', () => {
  it('an honest one with the right code opens a session', async () => {
    const result = await rig.answer(view, { code: rig.code('alice') });
    expect(result).toMatchObject({ outcome: 'admitted', view: { username: 'alice', method: 'totp' } });
  });

  const wrong: Partial<{ readonly [C in keyof AssertionClaims]: AssertionClaims[C] }> = {
    iss: 'dmz2',
    aud: 'main2',
    sub: 'frank',
    challenge: randomId(),
    nonce: randomId(),
    purpose: 'enrol',
    amr: ['key', 'otp'],
    method: 'email',
    code_commit: randomId(),
    protocol: 'sftp',
    client_ip: '203.0.113.10',
    client_port: 50_001,
    listener: 'sftp',
    agent: 'another client',
    link: randomId(),
  };

  for (const [claim, value] of Object.entries(wrong)) {
    it(`S-01: refuses another ${claim}, signed with the real key and with the right code`, async () => {
      const code = rig.code('alice');
      const error = await refusal(rig.answer(view, { code, claims: { [claim]: value } }));
      expect(error.code).toBe('refused');
      expect(error.publicMessage).toBe('Sign-in refused');
      expectNobodyIn();
      // A node that signs nonsense has ended that login; the code is not spent by it.
      expect((await refusal(rig.answer(view, { code }))).code).toBe('challenge-gone');
      expect(await rig.answer(await rig.begin('alice'), { code })).toMatchObject({ outcome: 'admitted' });
    });
  }

  for (const amr of [['pwd'], ['otp'], ['pwd', 'otp', 'otp'], ['pwd', 'key']] as AssertionClaims['amr'][]) {
    it(`S-01: refuses amr ${amr.join('+')} where a password and a code were proven`, async () => {
      const error = await refusal(rig.answer(view, { code: rig.code('alice'), claims: { amr } }));
      expect(error.code).toBe('refused');
    });
  }

  for (const method of ['none', 'lease', 'device', 'trusted-network'] as const) {
    it(`S-01: refuses "${method}" where a code was asked, with and without a code`, async () => {
      expect((await refusal(rig.answer(view, { method }))).code).toBe('refused');
      const again = await rig.begin('alice');
      const error = await refusal(rig.answer(again, { method, code: rig.code('alice') }));
      expect(error.code).toBe('refused');
      expectNobodyIn();
    });
  }

  it('S-01: a valid signature without evidence admits nobody', async () => {
    const { assertion } = await signAnswer(view, { code: rig.code('alice') }, rig.node, rig.now());
    const error = await refusal(
      rig.login.loginHandlers['login.assert']({ challenge: view.challenge, assertion }, rig.node.link),
    );
    expect(error.detail).toContain('no code');
    expectNobodyIn();
  });

  it('S-01: refuses a code that is not the committed one', async () => {
    const error = await refusal(rig.answer(view, { code: rig.code('alice'), committed: '000000' }));
    expect(error.detail).toContain('committed');
    expectNobodyIn();
  });

  it('S-01: refuses a code where none was asked', async () => {
    const admit = await rig.begin('frank');
    expect(admit).toMatchObject({ next: 'admit', admitAs: 'none' });
    const error = await refusal(rig.answer(admit, { code: '123456', method: 'none' }));
    expect(error.code).toBe('refused');
    expectNobodyIn();
  });

  it('S-04: a challenge of one node is worth nothing on another', async () => {
    const error = await refusal(rig.answer(view, { code: rig.code('alice'), node: rig.otherNode }));
    expect(error.code).toBe('challenge-gone');
    expect(await rig.answer(view, { code: rig.code('alice') })).toMatchObject({ outcome: 'admitted' });
  });

  it('S-03: refuses the same assertion a second time, on the same challenge', async () => {
    const signed = await signAnswer(view, { code: '000000' }, rig.node, rig.now());
    const send = () =>
      rig.login.loginHandlers['login.assert']({ challenge: view.challenge, ...signed }, rig.node.link);
    expect(await send()).toMatchObject({ outcome: 'again', reason: 'wrong-code' });
    expect((await refusal(send())).detail).toContain('used before');
  });

  it('S-03: refuses an assertion of before a restart', async () => {
    const signed = await signAnswer(view, { code: rig.code('alice') }, rig.node, rig.now());
    const after = await rig.restart();
    const error = await refusal(
      after.login.loginHandlers['login.assert']({ challenge: view.challenge, ...signed }, after.node.link),
    );
    expect(error.code).toBe('challenge-gone');
    after.close();
  });

  it('refuses an assertion 36 s old and one from 6 s ahead', async () => {
    const old = await signAnswer(view, { code: rig.code('alice') }, rig.node, rig.now() - 36_000);
    const early = await signAnswer(view, { code: rig.code('alice') }, rig.node, rig.now() + 6_000);
    for (const signed of [old, early]) {
      const fresh = await rig.begin('alice');
      const error = await refusal(
        rig.login.loginHandlers['login.assert']({ challenge: fresh.challenge, ...signed }, rig.node.link),
      );
      expect(error.code).toBe('refused');
    }
    expectNobodyIn();
  });

  it('a browser may come back over another of its connections, from the same address only', async () => {
    const resume = (client: { ip: string; port: number; agent: string }) =>
      rig.login.loginHandlers['login.resume']({ challenge: view.challenge, client }, rig.node.link);
    const elsewhere = { ip: '198.51.100.1', port: 50_001, agent: 'test client' };
    expect((await refusal(resume(elsewhere))).code).toBe('challenge-gone');
    await resume({ ip: '203.0.113.9', port: 50_001, agent: 'test client' });
    const answer = { code: rig.code('alice'), client: { port: 50_001 } };
    expect(await rig.answer(view, answer)).toMatchObject({ outcome: 'admitted' });
  });

  it('S-04: another client of the same address can not go on with a login', async () => {
    const client = { ip: '203.0.113.9', port: 50_001, agent: 'another client' };
    const resume = rig.login.loginHandlers['login.resume'](
      { challenge: view.challenge, client },
      rig.node.link,
    );
    expect((await refusal(resume)).code).toBe('challenge-gone');
  });

  it('S-01: an assertion that names another kind of code than it was is refused, ends the login and is told', async () => {
    const bypass = await rig.login.admin.twoFactor.makeBypassCode('alice', {
      actor: 'socket:root',
      reason: 'lost phone',
      ttlMs: 900_000,
      reEnrol: false,
    });
    const claimed = { code: bypass.expose(), method: 'totp' as const };
    expect((await refusal(rig.answer(view, claimed))).code).toBe('refused');
    expect(rig.state.audit.at(-1)).toMatchObject({
      event: 'login.refused',
      rule: expect.stringContaining('claim method totp is not what the code is: bypass') as string,
    });
    expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('challenge-gone');
    expectNobodyIn();
  });

  it('S-14: a challenge is over after its life, and not before', async () => {
    rig.advance(119_999);
    expect(await rig.answer(view, { code: '000000' })).toMatchObject({ outcome: 'again' });
    rig.advance(1);
    expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('challenge-gone');
  });

  it('only the node that began a login can cancel it', async () => {
    const cancel = (link: Rig['node']['link']) =>
      rig.login.loginHandlers['login.cancel']({ challenge: view.challenge }, link);
    expect((await refusal(cancel(rig.otherNode.link))).code).toBe('challenge-gone');
    await cancel(rig.node.link);
    expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('challenge-gone');
  });
});
