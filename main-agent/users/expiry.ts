/** `expires` names the last day an account works, in UTC. */
export function isExpired(expires: string | undefined, nowMs: number): boolean {
  return expires !== undefined && nowMs >= Date.parse(`${expires}T00:00:00Z`) + 24 * 3_600_000;
}
