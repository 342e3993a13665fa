import { afterEach, beforeEach, expect, it } from 'vitest';
import { driftSuspectUsers } from '#main-agent/two-factor/limits.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import { buildRig, buildUser, withFactor, type Rig } from './rig.ts';

let rig: Rig;
let logged: ReturnType<typeof buildRecordedLog>;
beforeEach(async () => {
  logged = buildRecordedLog();
  rig = await buildRig({ log: logged.log });
});
afterEach(() => rig.close());

it('many users whose codes drift alike are an alarm and a health problem: the wrong clock is ours', async () => {
  for (let count = 1; count <= driftSuspectUsers + 1; count += 1) {
    const name = `user${count}`;
    rig.users.set(name, buildUser(name, withFactor({ requiredOn: ['https'] })));
    await rig.enrol(name);
    const answer = await rig.answer(await rig.begin(name), { code: rig.code(name, -3) });
    expect(answer).toMatchObject({ outcome: 'again', reason: 'wrong-code' });
    expect(rig.login.admin.driftProblem() === undefined).toBe(count < driftSuspectUsers);
  }
  expect(rig.login.admin.driftProblem()).toContain('clock is about 90 s fast');
  expect(logged.lines.filter((line) => line.includes('"alarm":"clock-suspect"'))).toHaveLength(1);
  expect(rig.state.audit.filter(({ event }) => event === 'clock.suspect')).toMatchObject([
    { outcome: 'failed', detail: expect.stringContaining(`${driftSuspectUsers} users`) as string },
  ]);
});

it('a clock that jumped is a health problem until somebody confirmed it', async () => {
  rig.jump(120_000);
  expect(rig.login.admin.clockProblem()).toBe(120_000);
  await rig.login.admin.confirmClock({ actor: 'socket:eva', reason: 'looked at it' });
  expect(rig.login.admin.clockProblem()).toBeUndefined();
});
