import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { commitToChange, purposeOf } from '#shared/assertion/account-change.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { isSallyportError } from '#shared/error.ts';
import type { AccountChange, ChallengeView } from '#shared/link/messages.ts';
import type { EvilDmz } from '#test/harness/evil-dmz.ts';
import { proveSetup, send as sendLogin, signIn } from './login-tries.ts';
import { GotThrough, requireOneOf, requireRefusal, summarize, type Try } from './try.ts';

/** What the user of a session wants of their account, and what somebody who owns the node makes of it. */

const wanted: AccountChange = { kind: 'password', value: 'what the user typed' };
const swapped: AccountChange = { kind: 'password', value: 'what the attacker wants' };

interface Who {
  readonly user: string;
  readonly session: string;
  readonly code?: string;
}

/** A change with everything that goes with it; `signed` is what the assertion is about. */
export async function prepare(
  evil: EvilDmz,
  { user, session, code }: Who,
  change: AccountChange,
  more: { readonly signed?: AccountChange; readonly claims?: Partial<AssertionClaims> } = {},
) {
  const signed = more.signed ?? change;
  const purpose = purposeOf(signed);
  const opened = await evil.request('account.step-up', { session, purpose });
  const { salt, commitment } = commitToChange(signed);
  const view: ChallengeView = { ...opened, username: user, expiresInMs: 0, next: 'code' };
  const changes = { purpose, change: commitment, ...more.claims };
  const { challenge: _challenge, ...evidence } = await evil.assert(view, {
    ...(code !== undefined && { code }),
    changes,
  });
  return { session, change, changeSalt: salt, current: evil.users[user]?.password ?? '', ...evidence };
}

/** `changed`, the reason for another try, or the code of the error. */
async function send(evil: EvilDmz, params: Awaited<ReturnType<typeof prepare>>): Promise<string> {
  try {
    const result = await evil.request('account.change', params);
    return result.outcome === 'again' ? result.reason : result.outcome;
  } catch (error) {
    return isSallyportError(error) ? error.code : String(error);
  }
}

/** Runs it, and sees that the files of these users are what they were. */
async function withoutChange(
  evil: EvilDmz,
  users: readonly string[],
  work: () => Promise<string>,
): Promise<string> {
  const read = (): readonly string[] =>
    users.map((user) => readFileSync(join(evil.files.main.users, `${user}.yaml`), 'utf8'));
  const before = read();
  const refusal = await work();
  if (read().some((text, at) => text !== before[at])) throw new GotThrough('a user’s file was changed');
  return refusal;
}

/** Sets up an authenticator in a session of whoever may, as its user would; a recovery code that came with it. */
export async function enrol(evil: EvilDmz, user: string): Promise<string> {
  const session = await signIn(evil, user);
  const { secret } = await evil.request('enrol.start', { session });
  const begun = await evil.request('enrol.confirm', { session });
  const code = new Authenticator(secret).now();
  const proven = await evil.request('enrol.prove', await proveSetup(evil, session, user, begun, code));
  if (proven.outcome !== 'enrolled') throw new Error(`the set-up of ${user} came to ${proven.reason}`);
  return proven.recoveryCodes[0] ?? '';
}

/** What signing in with a recovery code comes to. */
export async function showRecoveryCode(evil: EvilDmz, user: string, code: string): Promise<string> {
  const challenge = await evil.begin(user);
  return sendLogin(evil, await evil.assert(challenge, { code, changes: { method: 'recovery' } }));
}

