import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Change } from '#main-agent/state/state-store.ts';
import { driftReachSteps } from '#main-agent/two-factor/limits.ts';
import { buildVault, type VaultOptions } from '#main-agent/vault/local-vault.ts';
import type {
  EnrolRequest,
  EnrolResult,
  RenewalResult,
  Vault,
  VaultCodeKind,
} from '#main-agent/vault/vault.ts';
import { defaultTotpSettings, stepAt, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import type { Enrolment } from '#main-agent/users/user-source.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryEnrolments } from '#test/harness/memory-enrolments.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import { playVault } from '#test/harness/played-vault.ts';

const nowMs = Date.UTC(2026, 10, 24, 12);
const vaultKey = new Secret(randomBytes(32));
// Fixed, as the time is: of random ones a few in a million have one code at two steps.
const secret = new Secret(Buffer.from('12345678901234567890'));
const otherSecret = new Secret(Buffer.from('09876543210987654321'));

function open(
  files = new Map<string, Enrolment>(),
  state = buildMemoryState(),
  prepared = new Map<string, Enrolment>(),
  changes: Partial<VaultOptions> = {},
) {
  const time = { ms: nowMs };
  const vault = buildVault({
    ask: playVault(vaultKey).ask,
    departures: { findProblem: () => undefined },
    enrolments: buildMemoryEnrolments(files, prepared),
    state,
    totp: defaultTotpSettings,
    guard: { check: () => undefined },
    clock: { now: () => time.ms, monotonic: () => 0 },
    log: buildLog('silent', {}),
    random: randomBytes,
    ...changes,
  });
  const enrol = (replace = false, of: Partial<EnrolRequest> = {}) =>
    vault.enrol({
      username: 'alice',
      secret,
      step: 0,
      requiredOn: ['sftp'],
      recoveryCodes: 2,
      via: { node: 'dmz1', session: 's' },
      replace,
      alongside: () => [],
      ...of,
    });
  /** Enrols and gives the recovery codes back. */
  const enrolled = async (replace = false, of: Partial<EnrolRequest> = {}) =>
    codesOf(await enrol(replace, of));
  const codeAt = (steps: number, of: Secret<Buffer> = secret) =>
    new Secret(totpCodeAt(of, stepAt(time.ms, defaultTotpSettings) + steps, defaultTotpSettings));
  const verdictOn = async (code: Secret, ...kinds: VaultCodeKind[]) =>
    (await verify(vault, 'alice', code, kinds.length > 0 ? kinds : everyKind)).kind;
  /** What spends a code that is right. */
  const evidenceOf = async (code: Secret, ...kinds: VaultCodeKind[]) => {
    const verdict = await verify(vault, 'alice', code, kinds.length > 0 ? kinds : everyKind);
    if (verdict.kind !== 'right') throw new Error(verdict.kind);
    return verdict.evidence;
  };
  const forwardBy = (steps: number): void => {
    time.ms += steps * stepMs;
  };
  return {
    vault,
    files,
    prepared,
    state,
    time,
    enrol,
    enrolled,
    codeAt,
    verdictOn,
    evidenceOf,
    forwardBy,
  };
}

function codesOf(result: EnrolResult | RenewalResult): readonly [Secret, Secret] {
  if (!result.ok) throw new Error('refused');
  const [first, second, ...more] = result.recoveryCodes;
  if (first === undefined || second === undefined || more.length > 0) throw new Error('not two codes');
  return [first, second];
}

/** What no store agrees to. */
const refusedChange: Change = { kind: 'drop-record', list: 'ban', id: 'none' };
const everyKind = ['totp', 'recovery', 'bypass'] as const;
const stepMs = defaultTotpSettings.periodSeconds * 1000;
const current = stepAt(nowMs, defaultTotpSettings);

describe('the vault', () => {
  it('keeps secrets and recovery codes so that neither can be read from the file', async () => {
    const { vault, files, enrol } = open();
    const result = await enrol();
    if (!result.ok) throw new Error(result.reason);
    const file = JSON.stringify(files.get('alice'));
    for (const code of result.recoveryCodes) expect(file).not.toContain(code.expose().replaceAll('-', ''));
    expect(await vault.status('alice')).toMatchObject({
      state: 'enrolled',
      requiredOn: ['sftp'],
      recoveryCodesLeft: 2,
    });
  });

  it('S-15: remembers through which node and session, and when, a factor was enrolled', async () => {
    const { vault, enrol } = open();
    await enrol();
    expect(await vault.status('alice')).toMatchObject({
      via: { node: 'dmz1', session: 's' },
      confirmedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
  });

  it('S-03: verifying spends nothing; the changes it hands out do, once', async () => {
    const { vault, state, enrol, codeAt } = open();
    await enrol();
    const first = await verify(vault, 'alice', codeAt(0), ['totp']);
    const second = await verify(vault, 'alice', codeAt(0), ['totp']);
    if (first.kind !== 'right' || second.kind !== 'right') throw new Error('not right');
    expect(await state.commit(first.evidence)).toEqual({ ok: true });
    expect(await state.commit(second.evidence)).toMatchObject({ ok: false });
    expect((await verify(vault, 'alice', codeAt(0), ['totp'])).kind).toBe('used');
  });

  it('only looks at the kinds that were offered', async () => {
    const { vault, enrol, codeAt } = open();
    const result = await enrol();
    if (!result.ok) throw new Error(result.reason);
    const [recovery = new Secret('')] = result.recoveryCodes;
    expect((await verify(vault, 'alice', codeAt(0), ['recovery', 'bypass'])).kind).toBe('wrong');
    expect((await verify(vault, 'alice', recovery, ['totp', 'bypass'])).kind).toBe('wrong');
    expect((await verify(vault, 'alice', recovery, ['totp', 'recovery'])).kind).toBe('right');
  });

  it('a second enrolment is refused unless it may replace', async () => {
    const { enrol } = open();
    await enrol();
    expect(await enrol()).toEqual({ ok: false, reason: 'already-enrolled' });
  });

  it('S-03: a state store that was lost takes the file over, and revives no code of before', async () => {
    const { files, enrol } = open();
    await enrol();
    const { vault, codeAt, state } = open(files);
    for (const steps of [-1, 0, 1])
      expect((await verify(vault, 'alice', codeAt(steps), ['totp'])).kind).toBe('used');
    expect(await vault.status('alice')).toMatchObject({ state: 'enrolled' });
    expect(state.audit).toMatchObject([{ event: 'two-factor.adopted' }]);
  });

  it('S-03: an enrolment whose commit was refused is never taken over, whatever came after it', async () => {
    const first = open();
    first.state.beforeCommit = (changes) => {
      if (changes.some(({ kind }) => kind === 'set-enrolment')) throw new Error('killed');
    };
    await expect(first.enrol()).rejects.toThrow('killed');
    first.state.beforeCommit = undefined;
    const after = open(first.files, first.state, first.prepared);
    expect(await after.vault.status('alice')).toMatchObject({ state: 'none' });
    expect(await open(first.files, undefined, first.prepared).vault.status('alice')).toMatchObject({
      state: 'none',
    });

    await after.enrol();
    const { id } = await after.vault.status('alice');
    after.state.beforeCommit = first.state.beforeCommit = () => {
      throw new Error('killed');
    };
    await expect(after.enrol(true)).rejects.toThrow('killed');
    after.state.beforeCommit = undefined;
    expect(await open(after.files, after.state, after.prepared).vault.status('alice')).toMatchObject({
      state: 'enrolled',
      id,
    });
    expect(after.state.audit).toEqual([]);
  });

  it('S-03: an enrolment whose commit was the last thing before a crash is in force', async () => {
    const { files, prepared, state, enrol } = open();
    await enrol();
    const inForce = files.get('alice');
    if (inForce === undefined) throw new Error('no file');
    // As the crash left it: not renamed yet.
    files.delete('alice');
    prepared.set('alice', inForce);
    expect(await open(files, state, prepared).vault.status('alice')).toMatchObject({
      state: 'enrolled',
      id: inForce.id,
    });
    expect(files.get('alice')).toEqual(inForce);
  });

  it('S-03: a newer file is refused where the state store knows the user', async () => {
    const { files, state: known, enrol } = open();
    await enrol();
    const { vault, state } = open(files, known);
    const file = files.get('alice');
    if (file === undefined) throw new Error('no file');
    files.set('alice', { ...file, id: 'Z'.repeat(26) });
    expect(await vault.status('alice')).toMatchObject({ state: 'broken' });
    expect(state.audit).toEqual([]);
  });

  it('a file sealed for another user opens for nobody else', async () => {
    const { vault, files, state, enrol } = open();
    await enrol();
    const file = files.get('alice');
    if (file === undefined) throw new Error('no file');
    files.set('bob', file);
    await state.commit([{ kind: 'set-enrolment', user: 'bob', id: file.id, expected: undefined }]);
    const factor = await vault.load('bob');
    expect(factor.status).toMatchObject({
      state: 'broken',
      problem: expect.stringContaining('bob') as string,
    });
    expect(await factor.verify(new Secret('123456'), ['totp'])).toEqual({ kind: 'wrong' });
  });
});

describe('an authenticator’s code', () => {
  it('is right within the accepted skew, told as drift within reach, and wrong beyond', async () => {
    const { vault, enrol, codeAt } = open();
    await enrol();
    for (const steps of [-1, 0, 1])
      expect(await verify(vault, 'alice', codeAt(steps), ['totp'])).toMatchObject({
        kind: 'right',
        method: 'totp',
        reEnrol: false,
      });
    for (const steps of [-driftReachSteps, -2, 2, driftReachSteps])
      expect(await verify(vault, 'alice', codeAt(steps), ['totp'])).toMatchObject({
        kind: 'drifted',
        driftSteps: steps,
      });
    for (const steps of [-driftReachSteps - 1, driftReachSteps + 1])
      expect((await verify(vault, 'alice', codeAt(steps), ['totp'])).kind).toBe('wrong');
  });

  it('may be typed in groups, and is right while no code was ever used', async () => {
    const { files, vault, enrol, codeAt } = open();
    await enrol();
    const file = files.get('alice');
    if (file === undefined) throw new Error('no file');
    // A store that has the enrolment and no step of it.
    const fresh = open(files);
    await fresh.state.commit([{ kind: 'set-enrolment', user: 'alice', id: file.id, expected: undefined }]);
    const code = codeAt(0).expose();
    const typed = new Secret(` ${code.slice(0, 3)}-${code.slice(3)} `);
    expect((await verify(vault, 'alice', typed, ['totp'])).kind).toBe('right');
    expect(await fresh.verdictOn(typed)).toBe('right');
  });

  it('S-03: of a step at or before the last used one is used, of a later one is right', async () => {
    const { state, enrol, codeAt, verdictOn, evidenceOf, forwardBy } = open();
    await enrol();
    expect(await state.commit(await evidenceOf(codeAt(0)))).toEqual({ ok: true });
    expect(await verdictOn(codeAt(-1))).toBe('used');
    expect(await verdictOn(codeAt(0))).toBe('used');
    expect(await verdictOn(codeAt(1))).toBe('right');
    forwardBy(1);
    expect(await verdictOn(codeAt(-1))).toBe('used');
    expect(await verdictOn(codeAt(0))).toBe('right');
  });

  it('S-03: that proved an enrolment does not open a session too', async () => {
    const { enrol, codeAt, verdictOn } = open();
    await enrol(false, { step: current });
    expect(await verdictOn(codeAt(0))).toBe('used');
    expect(await verdictOn(codeAt(1))).toBe('right');
  });

  it('S-03: shown too early is burned: when its time comes it is refused with everything beside it', async () => {
    const { vault, state, enrol, codeAt, evidenceOf, forwardBy } = open();
    await enrol();
    const early = codeAt(5);
    const verdict = await verify(vault, 'alice', early, ['totp']);
    if (verdict.kind !== 'drifted') throw new Error(verdict.kind);
    expect(verdict.burn).toMatchObject([
      // No clock that is wrong by the whole reach, one way and then the other, shows it again.
      { kind: 'use-code', expiresAtMs: (current + 5 + 2 * driftReachSteps) * stepMs },
    ]);
    expect(await state.commit(verdict.burn)).toEqual({ ok: true });
    forwardBy(5);
    expect(await state.commit(await evidenceOf(early))).toEqual({ ok: false, failed: 'use-code' });
    expect(await state.commit(await evidenceOf(codeAt(1)))).toEqual({ ok: true });
  });

  it('S-03: verified for an enrolment that was replaced or reset meanwhile is refused at the commit', async () => {
    const { vault, state, enrol, codeAt, evidenceOf } = open();
    await enrol();
    const before = await evidenceOf(codeAt(0));
    await enrol(true);
    expect(await state.commit(before)).toEqual({ ok: false, failed: 'require-enrolment' });
    const again = await evidenceOf(codeAt(0));
    await vault.reset('alice', []);
    expect(await state.commit(again)).toEqual({ ok: false, failed: 'require-enrolment' });
  });

  it('is wrong for who has none', async () => {
    const { codeAt, verdictOn } = open();
    expect(await verdictOn(codeAt(0))).toBe('wrong');
  });

  it('is not looked at while the clock is doubted; other kinds of codes go on', async () => {
    let jumpedMs: number | undefined;
    const { vault, state, enrolled, codeAt, verdictOn } = open(undefined, undefined, undefined, {
      guard: { check: () => jumpedMs },
    });
    const [recovery] = await enrolled();
    const bypass = await vault.makeBypassCode('alice', { ttlMs: 1000, reEnrol: false });
    await state.commit(bypass.changes);
    jumpedMs = 90_000;
    await expect(verify(vault, 'alice', codeAt(0), everyKind)).rejects.toMatchObject({ code: 'busy' });
    const { setup } = await vault.beginSetup('alice');
    await expect(vault.prove(setup, codeAt(0))).rejects.toMatchObject({ code: 'busy' });
    expect(await verdictOn(recovery)).toBe('right');
    expect(await verdictOn(bypass.code)).toBe('right');
  });

  it('proves a secret that is not stored yet within the accepted skew, and says at which step', async () => {
    const { vault, codeAt: codeOf } = open();
    const { setup, secret: fresh } = await vault.beginSetup('alice');
    const codeAt = (steps: number): Secret => codeOf(steps, fresh);
    for (const steps of [-1, 0, 1]) expect(await vault.prove(setup, codeAt(steps))).toBe(current + steps);
    for (const steps of [-2, 2]) expect(await vault.prove(setup, codeAt(steps))).toBeUndefined();
    const code = codeAt(0).expose();
    expect(await vault.prove(setup, new Secret(`${code.slice(0, 3)} ${code.slice(3)}`))).toBe(current);
    expect(await vault.prove(setup, new Secret('no code'))).toBeUndefined();
  });
});

describe('a recovery code', () => {
  it('S-03: works once, however it is typed, and one less is left', async () => {
    const { vault, state, enrolled, verdictOn, evidenceOf } = open();
    const [first, second] = await enrolled();
    expect(first.expose()).toMatch(/^([A-Z2-7]{4}-){3}[A-Z2-7]{4}$/);
    const typed = new Secret(first.expose().toLowerCase().replaceAll('-', ' '));
    expect(await verify(vault, 'alice', typed, everyKind)).toMatchObject({
      kind: 'right',
      method: 'recovery',
      reEnrol: false,
    });
    const [one, other] = [await evidenceOf(first), await evidenceOf(typed)];
    expect(await state.commit(one)).toEqual({ ok: true });
    expect(await state.commit(other)).toEqual({ ok: false, failed: 'use-code' });
    expect(await verdictOn(first)).toBe('used');
    expect(await verdictOn(second)).toBe('right');
    expect(await vault.status('alice')).toMatchObject({ recoveryCodesLeft: 1 });
  });

  it('of another user, made up, or cut short is wrong', async () => {
    const { vault, enrol, enrolled, verdictOn } = open();
    const [code] = await enrolled();
    await enrol(false, { username: 'bob' });
    expect((await verify(vault, 'bob', code, everyKind)).kind).toBe('wrong');
    expect(await verdictOn(new Secret('AAAA-AAAA-AAAA-AAAA'))).toBe('wrong');
    expect(await verdictOn(new Secret(code.expose().slice(0, -1)))).toBe('wrong');
  });

  it('S-03: verified for an enrolment that was replaced meanwhile is refused at the commit', async () => {
    const { state, enrol, enrolled, evidenceOf } = open();
    const [code] = await enrolled();
    const evidence = await evidenceOf(code);
    await enrol(true);
    expect(await state.commit(evidence)).toEqual({ ok: false, failed: 'require-enrolment' });
  });
});

describe('a bypass code', () => {
  async function outstanding(reEnrol: boolean, changes: Partial<VaultOptions> = {}) {
    const rig = open(undefined, undefined, undefined, changes);
    const { code, changes: force } = await rig.vault.makeBypassCode('alice', { ttlMs: 60_000, reEnrol });
    return { ...rig, code, force };
  }

  it('counts once it is put in force, for one without a factor too, and shows in the status', async () => {
    for (const reEnrol of [true, false]) {
      const { vault, state, code, force, verdictOn } = await outstanding(reEnrol);
      expect(code.expose()).toMatch(/^([A-Z2-7]{4}-){2}[A-Z2-7]{4}$/);
      expect(await verdictOn(code)).toBe('wrong');
      await state.commit(force);
      expect(await vault.status('alice')).toMatchObject({
        state: 'none',
        bypass: { reEnrol, expiresAtMs: nowMs + 60_000 },
      });
      expect(await verify(vault, 'alice', code, everyKind)).toMatchObject({
        kind: 'right',
        method: 'bypass',
        reEnrol,
      });
    }
  });

  it('S-03: works once', async () => {
    const { vault, state, code, force, verdictOn, evidenceOf } = await outstanding(false);
    await state.commit(force);
    const [one, other] = [await evidenceOf(code), await evidenceOf(code)];
    expect(await state.commit(one)).toEqual({ ok: true });
    expect(await state.commit(other)).toEqual({ ok: false, failed: 'use-bypass-code' });
    expect(await verdictOn(code)).toBe('wrong');
    expect(await vault.status('alice')).toMatchObject({ bypass: undefined });
  });

  it('is over when its time is', async () => {
    const { vault, state, time, code, force, verdictOn, evidenceOf } = await outstanding(false);
    await state.commit(force);
    time.ms = nowMs + 59_999;
    expect(await verdictOn(code)).toBe('right');
    expect(await vault.status('alice')).toMatchObject({ bypass: { reEnrol: false } });
    const evidence = await evidenceOf(code);
    expect(evidence).toMatchObject([{ nowMs: nowMs + 59_999 }]);
    for (const late of [60_000, 60_001]) {
      time.ms = nowMs + late;
      expect(await verdictOn(code)).toBe('wrong');
      expect(await vault.status('alice')).toMatchObject({ bypass: undefined });
    }
  });

  it('is one at a time, and of its user alone', async () => {
    const { vault, state, code, force, verdictOn } = await outstanding(false);
    await state.commit(force);
    expect((await verify(vault, 'bob', code, everyKind)).kind).toBe('wrong');
    const next = await vault.makeBypassCode('alice', { ttlMs: 60_000, reEnrol: false });
    await state.commit(next.changes);
    expect(await verdictOn(code)).toBe('wrong');
    expect(await verdictOn(next.code)).toBe('right');
    expect(await verdictOn(new Secret(`${next.code.expose()}A`))).toBe('wrong');
  });

  it('does not count under a name that was given again', async () => {
    const { state, code, force, verdictOn } = await outstanding(true, {
      departures: { findProblem: () => 'given again' },
    });
    await state.commit(force);
    expect(await verdictOn(code)).toBe('wrong');
  });
});

describe('an enrolment', () => {
  it('that replaces one makes the old secret and the old recovery codes worthless, whatever the clock says', async () => {
    const { vault, time, enrolled, codeAt, verdictOn } = open();
    const [old] = await enrolled();
    const { id: before = '' } = await vault.status('alice');
    time.ms = nowMs - 3_600_000;
    const [fresh] = await enrolled(true, { secret: otherSecret });
    const { id: after = '' } = await vault.status('alice');
    expect(after > before).toBe(true);
    expect(await verdictOn(codeAt(0))).toBe('wrong');
    expect(await verdictOn(codeAt(0, otherSecret))).toBe('right');
    expect(await verdictOn(old)).toBe('wrong');
    expect(await verdictOn(fresh)).toBe('right');
  });

  it('goes with its company or not at all; what goes with it is told the id', async () => {
    const { vault, files, enrol, codeAt, verdictOn } = open();
    expect(await enrol(false, { alongside: () => [refusedChange] })).toEqual({
      ok: false,
      reason: 'refused',
    });
    expect(files.size).toBe(0);
    expect(await vault.status('alice')).toMatchObject({ state: 'none' });
    const ids: string[] = [];
    await enrol(false, {
      alongside: (id) => {
        ids.push(id);
        return [];
      },
    });
    expect(ids).toEqual([(await vault.status('alice')).id]);
    expect(await enrol(true, { alongside: () => [refusedChange] })).toMatchObject({ ok: false });
    expect(await vault.status('alice')).toMatchObject({ state: 'enrolled', id: ids[0] });
    expect(await verdictOn(codeAt(0))).toBe('right');
  });

  it('is seen whole or not at all by who asks meanwhile', async () => {
    const { vault, state, enrol, verdictOn, codeAt } = open();
    const commits: (() => void)[] = [];
    state.beforeCommit = () =>
      new Promise((resolve) => {
        commits.push(resolve);
      });
    const enrolling = enrol();
    await expect.poll(() => commits.length).toBe(1);
    const second = enrol();
    const status = vault.status('alice');
    const verdict = verdictOn(codeAt(0));
    const renewal = vault.renewRecoveryCodes({
      username: 'alice',
      recoveryCodes: 2,
      evidence: [],
      alongside: () => [refusedChange],
    });
    state.beforeCommit = undefined;
    commits[0]?.();
    expect(await enrolling).toMatchObject({ ok: true });
    expect(await second).toEqual({ ok: false, reason: 'already-enrolled' });
    expect(await status).toMatchObject({ state: 'enrolled' });
    expect(await verdict).toBe('right');
    expect(await renewal).toEqual({ ok: false, failed: 'drop-record' });
  });

  it('takes the place of a broken one only when it may replace', async () => {
    const { vault, files, enrol, verdictOn, codeAt } = open();
    await enrol();
    files.delete('alice');
    expect(await vault.status('alice')).toMatchObject({ state: 'broken', recoveryCodesLeft: 0 });
    expect(await verdictOn(codeAt(0))).toBe('wrong');
    expect(await enrol()).toEqual({ ok: false, reason: 'already-enrolled' });
    expect(await enrol(true)).toMatchObject({ ok: true });
    expect(await verdictOn(codeAt(0))).toBe('right');
  });

  it('tells when its user first logged in, there or not', async () => {
    const { vault, state, files, enrol } = open();
    await state.commit([{ kind: 'note-login', user: 'alice', clientIp: '192.0.2.1', atMs: 5 }]);
    expect(await vault.status('alice')).toMatchObject({ state: 'none', firstLoginAtMs: 5 });
    await enrol();
    expect(await vault.status('alice')).toMatchObject({ state: 'enrolled', firstLoginAtMs: 5 });
    files.delete('alice');
    expect(await vault.status('alice')).toMatchObject({ state: 'broken', firstLoginAtMs: 5 });
  });
});

describe('renewed recovery codes', () => {
  async function renewable() {
    const rig = open();
    const [old] = await rig.enrolled();
    const renew = (evidence: readonly Change[], alongside: RenewalAlongside = () => []) =>
      rig.vault.renewRecoveryCodes({ username: 'alice', recoveryCodes: 2, evidence, alongside });
    return { ...rig, old, renew };
  }
  type RenewalAlongside = (enrolment: string) => readonly Change[];

  it('take the place of the old; everything else of the enrolment stays', async () => {
    const { vault, old, codeAt, evidenceOf, renew, verdictOn } = await renewable();
    const { id: before = '', ...rest } = await vault.status('alice');
    const ids: string[] = [];
    const result = await renew(await evidenceOf(codeAt(0)), (id) => {
      ids.push(id);
      return [];
    });
    const [fresh] = codesOf(result);
    expect(fresh.expose()).toMatch(/^([A-Z2-7]{4}-){3}[A-Z2-7]{4}$/);
    expect(await verdictOn(old)).toBe('wrong');
    expect(await verdictOn(fresh)).toBe('right');
    const { id: after = '', ...same } = await vault.status('alice');
    expect(same).toEqual(rest);
    expect(after > before).toBe(true);
    expect(ids).toEqual([after]);
  });

  it('S-03: the code that proved the wish is spent under the new id too, and so is an earlier one', async () => {
    const { codeAt, evidenceOf, renew, verdictOn } = await renewable();
    await renew(await evidenceOf(codeAt(0)));
    expect(await verdictOn(codeAt(-1))).toBe('used');
    expect(await verdictOn(codeAt(0))).toBe('used');
    expect(await verdictOn(codeAt(1))).toBe('right');
  });

  it('S-03: the last step stays spent when a recovery code proved the wish', async () => {
    const { state, old, codeAt, evidenceOf, renew, verdictOn } = await renewable();
    await state.commit(await evidenceOf(codeAt(0)));
    codesOf(await renew(await evidenceOf(old)));
    expect(await verdictOn(codeAt(0))).toBe('used');
    expect(await verdictOn(codeAt(1))).toBe('right');
  });

  it.each([-2 * driftReachSteps, -1, 5, 2 * driftReachSteps])(
    'S-03: a code burned for %i steps from now stays burned',
    async (ahead) => {
      const { vault, state, old, codeAt, evidenceOf, renew, forwardBy } = await renewable();
      forwardBy(ahead - 5);
      const verdict = await verify(vault, 'alice', codeAt(5), ['totp']);
      if (verdict.kind !== 'drifted') throw new Error(verdict.kind);
      await state.commit(verdict.burn);
      forwardBy(5 - ahead);
      codesOf(await renew(await evidenceOf(old)));
      forwardBy(ahead);
      expect(await state.commit(await evidenceOf(codeAt(0)))).toEqual({ ok: false, failed: 'use-code' });
      expect(await state.commit(await evidenceOf(codeAt(1)))).toEqual({ ok: true });
    },
  );

  it('need a factor, and one that is not broken', async () => {
    const { vault, files, renew } = await renewable();
    files.delete('alice');
    expect(await renew([])).toEqual({ ok: false, failed: undefined });
    await vault.reset('alice', []);
    expect(await renew([])).toEqual({ ok: false, failed: undefined });
  });

  it('are in force in the file at once, and spend no step where none was spent', async () => {
    const { files, enrolled } = open();
    const [old] = await enrolled();
    const id = files.get('alice')?.id;
    // A store that has the enrolment and no step of it.
    const { vault, state, evidenceOf } = open(files);
    await state.commit([{ kind: 'set-enrolment', user: 'alice', id, expected: undefined }]);
    const evidence = await evidenceOf(old);
    const kinds: string[] = [];
    state.beforeCommit = (changes) => void kinds.push(...changes.map(({ kind }) => kind));
    codesOf(
      await vault.renewRecoveryCodes({ username: 'alice', recoveryCodes: 2, evidence, alongside: () => [] }),
    );
    expect(kinds).toEqual(['require-enrolment', 'use-code', 'set-enrolment']);
    expect((files.get('alice')?.id ?? '') > (id ?? '')).toBe(true);
  });

  it('S-03: are refused for a code that somebody spent first, and the old ones stay', async () => {
    const { state, old, codeAt, evidenceOf, renew, verdictOn } = await renewable();
    const evidence = await evidenceOf(codeAt(0));
    await state.commit(evidence);
    expect(await renew(evidence)).toEqual({ ok: false, failed: 'use-time-step' });
    expect(await verdictOn(old)).toBe('right');
  });
});

describe('a reset', () => {
  it('takes the factor, its files and the bypass code, in one commit with its company', async () => {
    const { vault, state, files, prepared, enrolled, codeAt, verdictOn } = open();
    const [recovery] = await enrolled();
    const { code, changes } = await vault.makeBypassCode('alice', { ttlMs: 1000, reEnrol: true });
    await state.commit(changes);
    await vault.reset('alice', [
      { kind: 'note-login', user: 'alice', clientIp: '192.0.2.1', atMs: 5 },
      { kind: 'note-reminder', user: 'alice', atMs: 5, intervalMs: 1 },
    ]);
    expect(await vault.status('alice')).toMatchObject({
      state: 'none',
      bypass: undefined,
      firstLoginAtMs: 5,
      recoveryCodesLeft: 0,
    });
    for (const one of [recovery, code, codeAt(0)]) expect(await verdictOn(one)).toBe('wrong');
    expect([files.size, prepared.size]).toEqual([0, 0]);
  });

  it('whose commit is refused says so and leaves everything', async () => {
    const { vault, files, enrol, codeAt, verdictOn } = open();
    await enrol();
    await expect(vault.reset('alice', [refusedChange])).rejects.toMatchObject({ code: 'conflict' });
    expect(files.has('alice')).toBe(true);
    expect(await verdictOn(codeAt(0))).toBe('right');
  });

  it('waits its turn', async () => {
    const { vault, state, enrol } = open();
    const commits: (() => void)[] = [];
    state.beforeCommit = () =>
      new Promise((resolve) => {
        commits.push(resolve);
      });
    const enrolling = enrol();
    await expect.poll(() => commits.length).toBe(1);
    state.beforeCommit = undefined;
    const reset = vault.reset('alice', []);
    await new Promise(setImmediate);
    commits[0]?.();
    expect(await enrolling).toMatchObject({ ok: true });
    await reset;
    expect(await vault.status('alice')).toMatchObject({ state: 'none' });
  });

  it('S-03: an old file put back after it counts for nothing, a newer one is refused', async () => {
    const { vault, files, enrol, codeAt, verdictOn } = open();
    await enrol();
    const file = files.get('alice');
    if (file === undefined) throw new Error('no file');
    await vault.reset('alice', []);
    files.set('alice', file);
    expect(await vault.status('alice')).toMatchObject({ state: 'none' });
    expect(await verdictOn(codeAt(0))).toBe('wrong');
    files.set('alice', { ...file, id: 'Z'.repeat(26) });
    expect(await vault.status('alice')).toMatchObject({
      state: 'broken',
      problem: expect.stringContaining(`a newer one than ${file.id}`),
    });
    // The name counts on: the next enrolment is newer than what was reset.
    files.delete('alice');
    await enrol();
    expect(((await vault.status('alice')).id ?? '') > file.id).toBe(true);
  });

  it('S-03: reaches a factor too that the state store had lost', async () => {
    const { files, enrol } = open();
    await enrol();
    const file = files.get('alice');
    if (file === undefined) throw new Error('no file');
    const { vault } = open(files);
    await vault.reset('alice', []);
    files.set('alice', file);
    expect(await vault.status('alice')).toMatchObject({ state: 'none' });
  });
});

describe('what is stored', () => {
  it('S-03: a file that is missing or older than the state store knows is refused with an alarm', async () => {
    const alarms: unknown[] = [];
    const log = buildLog('silent', {});
    log.error = (line: unknown) => void alarms.push(line);
    const { vault, files, enrol, enrolled, codeAt, verdictOn } = open(undefined, undefined, undefined, {
      log,
    });
    const [recovery] = await enrolled();
    const old = files.get('alice');
    if (old === undefined) throw new Error('no file');
    await enrol(true);
    const id = files.get('alice')?.id ?? '';
    expect(alarms).toEqual([]);

    files.set('alice', old);
    expect(await vault.status('alice')).toMatchObject({
      state: 'broken',
      problem: `the enrolment file is ${old.id}, an older one than ${id}`,
    });
    for (const code of [recovery, codeAt(0)]) expect(await verdictOn(code)).toBe('wrong');
    files.delete('alice');
    expect(await vault.status('alice')).toMatchObject({
      state: 'broken',
      problem: `the enrolment ${id} has no file`,
    });
    expect(alarms[0]).toMatchObject({ alarm: 'enrolment-mismatch', user: 'alice' });
  });

  it('S-03: is taken over by a store that lost it up to the last code that is right now', async () => {
    const { files, enrol } = open();
    await enrol();
    const alarms: unknown[] = [];
    const log = buildLog('silent', {});
    log.warn = (line: unknown) => void alarms.push(line);
    const { codeAt, verdictOn, forwardBy } = open(files, undefined, undefined, { log });
    expect(await verdictOn(codeAt(1))).toBe('used');
    expect(alarms).toMatchObject([{ alarm: 'enrolment-adopted', user: 'alice' }]);
    forwardBy(1);
    expect(await verdictOn(codeAt(1))).toBe('right');
  });

  it('is broken as long as it can not be taken over', async () => {
    const { files, enrol } = open();
    await enrol();
    const state = buildMemoryState();
    const refusing = { ...state, commit: async () => ({ ok: false, failed: 'audit' }) as const };
    const { vault, codeAt, verdictOn } = open(files, refusing);
    expect(await vault.status('alice')).toMatchObject({
      state: 'broken',
      problem: expect.stringContaining('could not be taken over'),
    });
    expect(await verdictOn(codeAt(0))).toBe('wrong');
  });

  it('is of nobody once the name was given again, even between reading it and using it', async () => {
    const state = buildMemoryState();
    let problem: string | undefined;
    let isEnrolled = false;
    const { vault, enrolled, codeAt, verdictOn } = open(
      undefined,
      {
        ...state,
        read: async (query, ...params) => {
          const answer = await state.read(query, ...params);
          if (query === 'two-factor-state' && isEnrolled) problem = 'given again';
          return answer;
        },
      },
      undefined,
      { departures: { findProblem: () => problem } },
    );
    const [recovery] = await enrolled();
    isEnrolled = true;
    for (const code of [recovery, codeAt(0)]) expect(await verdictOn(code)).toBe('wrong');
    expect(await vault.status('alice')).toMatchObject({ state: 'broken', problem: 'given again' });
  });
});

async function verify(vault: Vault, username: string, code: Secret, kinds: readonly VaultCodeKind[]) {
  return (await vault.load(username)).verify(code, kinds);
}

describe('another vault key', () => {
  it('breaks every factor it does not open: codes are not wrong, they are not asked, and a record says why', async () => {
    const files = new Map<string, Enrolment>();
    const state = buildMemoryState();
    const before = open(files, state);
    const recovery = await before.enrolled();
    const other = open(files, state, new Map(), { ask: playVault().ask });
    const factor = await other.vault.load('alice');
    expect(factor.status).toMatchObject({
      state: 'broken',
      problem: 'the sealed secret of alice can not be opened',
    });
    for (const code of [...recovery, before.codeAt(1)])
      expect(await factor.verify(code, ['totp', 'recovery'])).toEqual({ kind: 'wrong' });
    // With the right one back nothing is lost.
    expect((await open(files, state).vault.load('alice')).status.state).toBe('enrolled');
  });

  it('seals nothing as long as it opens nothing', async () => {
    const files = new Map<string, Enrolment>();
    const state = buildMemoryState();
    await open(files, state).enrolled();
    const other = open(files, state, new Map(), { ask: playVault().ask });
    await expect(other.enrol(false, { username: 'bob' })).rejects.toMatchObject({
      code: 'busy',
      detail: 'the vault key opens none of 1 stored secrets: it is another key',
    });
    expect([...files.keys()]).toEqual(['alice']);
  });
});
