import type { FileHandlers, StreamHandler } from '#main-agent/link/handlers.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import type { StoredMove } from '#main-agent/state/kept-records.ts';
import type { TransferCount } from './receipts.ts';
import type { RetentionAdmin } from './retention.ts';
import type { Surveys } from './survey.ts';
import type { TransferAdmin } from './transfers.ts';
import type { BinAdmin } from './bins.ts';
import type { TakingBack } from './taking-back.ts';

/**
 * The file service as main's link sees it: a handler per verb and one for byte streams. The rules of mounts, jail,
 * staging and quota live behind it. Implemented in `service.ts`.
 */
export interface FileService {
  readonly handlers: FileHandlers;
  readonly onStream: StreamHandler;
  /** How transfers ended since the start, for metrics. */
  transferCounts(): readonly TransferCount[];
  /** What flows now, for admins. */
  readonly transfers: TransferAdmin;
  /** What users deleted and can have back, for admins. */
  readonly bins: BinAdmin & {
    /** Names of all who have something in it. */
    owners(): readonly string[];
  };
  /** What the rules of mounts delete, for admins. */
  readonly retention: RetentionAdmin & {
    /** Carries them out if that is due; never rejects. */
    runIfDue(): Promise<void>;
  };
  /** What lies on the storages and is not served, for admins. */
  readonly surveys: Surveys & {
    /** Begins what is due, in the background. */
    keepFresh(): void;
  };
  /** Undoes what was done through a node; a rehearsal changes nothing. */
  takeBack(node: string, isRehearsal: boolean): Pick<TakingBack, 'keyOf' | 'undo'>;
  /** Bytes a user's files take, for quota and the account page. */
  usedBytes(username: string): Promise<number>;
  /** A folder or file of that name is there, or it can't be told; `root` is below the storage's base. */
  isOccupied(folder: { readonly storage: string; readonly root: readonly string[] }): Promise<boolean>;
  /**
   * A folder that is called after a user gets another name; nothing where it is not there. Rejects `exists`. `operation`
   * names it, for a process that was killed in it.
   */
  moveFolder(move: StoredMove, operation: string): Promise<void>;
  /** What is in a user's bin is another name's, and goes back to where `moves` took its folder. Resolves with how much. */
  giveBin(username: string, to: string, moves: readonly StoredMove[]): Promise<number>;
  /** Ends handles and streams of a session; partial uploads stay resumable. */
  endSession(session: AnySession): Promise<void>;
  /** When the files of sessions that have ended by now are closed, and their records durable. */
  settled(): Promise<void>;
  close(): Promise<void>;
}
