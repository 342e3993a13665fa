import type { DmzConfig } from '#dmz/config.ts';
import type { OwnBan } from '#dmz/guard/ban-list.ts';
import type { DoorName } from '#dmz/guard/door-listen.ts';
import type { MainHolder } from '#dmz/link/main-link.ts';
import type { ErrorCode } from '#shared/error-codes.ts';

/**
 * What the node's process and its workers say to each other, over the channel that Node gives a child process.
 *
 * Trust: they are one node. A worker that was broken into has the node's keys already; all it can do to the others over
 * this channel is to end them.
 */

/** What a worker is. */
export interface Seat {
  readonly worker: number;
  readonly workers: number;
  /** As the node's process read it: a worker that is started again is like the others. */
  readonly config: DmzConfig;
  readonly configFile: string;
  /** Where root leaves what it found on the box. */
  readonly watched?: string | undefined;
  readonly link: { readonly fd: number } | { readonly host: string; readonly port: number };
  /** Link port of each worker; the first one tells them to main. */
  readonly linkPorts: readonly number[];
  /** Made by the process that was this worker before. */
  readonly bans: readonly OwnBan[];
}

/** `alive`: nothing but that it answers. */
export type Question = 'alive' | 'checks' | 'metrics' | 'reload';

export type ToWorker =
  | { readonly type: 'start'; readonly seat: Seat }
  /** With the connection. */
  | { readonly type: 'connection'; readonly door: DoorName }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  | { readonly type: 'entered'; readonly id: number; readonly hasRoom: boolean }
  /** Which main the other workers have. */
  | { readonly type: 'held-elsewhere'; readonly by?: MainHolder | undefined }
  | { readonly type: 'stop' };

export type FromWorker =
  /** The program runs and waits for its seat. */
  | { readonly type: 'ready' }
  | { readonly type: 'started'; readonly linkPort: number }
  | { readonly type: 'failed'; readonly error: ToldError }
  /** The connection has arrived, and the next may come. */
  | { readonly type: 'taken' }
  | { readonly type: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: ToldError }
  /** A user's place among those who wait for a code. */
  | { readonly type: 'enter'; readonly id: number; readonly user: string }
  | { readonly type: 'leave'; readonly user: string }
  | { readonly type: 'banned'; readonly ban: OwnBan }
  | { readonly type: 'held'; readonly by?: MainHolder | undefined };

export interface ToldError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}