export const accountTries: readonly Try[] = [
  {
    id: 'change-by-the-login-code',
    attack: 'changes an account with the code that signed its user in',
    wall: 'S-03-once',
    run: async (evil) => {
      const user = evil.person();
      const challenge = await evil.begin(user);
      const code = await evil.authenticator(user).next();
      const result = await evil.request('login.assert', await evil.assert(challenge, { code }));
      if (result.outcome !== 'admitted') throw new Error('the honest login must work');
      const { session } = result.view;
      return withoutChange(evil, [user], async () =>
        requireOneOf(
          'the code again',
          await send(evil, await prepare(evil, { user, session, code }, wanted)),
          ['used-code'],
        ),
      );
    },
  },
  {
    id: 'change-swapped',
    attack: 'makes another change of the one that a user proved',
    wall: 'S-01-change',
    run: async (evil) => {
      const user = evil.person();
      const session = await signIn(evil, user);
      const who = { user, session, code: await evil.authenticator(user).next() };
      return withoutChange(evil, [user], async () => {
        const other = commitToChange(swapped);
        const sent = [
          ['signed for another', await prepare(evil, who, swapped, { signed: wanted })],
          ['sent another', { ...(await prepare(evil, who, wanted)), change: swapped }],
          ['another salt', { ...(await prepare(evil, who, wanted)), changeSalt: other.salt }],
        ] as const;
        const refusals: string[] = [];
        for (const [what, params] of sent)
          // Of three step-ups opened one after the other the last one counts.
          refusals.push(requireOneOf(what, await send(evil, params), ['refused', 'conflict']));
        const again = { ...(await prepare(evil, who, wanted)), change: swapped };
        refusals.push(requireOneOf('sent another', await send(evil, again), ['refused']));
        const codes = { ...(await prepare(evil, who, wanted)), change: { kind: 'recovery-codes' } as const };
        refusals.push(requireOneOf('recovery codes instead', await send(evil, codes), ['conflict']));
        return summarize(refusals);
      });
    },
  },
  {
    id: 'change-by-another-purpose',
    attack: 'changes an account with what was signed for a login, a set-up or another change',
    wall: 'S-01-claims',
    run: async (evil) => {
      const user = evil.person();
      const session = await signIn(evil, user);
      const code = await evil.authenticator(user).next();
      return withoutChange(evil, [user], async () => {
        const refusals: string[] = [];
        for (const claims of [{ purpose: 'login' }, { purpose: 'enrol' }, { purpose: 'ssh-key' }] as const) {
          const params = await prepare(evil, { user, session, code }, wanted, { claims });
          refusals.push(requireOneOf(claims.purpose, await send(evil, params), ['refused']));
        }
        return summarize(refusals);
      });
    },
  },
  {
    id: 'change-without-a-code',
    attack: 'changes the account of who must give a code without one, whatever it says stands for it',
    wall: 'S-01-code',
    run: async (evil) => {
      const user = evil.person();
      const session = await signIn(evil, user);
      return withoutChange(evil, [user], async () => {
        const refusals: string[] = [];
        for (const method of ['none', 'device', 'lease', 'trusted-network', 'bypass'] as const) {
          const params = await prepare(evil, { user, session }, wanted, { claims: { method } });
          refusals.push(requireOneOf(method, await send(evil, params), ['refused']));
        }
        return summarize(refusals);
      });
    },
  },
  {
    id: 'change-in-another-session',
    attack: 'uses what one session’s user proved in another session, of another user',
    wall: 'S-04-user',
    run: async (evil) => {
      const frank = { user: 'frank', session: await signIn(evil, 'frank') };
      const carols = await signIn(evil, 'carol');
      return withoutChange(evil, ['frank', 'carol'], async () => {
        const params = await prepare(evil, frank, wanted);
        const refusals = [
          requireOneOf('none is open', await send(evil, { ...params, session: carols }), ['conflict']),
        ];
        await evil.request('account.step-up', { session: carols, purpose: 'password' });
        refusals.push(
          requireOneOf('one is open', await send(evil, { ...params, session: carols }), ['refused']),
        );
        const asFrank = await prepare(evil, { user: 'frank', session: carols }, wanted);
        refusals.push(requireOneOf('in his name', await send(evil, asFrank), ['refused']));
        return summarize(refusals);
      });
    },
  },
  {
    id: 'key-not-allowed',
    attack: 'adds an SSH key where the administrator did not allow it',
    wall: 'S-01-change',
    run: async (evil) => {
      const session = await signIn(evil, 'frank');
      return requireRefusal(
        'a step-up for a key',
        evil.request('account.step-up', { session, purpose: 'ssh-key' }),
        'not-allowed',
      );
    },
  },
  {
    id: 'passwords-in-a-session',
    attack: 'tries passwords in a session: the fifth wrong one ends it',
    wall: 'S-13-guesses',
    run: async (evil) => {
      const session = await signIn(evil, 'carol');
      const tries: string[] = [];
      for (let count = 0; count < 5; count += 1) {
        const params = await prepare(evil, { user: 'carol', session }, wanted);
        tries.push(await send(evil, { ...params, current: `guess number ${count}` }));
      }
      const expected = [...Array.from({ length: 4 }, () => 'wrong-password'), 'no-session'];
      if (tries.join() !== expected.join()) throw new GotThrough(tries.join(', '));
      await requireRefusal('afterwards', evil.request('account.view', { session }), 'no-session');
      return summarize(tries);
    },
  },
  {
    id: 'change-thrice',
    attack: 'sends one proof of a change three times at once',
    wall: 'S-03-once',
    run: async (evil) => {
      const user = 'frank';
      const params = await prepare(evil, { user, session: await signIn(evil, user) }, wanted);
      const outcomes = await Promise.all([send(evil, params), send(evil, params), send(evil, params)]);
      const changed = outcomes.filter((one) => one === 'changed').length;
      if (changed > 1) throw new GotThrough(`${changed} changes by one proof`);
      if (changed === 0) throw new Error('the honest change must work');
      return summarize(outcomes.filter((one) => one !== 'changed'));
    },
  },
  {
    id: 'recovery-code-again',
    attack: 'shows a recovery code again that signed its user in',
    wall: 'S-03-once',
    run: async (evil) => {
      const user = 'carol';
      const code = await enrol(evil, user);
      if ((await showRecoveryCode(evil, user, code)) !== 'admitted')
        throw new Error('the recovery code must be good once');
      return requireOneOf('the second time', await showRecoveryCode(evil, user, code), ['used-code']);
    },
  },
];
