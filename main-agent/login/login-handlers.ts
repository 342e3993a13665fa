import type { LoginHandlers } from '#main-agent/link/handlers.ts';
import { SallyportError } from '#shared/error.ts';
import { parsePublicKeyBlob } from '#shared/ssh-key/parse.ts';
import { findAccountProblem } from '#main-agent/sessions/account-rules.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';
import type { Admission } from './admission.ts';
import type { LoginStart } from './begin.ts';
import { viewChallenge } from './challenge-view.ts';
import { challengeLifeMaxMs } from './limits.ts';
import type { Challenges } from './challenges.ts';
import type { ProbeBudget } from './probe-budget.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly challenges: Challenges;
  readonly probes: ProbeBudget;
  readonly delivered: DeliveredCodes;
  readonly findBan: (username: string, clientIp: string) => string | undefined;
  readonly clock: Clock;
}

/** What main answers a node about logins. */
export function buildLoginHandlers(
  parts: Parts,
  start: LoginStart,
  admission: Admission,
  passwordLinks: { readonly redeem: LoginHandlers['login.set-password'] },
): LoginHandlers {
  const { challenges, clock, delivered, findBan, probes, users } = parts;

  return {
    /** An account that is shut looks like none (S-07). */
    'login.probe': async ({ user: username, key, client }, link) => {
      probes.take(link.node);
      const user = users.resolve(username);
      const isStored = isStoredKey(key, user?.sshKeys ?? []);
      if (user === undefined || !isStored) return { acceptable: false };
      const where = { protocol: 'sftp' as const, clientIp: client.ip, nowMs: clock.now() };
      const problem = findBan(user.username, client.ip) ?? findAccountProblem(user, where);
      return { acceptable: problem === undefined };
    },

    'login.begin': (params, link, asker) => start.begin(params, link, asker),

    'login.resume': async ({ challenge, client }, link) =>
      viewChallenge(parts, challenges.resume(challenge, link.node, client)),

    'login.assert': (params, link, asker) => admission.assert(params, link, asker),

    'login.resend': async ({ challenge }, link) => {
      const record = challenges.require(challenge, link.node);
      const { next } = record;
      if (next.kind !== 'code' || next.recipient === undefined)
        throw new SallyportError('not-allowed', 'No code is sent for this sign-in');
      const view = await delivered.resend(next.recipient);
      record.expiresAtMs = Math.min(
        Math.max(record.expiresAtMs, clock.monotonic() + view.expiresInMs),
        record.startedAtMs + challengeLifeMaxMs,
      );
      return { resendInMs: view.resendInMs };
    },

    'login.set-password': (params, link, asker) => passwordLinks.redeem(params, link, asker),

    'login.cancel': async ({ challenge }, link) => {
      // Only the node that began it: an id alone must not end somebody else's login.
      challenges.require(challenge, link.node);
      challenges.end(challenge);
      return {};
    },
  };
}

function isStoredKey(offered: string, stored: readonly { readonly blob: Buffer }[]): boolean {
  try {
    const { blob } = parsePublicKeyBlob(Buffer.from(offered, 'base64url'));
    return stored.some((one) => one.blob.equals(blob));
  } catch {
    return false;
  }
}
