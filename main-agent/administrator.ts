/** What all of main knows of an administrator: the role, who calls, and why. Who may do what is the admin API's. */

export const adminRoles = ['viewer', 'helpdesk', 'group-admin', 'admin'] as const;
export type AdminRole = (typeof adminRoles)[number];
/** A group administrator is not above a help desk: the one changes much of few people, the other sees everybody. */
const covered: Readonly<Record<AdminRole, readonly AdminRole[]>> = {
  viewer: ['viewer'],
  helpdesk: ['viewer', 'helpdesk'],
  'group-admin': ['group-admin'],
  admin: adminRoles,
};

export function roleCovers(role: AdminRole, needed: AdminRole): boolean {
  return covered[role].includes(needed);
}

/** The one that the other covers; undefined where neither does. */
export function lowerRole(one: AdminRole, other: AdminRole): AdminRole | undefined {
  if (roleCovers(one, other)) return other;
  return roleCovers(other, one) ? one : undefined;
}

/** Who calls: `token:<owner>:<id>`, or `socket:<name>` with a name that the caller only states. */
export interface Caller {
  readonly actor: string;
  readonly role: AdminRole;
  /** Acts only on users of these groups; undefined: on all. */
  readonly groups?: readonly string[];
  /** Of a group administrator, the user who is one: there are only the users that are theirs. */
  readonly administrator?: string;
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
