import type { Login } from './raw-session.ts';

/** One of the two servers, with room for several rows at once. */
export interface Server {
  readonly lanes: readonly Lane[];
  close(): Promise<void>;
}

/** Where a row is told: who signs in, and the files they have. */
export interface Lane {
  readonly login: Login;
  /** Where the files are on this machine. */
  readonly files: string;
  /** What stands before them in the absolute paths the server speaks; nothing where they are the root. */
  readonly prefix: string;
}

/**
 * Rows told at the same time. An answer is a few process switches away, and on a busy machine waiting for them is all
 * the time there is.
 */
export const laneCount = 8;
