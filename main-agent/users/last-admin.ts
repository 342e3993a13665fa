import { SallyportError } from '#shared/error.ts';
import { isExpired, type EffectiveUser } from './effective-user.ts';

/**
 * Somebody must be left who may administer (D-57): nothing that main writes into the users folder takes the role from
 * the last who has it, whether by their own file, by a group's or by a whole store. Whoever edits the folder by hand
 * may.
 */

/** Has the role now, from wherever it is inherited. */
export function isAdmin({ adminRole, status, expires }: EffectiveUser, nowMs: number): boolean {
  return adminRole === 'admin' && status === 'active' && !isExpired(expires, nowMs);
}

/** Rejects `not-allowed` when there are admins before and none after. Where there were none, nothing is lost. */
export function requireAdminLeft(
  before: Iterable<EffectiveUser>,
  after: Iterable<EffectiveUser>,
  nowMs: number,
): void {
  const present = [...before].filter((user) => isAdmin(user, nowMs));
  if (present.length === 0 || [...after].some((user) => isAdmin(user, nowMs))) return;
  const [first] = present;
  const named = present.length === 1 ? first?.username : `${first?.username} and ${present.length - 1} more`;
  throw new SallyportError('not-allowed', 'That would leave nobody with the admin role', {
    detail: `active users with admin_role: admin are ${named} now, and would be none`,
    hint: 'give it to another active user first: sallyport users set <user> admin_role=admin',
  });
}
