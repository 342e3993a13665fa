import { describe, expect, it } from 'vitest';
import { findSetupObstacle, maySetUp, needsTicket } from '#main-agent/account/enrolment-rules.ts';
import { findChangeObstacle } from '#main-agent/account/self-service.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import { buildConfig, buildUser, withFactor } from '../login/rig.ts';

/** Which sessions may set up an authenticator, and which may change anything. Pure. */

type Parts = Parameters<typeof findSetupObstacle>[0];

function partsWith(twoFactor: object = {}, reEnrol = false): Parts {
  return {
    config: buildConfig({ twoFactor }),
    sessions: { stored: () => ({ reEnrol }) },
  } as unknown as Parts;
}
const sessionOf = (user: Partial<EffectiveUser> = {}, change: Partial<AnySession> = {}): AnySession =>
  ({
    key: 'key',
    node: 'dmz1',
    protocol: 'https',
    method: 'totp',
    user: () => buildUser('carol', user),
    ...change,
  }) as AnySession;
const none: FactorStatus = {
  state: 'none',
  requiredOn: [],
  recoveryCodesLeft: 0,
  firstLoginAtMs: undefined,
  bypass: undefined,
  wrongCodes: { inARow: 0, lockedUntilMs: undefined },
};
const enrolled: FactorStatus = { ...none, state: 'enrolled' };
const broken: FactorStatus = { ...none, state: 'broken', problem: 'no file' };
const off = withFactor({ registration: false });
const forced = withFactor({ registration: false, forceSetup: true });
const anywhere = { enrolment: { over_sftp: true } };

describe('a set-up', () => {
  const cases: [string, [Parts, AnySession, FactorStatus], string | undefined][] = [
    ['where registration is on', [partsWith(), sessionOf(), none], undefined],
    ['where it is off', [partsWith(), sessionOf(off), none], 'two_factor.registration is off'],
    ['where it is off and forced', [partsWith(), sessionOf(forced), none], undefined],
    ['where it is off, in place of one', [partsWith({}, true), sessionOf(off), enrolled], undefined],
    ['of a broken one', [partsWith(), sessionOf(), broken], 'no file'],
    ['in place of a broken one', [partsWith({}, true), sessionOf(), broken], undefined],
    [
      'through a node that is not named',
      [partsWith({ self_service: { enrol: { nodes: ['dmz2'] } } }), sessionOf(), none],
      'self_service.enrol does not allow node dmz1',
    ],
    [
      'through one that is',
      [partsWith({ self_service: { enrol: { nodes: ['dmz1'] } } }), sessionOf(), none],
      undefined,
    ],
    [
      'where it is switched off',
      [partsWith({ self_service: { enrol: 'off' } }), sessionOf(), none],
      'self_service.enrol does not allow node dmz1',
    ],
    ['over SFTP', [partsWith(), sessionOf({}, { protocol: 'sftp' }), none], 'enrolment.over_sftp is off'],
    [
      'over SFTP, where that is on',
      [partsWith(anywhere), sessionOf({}, { protocol: 'sftp' }), none],
      undefined,
    ],
    ...(['lease', 'device', 'trusted-network'] as const).map((method): (typeof cases)[number] => [
      `of a session opened by ${method}`,
      [partsWith(), sessionOf({}, { method }), none],
      `a session opened by ${method} may not`,
    ]),
    ...(['none', 'totp', 'email', 'recovery', 'bypass'] as const).map((method): (typeof cases)[number] => [
      `of a session opened by ${method}`,
      [partsWith(), sessionOf({}, { method }), none],
      undefined,
    ]),
  ];
  it.each(cases)('S-01: %s: %3$s', (_name, asked, obstacle) => {
    expect(findSetupObstacle(...asked)).toBe(obstacle);
  });

  it('S-01: says that it is broken also where nobody knows why', () => {
    const { problem: _problem, ...unexplained } = broken;
    expect(findSetupObstacle(partsWith(), sessionOf(), unexplained)).toBe('the enrolment is broken');
  });

  it('is offered where there is none yet, or where this session may replace it', () => {
    expect(maySetUp(partsWith(), sessionOf(), none)).toBe(true);
    expect(maySetUp(partsWith(), sessionOf(off), none)).toBe(false);
    expect(maySetUp(partsWith(), sessionOf(), enrolled)).toBe(false);
    expect(maySetUp(partsWith({}, true), sessionOf(), enrolled)).toBe(true);
  });

  it('S-01: needs the admin’s code for the first one, where that is required, unless one opened the session', () => {
    const required = { config: buildConfig({ twoFactor: { enrolment: { ticket: 'required' } } }) };
    expect(needsTicket(required, sessionOf(), none)).toBe(true);
    expect(needsTicket(required, sessionOf({}, { method: 'bypass' }), none)).toBe(false);
    expect(needsTicket(required, sessionOf(), enrolled)).toBe(false);
    expect(needsTicket({ config: buildConfig({}) }, sessionOf(), none)).toBe(false);
  });
});

describe('a change of one’s own account', () => {
  const configWith = (selfService: object) => buildConfig({ twoFactor: { self_service: selfService } });

  it('is made on the web, where its own switch allows this node, by who has a password to prove', () => {
    const config = configWith({ password: 'anywhere', ssh_keys: { nodes: ['dmz1'] }, enrol: 'off' });
    const of = (purpose: 'password' | 'ssh-key' | 'recovery-codes', session = sessionOf()) =>
      findChangeObstacle(config, session, purpose);
    expect([of('password'), of('ssh-key'), of('recovery-codes')]).toEqual([
      undefined,
      undefined,
      'self_service.enrol does not allow node dmz1',
    ]);
    const elsewhere = sessionOf({}, { node: 'dmz2' });
    expect([of('password', elsewhere), of('ssh-key', elsewhere)]).toEqual([
      undefined,
      'self_service.ssh_keys does not allow node dmz2',
    ]);
    expect(of('password', sessionOf({}, { protocol: 'sftp' }))).toBe('a session over sftp changes nothing');
    expect(of('password', sessionOf({ passwordHash: undefined }))).toBe('the user has no password to prove');
  });
});
