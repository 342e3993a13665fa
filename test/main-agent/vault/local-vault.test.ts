import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { buildVault } from '#main-agent/vault/local-vault.ts';
import { defaultTotpSettings, stepAt, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import type { Enrolment } from '#main-agent/users/user-source.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryEnrolments } from '#test/harness/memory-enrolments.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const nowMs = Date.UTC(2026, 10, 24, 12);
const vaultKey = new Secret(randomBytes(32));
const secret = new Secret(randomBytes(20));

function open(
  files = new Map<string, Enrolment>(),
  state = buildMemoryState(() => nowMs),
  prepared = new Map<string, Enrolment>(),
) {
  const vault = buildVault({
    vaultKey,
    departures: { findProblem: () => undefined },
    enrolments: buildMemoryEnrolments(files, prepared),
    state,
    totp: defaultTotpSettings,
    guard: { check: () => undefined },
    clock: { now: () => nowMs, monotonic: () => 0 },
    log: buildLog('silent', {}),
    random: randomBytes,
  });
  const enrol = (replace = false) =>
    vault.enrol({
      username: 'alice',
      secret,
      step: 0,
      requiredOn: ['sftp'],
      recoveryCodes: 2,
      via: { node: 'dmz1', session: 's' },
      replace,
      alongside: () => [],
    });
  const codeAt = (steps: number) =>
    new Secret(totpCodeAt(secret, stepAt(nowMs, defaultTotpSettings) + steps, defaultTotpSettings));
  return { vault, files, prepared, state, enrol, codeAt };
}

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
    const first = await vault.verify('alice', codeAt(0), ['totp']);
    const second = await vault.verify('alice', codeAt(0), ['totp']);
    if (first.kind !== 'right' || second.kind !== 'right') throw new Error('not right');
    expect(await state.commit(first.evidence)).toEqual({ ok: true });
    expect(await state.commit(second.evidence)).toMatchObject({ ok: false });
    expect((await vault.verify('alice', codeAt(0), ['totp'])).kind).toBe('used');
  });

  it('only looks at the kinds that were offered', async () => {
    const { vault, enrol, codeAt } = open();
    const result = await enrol();
    if (!result.ok) throw new Error(result.reason);
    const [recovery = new Secret('')] = result.recoveryCodes;
    expect((await vault.verify('alice', codeAt(0), ['recovery', 'bypass'])).kind).toBe('wrong');
    expect((await vault.verify('alice', recovery, ['totp', 'bypass'])).kind).toBe('wrong');
    expect((await vault.verify('alice', recovery, ['totp', 'recovery'])).kind).toBe('right');
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
      expect((await vault.verify('alice', codeAt(steps), ['totp'])).kind).toBe('used');
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
    await expect(vault.verify('bob', new Secret('123456'), ['totp'])).rejects.toThrow('can not be opened');
  });
});
