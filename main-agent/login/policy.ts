import type { Protocol } from '#shared/login.ts';

/**
 * The decision after a right first factor, as one total function over every switch. No clock, no store, no user: who
 * calls it has looked everything up, and `explain login` calls it with the same values.
 */

export interface DecisionInput {
  readonly protocol: Protocol;
  /** V: the master switch. */
  readonly validatedLogins: boolean;
  /** The node's own master switch. */
  readonly nodeValidatedLogins: boolean;
  /** U: a second factor is required on this protocol now. */
  readonly required: boolean;
  /** S: a secret is stored. */
  readonly enrolled: boolean;
  /** D: a code can be delivered. */
  readonly deliverable: boolean;
  /** F: no work before set-up is done. */
  readonly forceSetup: boolean;
  /** An admin's bypass code is outstanding. */
  readonly bypass: boolean;
  /** Set-up inside keyboard-interactive is allowed. */
  readonly overSftp: boolean;
  /** The first set-up needs a one-time code of the admin. */
  readonly ticket: boolean;
}

export type Ask = 'totp' | 'delivered' | 'bypass';

export type Decision =
  | { readonly outcome: 'admit' }
  /** A code is asked; a bypass code is accepted wherever one is. */
  | { readonly outcome: 'ask'; readonly ask: Ask; readonly leadsTo: 'admit' | 'setup' }
  /** Confined to set-up. */
  | { readonly outcome: 'setup' }
  /** Refused with the instruction to set up two-factor authentication on the web. */
  | { readonly outcome: 'instruct' }
  | { readonly outcome: 'refuse'; readonly rule: string };

export function decide(input: DecisionInput): Decision {
  const decision = decideByTable(input);
  if (input.validatedLogins === input.nodeValidatedLogins) return decision;
  // Off here and on there: the node refuses by itself until both agree; so do we. On here and off there: it could
  // not run the challenge.
  if (!input.validatedLogins)
    return { outcome: 'refuse', rule: 'validated_logins is off on main and on on the node' };
  return decision.outcome === 'admit'
    ? decision
    : { outcome: 'refuse', rule: 'validated_logins is off on the node, and this login needs a factor' };
}

function decideByTable(input: DecisionInput): Decision {
  const { required, enrolled, deliverable, forceSetup, bypass } = input;
  if (!input.validatedLogins) return { outcome: 'admit' };
  if (enrolled) return required ? { outcome: 'ask', ask: 'totp', leadsTo: 'admit' } : { outcome: 'admit' };
  if (forceSetup) return input.protocol === 'https' ? decideSetup(input) : decideSetupOverSftp(input);
  if (!required) return { outcome: 'admit' };
  if (deliverable) return { outcome: 'ask', ask: 'delivered', leadsTo: 'admit' };
  if (bypass) return { outcome: 'ask', ask: 'bypass', leadsTo: 'admit' };
  return { outcome: 'refuse', rule: 'no factor can be asked: not enrolled, no delivery address' };
}

/**
 * A forced, unenrolled user on the web. Who has the password alone could set up a factor of their own, so whatever else
 * can be asked is asked first, whether or not a factor is required yet.
 */
function decideSetup({ deliverable, bypass, ticket }: DecisionInput): Decision {
  if (ticket) {
    return bypass
      ? { outcome: 'ask', ask: 'bypass', leadsTo: 'setup' }
      : { outcome: 'refuse', rule: 'the first set-up needs a code of the admin (enrolment.ticket)' };
  }
  return deliverable ? { outcome: 'ask', ask: 'delivered', leadsTo: 'setup' } : { outcome: 'setup' };
}

/** Over SFTP the key is shown as text, so something beyond the password must have been proven first. */
function decideSetupOverSftp({ overSftp, deliverable, bypass, ticket }: DecisionInput): Decision {
  if (!overSftp) return { outcome: 'instruct' };
  if (deliverable && !ticket) return { outcome: 'ask', ask: 'delivered', leadsTo: 'setup' };
  return bypass ? { outcome: 'ask', ask: 'bypass', leadsTo: 'setup' } : { outcome: 'instruct' };
}

/** Why a code that is due is not asked. Each is audited as `factor not asked: <why>`. */
export type Waiver = 'trusted-network' | 'lease' | 'device';

/** A waiver stands for a code at login only, never for one that comes before a set-up. */
export function isWaivable(decision: Decision): boolean {
  return decision.outcome === 'ask' && decision.leadsTo === 'admit';
}
