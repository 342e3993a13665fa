/** What all of main knows of an administrator: the role, who calls, and why. Who may do what is the admin API's. */

export type AdminRole = 'viewer' | 'helpdesk' | 'admin';
const ranks: Readonly<Record<AdminRole, number>> = { viewer: 0, helpdesk: 1, admin: 2 };

export function roleCovers(role: AdminRole, needed: AdminRole): boolean {
  return ranks[role] >= ranks[needed];
}

export function lowerRole(one: AdminRole, other: AdminRole): AdminRole {
  return roleCovers(one, other) ? other : one;
}

/** Who calls: `token:<owner>:<id>`, or `socket:<name>` with a name that the caller only states. */
export interface Caller {
  readonly actor: string;
  readonly role: AdminRole;
  /** Acts only on users of these groups; undefined: on all. */
  readonly groups?: readonly string[];
}

/**
 * Who asks for a change, and why; both are audited in the same transaction as the change. What rooms refuse an admin
 * are SallyportErrors: `not-found`, `exists`, `precondition-failed` (etag), `config` (a value that does not fit, told
 * in `detail`), `not-allowed`, `conflict`.
 */
export interface AdminReason {
  readonly actor: string;
  readonly reason: string;
}
