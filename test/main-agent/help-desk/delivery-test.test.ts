import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SallyportError } from '#shared/error.ts';
import { buildRig, buildUser, refusal, withFactor, type Rig } from '../login/rig.ts';

let rig: Rig;

beforeEach(async () => {
  rig = await buildRig({ sms: true, twoFactor: { delivered: { transport: ['sms', 'smtp'] } } });
  const ways = { email: 'bob@example.com', phone: '+15551230042' };
  rig.users.set('bob', buildUser('bob', withFactor({ requiredOn: ['https'] }, ways)));
  rig.users.set('carol', buildUser('carol'));
});
afterEach(() => rig.close());

describe('a test delivery', () => {
  it('goes by every way a code would, and its code opens nothing', async () => {
    expect(await rig.login.deliveryTester.test('bob')).toEqual([
      { transport: 'sms', address: '…42', tookMs: 0 },
      { transport: 'email', address: 'b…@example.com', tookMs: 0 },
    ]);
    expect(rig.sent.map((one) => [one.transport, one.address, one.code.expose()])).toEqual([
      ['sms', '+15551230042', '000000'],
      ['email', 'bob@example.com', '000000'],
    ]);
    const view = await rig.begin('bob');
    // The code of the login, sent after the test, is another; the chance of the same is one in a million.
    expect(await rig.answer(view, { code: '000000' })).toMatchObject({ reason: 'wrong-code' });
  });

  it('goes by the one way there is', async () => {
    await rig.change('carol', { email: 'carol@example.com' });
    expect(await rig.login.deliveryTester.test('carol')).toEqual([
      { transport: 'email', address: 'c…@example.com', tookMs: 0 },
    ]);
  });

  it('takes nothing from what the user may be sent', async () => {
    await rig.login.deliveryTester.test('bob');
    expect((await rig.begin('bob')).asked).toMatchObject({ sentAgoMs: 0 });
  });

  it('says of each way what became of it', async () => {
    rig.deliver = async ({ transport }) => {
      if (transport === 'sms')
        throw new SallyportError('delivery-failed', 'not sent', { detail: 'gateway: 500' });
      throw new Error('relay refused');
    };
    expect(await rig.login.deliveryTester.test('bob')).toMatchObject([
      { transport: 'sms', problem: 'gateway: 500' },
      { transport: 'email', problem: 'relay refused' },
    ]);
  });

  it('says that there is nobody, or nowhere to send to', async () => {
    expect((await refusal(rig.login.deliveryTester.test('nobody'))).code).toBe('not-found');
    const error = await refusal(rig.login.deliveryTester.test('carol'));
    expect([error.code, error.hint]).toEqual(['not-found', 'set one: sallyport users set carol email=…']);
  });
});
