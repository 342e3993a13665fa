import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import { factorLooksMax, factorLooksPerTurn } from './limits.ts';

/** How far active users are with their second factor, for a monitor: what is left to do before it is required. */

/** `delivered`: none of their own, but a code can be mailed or texted. `unknown`: beyond what is looked at. */
export type FactorReadiness = 'enrolled' | 'delivered' | 'none' | 'broken' | 'unknown';

interface Parts {
  readonly users: UserSource;
  readonly vault: Vault;
  readonly delivered: DeliveredCodes;
}

export async function countFactors(parts: Parts): Promise<Readonly<Record<FactorReadiness, number>>> {
  const active = [...parts.users.list()].filter(({ status }) => status === 'active');
  const unknown = Math.max(0, active.length - factorLooksMax);
  const counts: Record<FactorReadiness, number> = { enrolled: 0, delivered: 0, none: 0, broken: 0, unknown };
  for (const [index, user] of active.slice(0, factorLooksMax).entries()) {
    if (index % factorLooksPerTurn === 0) await nextTurn();
    counts[await readinessOf(parts, user)] += 1;
  }
  return counts;
}

async function readinessOf({ vault, delivered }: Parts, user: EffectiveUser): Promise<FactorReadiness> {
  const { state } = await vault.status(user.username);
  if (state !== 'none') return state;
  return delivered.transportsFor(user).length > 0 ? 'delivered' : 'none';
}
