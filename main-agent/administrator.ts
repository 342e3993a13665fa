/** Who asks for a change, and why; both are audited in the same transaction as the change. */
export interface AdminReason {
  readonly actor: string;
  readonly reason: string;
}
