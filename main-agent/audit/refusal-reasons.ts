import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { isErrorCode } from '#shared/error-codes.ts';

/**
 * Why something was refused, as a word of ours: the rule in a record is a sentence for an admin and may name an address
 * or a user, which no label of a figure may.
 */

/** The first that fits. `test/main-agent/audit/refusal-reasons.test.ts` holds them against what the login says. */
const reasons: readonly (readonly [string, RegExp])[] = [
  ['unknown-user', /^no such user|^the user is gone/],
  ['wrong-password', /^wrong password$/],
  ['wrong-key', /signature|^key |^a key |signed user name/],
  ['banned', /^banned: /],
  ['account', /^status is |^expired after |is not among the user|allow_from|login hours/],
  ['changed-meanwhile', /changed meanwhile$/],
  ['set-up-missing', /set-up|no factor can be asked|^the enrolment/],
  ['switches-disagree', /^validated_logins/],
  ['not-delivered', /could not be delivered/],
  ['wrong-code', /^wrong-code|^clock-drift|^the code inside|^wrong code/],
  ['used-code', /^used-code/],
  ['locked', /^the factor is (disabled|locked)/],
  ['throttled', /throttled/],
  ['too-many-sessions', /^too many sessions/],
  ['no-capacity', /more password checks/],
  [
    'assertion',
    /^claim |^assertion |the (code|change) is not the committed|^(a|no) (code|change) where|^signed for no/,
  ],
];

/** Of a record of a refusal; `other`: none of them. An error's code is its own word. */
export function reasonOf({ rule }: Pick<AuditRecord, 'rule'>): string {
  if (rule === undefined) return 'other';
  if (isErrorCode(rule)) return rule;
  return reasons.find(([, pattern]) => pattern.test(rule))?.[0] ?? 'other';
}
