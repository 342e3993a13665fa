/** The numbers of the edge. Each can be replaced when the guard is built, so that tests and admins own them. */
export interface GuardLimits {
  /** Failed first factors from one source in `failureWindowMs` before it is banned. */
  readonly failuresMax: number;
  readonly failureWindowMs: number;
  /** Breaches of a protocol by one source in `failureWindowMs` before it is banned. */
  readonly malformedMax: number;
  /** The first ban; each further one within a day of the last doubles, up to `banMsMax`. */
  readonly banMs: number;
  readonly banMsMax: number;
  /** Failures that a password for a name counts which only attackers try: the third such name is one too many. */
  readonly baitWeight: number;
  /** Sources whose failures are remembered. Past it the one heard of longest ago is forgotten: ~2 KiB each. */
  readonly sourcesMax: number;
  readonly bansMax: number;
  /** A browser opens 6 connections; a whole office may sit behind one address. */
  readonly connectionsPerSourceMax: Readonly<Record<'https' | 'sftp', number>>;
  /** File descriptors and TLS/SSH state of one worker: ~100 KiB each at worst. */
  readonly connectionsMax: Readonly<Record<'https' | 'sftp', number>>;
  /** SSH connections before their first factor, per source. */
  readonly unauthenticatedPerSourceMax: number;
  /** SSH connections before their first factor, in all: refused by chance from `begin` on, always from `full` on (sshd's MaxStartups). */
  readonly startUp: { readonly begin: number; readonly rate: number; readonly full: number };
  /**
   * SSH connections that wait for a code; they no longer fill the start-up limit. Four of a user: what a client that
   * moves files over parallel connections (FileZilla, WinSCP, rclone) opens at once, all answered with one code.
   */
  readonly awaitingCodePerSourceMax: number;
  readonly awaitingCodePerUserMax: number;
  /** Good logins of one user from one source: a burst, then one per `loginEveryMs`. */
  readonly loginBurst: number;
  readonly loginEveryMs: number;
}

const minute = 60_000;
const hour = 60 * minute;

export const defaultGuardLimits: GuardLimits = {
  failuresMax: 15,
  failureWindowMs: 10 * minute,
  malformedMax: 20,
  banMs: 15 * minute,
  banMsMax: 24 * hour,
  baitWeight: 5,
  sourcesMax: 10_000,
  bansMax: 10_000,
  connectionsPerSourceMax: { https: 256, sftp: 64 },
  connectionsMax: { https: 4096, sftp: 2048 },
  unauthenticatedPerSourceMax: 8,
  startUp: { begin: 10, rate: 0.3, full: 60 },
  awaitingCodePerSourceMax: 8,
  awaitingCodePerUserMax: 4,
  loginBurst: 60,
  loginEveryMs: 1000,
};
