import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { throttleScopes } from '#main-agent/login/first-factor.ts';
import { buildRig, password, refusal, settle, type Rig } from '../login/rig.ts';

/** Sign-ins that main has no time for. */
describe('a login that there is no capacity for', () => {
  let rig: Rig;
  let free: (() => void)[];
  beforeEach(async () => {
    rig = await buildRig();
    await rig.change('frank', {});
    free = [];
  });
  afterEach(() => {
    for (const end of free) end();
    rig.close();
  });

  /** Both places at the hash are taken, by work that has taken a minute already. */
  function takeAllPlaces(): void {
    const turn = { node: 'dmz1', clientIp: '198.51.100.1', known: true };
    for (let place = 0; place < 2; place += 1)
      void rig.login.passwords.inTurn(turn, () => new Promise<void>((resolve) => free.push(resolve)));
    rig.advance(60_000);
  }

  const attempt = (user: string, text: string) => rig.begin(user, { password: text, patienceMs: 20_000 });
  const events = (): unknown[] => rig.state.audit.map(({ event }) => event);

  it('S-07: is told the same whoever it is, and counts as a wrong password nowhere', async () => {
    takeAllPlaces();
    const told = [];
    for (let time = 0; time < 30; time += 1)
      for (const [user, text] of [
        ['frank', password],
        ['frank', 'wrong'],
        ['nobody', 'wrong'],
      ] as const) {
        const { code, publicMessage, reference } = await refusal(attempt(user, text));
        told.push({ code, publicMessage, reference });
      }
    for (const one of told) expect(one).toEqual(told[0]);
    expect(told[0]).toMatchObject({ code: 'busy', reference: undefined });
    for (const name of ['frank', 'nobody'])
      for (const known of [true, false])
        for (const { scope } of throttleScopes(name, '203.0.113.9', 'dmz1', known))
          expect((await rig.state.read('failures', { scope, nowMs: rig.now() })).inARow).toBe(0);
    expect(events()).not.toContain('login.refused');
  });

  it('is in the audit as one number a minute and node, and in status while it goes on', async () => {
    takeAllPlaces();
    for (let time = 0; time < 7; time += 1) await refusal(attempt('frank', password));
    expect(rig.login.admin.problems().join()).toContain('for want of capacity');
    const { chain } = await rig.login.admin.explainer.explain({
      user: 'frank',
      protocol: 'https',
      ip: '203.0.113.9',
      node: 'dmz1',
    });
    expect(chain.find(({ rule }) => rule === 'password checks')?.result).toBe(
      '0 wait: one more would wait about 60.0 s',
    );
    expect(rig.login.admin.capacity().refused).toEqual(new Map([['dmz1', 7]]));
    expect(events()).not.toContain('login.overloaded');
    await rig.login.close();
    expect(rig.state.audit.filter(({ event }) => event === 'login.overloaded')).toEqual([
      expect.objectContaining({
        node: 'dmz1',
        outcome: 'refused',
        detail: '7 turned away, 0 no longer waited for, from 1 addresses',
      }),
    ]);
    rig.advance(60_001);
    expect(rig.login.admin.problems().join()).not.toContain('capacity');
  });

  it('has taken nobody’s turn at a throttle', async () => {
    for (let tries = 0; tries < 20; tries += 1)
      await refusal(rig.begin('frank', { password: 'wrong', client: { ip: `192.0.2.${tries}` } }));
    takeAllPlaces();
    for (let time = 0; time < 3; time += 1)
      expect((await refusal(attempt('frank', password))).code).toBe('busy');
    for (const end of free.splice(0)) end();
    await settle();
    expect(await attempt('frank', password)).toMatchObject({ next: 'admit' });
    expect((await refusal(rig.begin('frank'))).code).toBe('rate-limited');
  });

  it('is let in once there is capacity, at the first try', async () => {
    takeAllPlaces();
    expect((await refusal(attempt('frank', password))).code).toBe('busy');
    for (const end of free.splice(0)) end();
    await settle();
    expect(await attempt('frank', password)).toMatchObject({ next: 'admit' });
  });
});
