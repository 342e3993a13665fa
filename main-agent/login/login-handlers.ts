import type { LoginHandlers } from '#main-agent/link/handlers.ts';
import { SallyportError } from '#shared/error.ts';
import { parsePublicKeyBlob } from '#shared/ssh-key/parse.ts';
import { findAccountProblem } from '#main-agent/sessions/account-rules.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { sendIntervalMs } from '#main-agent/two-factor/limits.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { Admission } from './admission.ts';
import type { LoginStart } from './begin.ts';
import { viewChallenge } from './challenge-view.ts';
import { challengeLifeMaxMs } from './limits.ts';
import type { Challenge, ChallengeNext, Challenges } from './challenges.ts';
import type { ProbeBudget } from './probe-budget.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly challenges: Challenges;
  readonly probes: ProbeBudget;
  readonly delivered: DeliveredCodes;
  readonly findBan: (username: string, clientIp: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** What main answers a node about logins. */
export function buildLoginHandlers(
  parts: Parts,
  start: Pick<LoginStart, 'begin'>,
  admission: Admission,
  passwordLinks: { readonly redeem: LoginHandlers['login.set-password'] },
): LoginHandlers {
  const { challenges, clock, config, delivered, findBan, log, probes, users } = parts;

  function prolong(record: Challenge, byMs: number): void {
    record.expiresAtMs = Math.min(
      Math.max(record.expiresAtMs, clock.monotonic() + byMs),
      record.startedAtMs + challengeLifeMaxMs,
    );
  }

  /** Of a sealed login: the same answer whether or not there is anybody to whom a code could be sent. */
  function resendUnseen(record: Challenge, next: Extract<ChallengeNext, { kind: 'sealed' }>) {
    const waitMs = next.resendAtMs - clock.monotonic();
    if (!delivered.isConfigured) throw new SallyportError('not-allowed', 'No code is sent for this sign-in');
    if (waitMs > 0)
      throw new SallyportError('rate-limited', 'A code was sent just now', {
        data: { retryAfterMs: waitMs },
      });
    next.resendAtMs = clock.monotonic() + sendIntervalMs;
    prolong(record, config.twoFactor.delivered.ttlMs);
    void next.verdict
      .then(async (verdict) => {
        if (verdict.kind !== 'passed' || verdict.next.kind !== 'code') return;
        if (verdict.next.recipient !== undefined) await delivered.resend(verdict.next.recipient);
      })
      .catch((error: unknown) => log.warn({ err: error }, 'the code of a sealed login was not sent again'));
    return { resendInMs: sendIntervalMs };
  }

  return {
    /** An account that is shut looks like none (S-07). */
    'login.probe': async ({ user: username, key, client }, link) => {
      probes.take(link.node);
      // Whether a key is one of theirs is a part of what is told with the end.
      if (config.twoFactor.isSealed) return { acceptable: readKey(key) !== undefined };
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
      if (next.kind === 'sealed') return resendUnseen(record, next);
      if (next.kind !== 'code' || next.recipient === undefined)
        throw new SallyportError('not-allowed', 'No code is sent for this sign-in');
      const view = await delivered.resend(next.recipient);
      prolong(record, view.expiresInMs);
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
  const blob = readKey(offered);
  return blob !== undefined && stored.some((one) => one.blob.equals(blob));
}

function readKey(offered: string): Buffer | undefined {
  try {
    return parsePublicKeyBlob(Buffer.from(offered, 'base64url')).blob;
  } catch {
    return undefined;
  }
}
