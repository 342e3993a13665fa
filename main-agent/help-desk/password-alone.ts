import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { type Protocol } from '#shared/login.ts';
import { findAccountProblem } from '#main-agent/sessions/account-rules.ts';
import { assess } from '#main-agent/login/assessment.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';
import { passwordAloneLooksMax, passwordAloneNamedMax } from './limits.ts';

/** Who is let in with a password and nothing else: as safe as the password is, and often nobody's intention. */

export interface PasswordAlone {
  readonly count: number;
  /** The first ones by name. */
  readonly names: readonly string[];
  /** False: there were more candidates than are looked at. */
  readonly isComplete: boolean;
}

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly vault: Vault;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

/** With `validated_logins` off it is everybody, which is told elsewhere: counts nobody then. */
export async function findPasswordAlone(parts: Parts): Promise<PasswordAlone> {
  const { config, users } = parts;
  if (!config.twoFactor.validatedLogins) return { count: 0, names: [], isComplete: true };
  const candidates = [...users.list()].filter(mayBeAdmitted).toSorted(byName);
  const found: string[] = [];
  for (const user of candidates.slice(0, passwordAloneLooksMax))
    if ((await findOpenProtocols(parts, user)).length > 0) found.push(user.username);
  return {
    count: found.length,
    names: found.slice(0, passwordAloneNamedMax),
    isComplete: candidates.length <= passwordAloneLooksMax,
  };
}

/** On which protocols this user's password opens everything. */
async function findOpenProtocols(parts: Parts, user: EffectiveUser): Promise<readonly Protocol[]> {
  const { clock, config, delivered, vault } = parts;
  const nowMs = clock.now();
  const status = await vault.status(user.username);
  // Wherever and whenever the login comes from.
  const anywhere = { ...user, allowFrom: undefined, hours: undefined };
  return user.protocols.filter((protocol) => {
    if (findAccountProblem(anywhere, { protocol, clientIp: '', nowMs }) !== undefined) return false;
    const situation = { protocol, nowMs, nodeValidatedLogins: true, config, delivered };
    return assess(user, status, situation).decision.outcome === 'admit';
  });
}

/** What needs no look at the vault: most users' files ask for a factor on everything they have. */
function mayBeAdmitted({ passwordHash, protocols, status, twoFactor }: EffectiveUser): boolean {
  if (passwordHash === undefined || status !== 'active') return false;
  const isAlwaysAsked =
    twoFactor.requiredFrom === undefined && protocols.every((one) => twoFactor.requiredOn.includes(one));
  return !isAlwaysAsked;
}

function byName(one: EffectiveUser, other: EffectiveUser): number {
  return one.username < other.username ? -1 : 1;
}
