/** One thing an operator may want to know is wrong. Made fresh at each question; must be cheap and never throw. */
export interface Check {
  /** Short, stable, kebab-case: monitoring matches on it. */
  readonly name: string;
  readonly ok: boolean;
  /** Why not, in words for an operator; no secrets, nothing a stranger sent. */
  readonly detail?: string;
  /**
   * What a failure means: `health`: this process is broken or misconfigured · `ready`: it works, but can't serve now
   * (the other node is away).
   */
  readonly affects: 'health' | 'ready';
}
