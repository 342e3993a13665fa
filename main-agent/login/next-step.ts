import type { Recipient } from '#main-agent/two-factor/delivered-codes.ts';
import type { CodeMethod } from '#shared/login.ts';
import type { ChallengeNext, DueNext } from './challenges.ts';
import type { Decision } from './policy.ts';

/** From a decision to what a challenge offers, and what an assertion about it may call itself. */

/** No waiver is looked for: that comes after the table. */
export function nextOf(
  decision: Exclude<Decision, { outcome: 'refuse' }>,
  { recovery, recipient }: { readonly recovery: boolean; readonly recipient: Recipient | undefined },
): DueNext {
  switch (decision.outcome) {
    case 'admit':
      return { kind: 'admit', waiver: undefined };
    case 'setup':
      return { kind: 'setup' };
    case 'instruct':
      return { kind: 'instruct' };
    case 'ask': {
      const { ask, leadsTo } = decision;
      return {
        kind: 'code',
        ask,
        leadsTo,
        recovery: ask === 'totp' && recovery,
        recipient: ask === 'delivered' ? recipient : undefined,
      };
    }
  }
}

/** What a node may call the way past the second factor. Empty: there is none. */
export function acceptedMethods(next: ChallengeNext): ReadonlySet<string> {
  switch (next.kind) {
    case 'admit':
      return new Set([next.waiver?.kind ?? 'none']);
    case 'setup':
      return new Set(['none']);
    case 'instruct':
      return new Set();
    case 'code':
      return methodsOf(next);
    case 'sealed':
      return new Set(['sealed']);
  }
}

function methodsOf(next: Extract<ChallengeNext, { kind: 'code' }>): ReadonlySet<string> {
  switch (next.ask) {
    case 'totp':
      return new Set<CodeMethod>(next.recovery ? ['totp', 'recovery', 'bypass'] : ['totp', 'bypass']);
    case 'delivered':
      return new Set<CodeMethod>(['email', 'sms', 'bypass']);
    case 'bypass':
      return new Set<CodeMethod>(['bypass', 'totp']);
  }
}
