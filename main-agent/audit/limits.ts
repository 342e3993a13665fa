import { edgeEventsMax } from '#shared/link/limits.ts';
import type { RateLimit } from '#shared/rate.ts';

/** Bounds of the audit, each with its reason. */

/** Records copied at a time; bounds memory when the file is far behind. */
export const pageMax = 256;
/** How often a failing file is tried again. */
export const retryMs = 5_000;
/** How far from an end of a file its first or last line is looked for: a record with its assertion takes about 10 KiB. */
export const lineBytesMax = 1024 * 1024;
/** How often files past their retention, and records that state.db need not hold any more, are looked for. */
export const housekeepingIntervalMs = 3_600_000;
/** Records older than this leave state.db once they are safe in a rotated file: what users read out is younger. */
export const auditInStateMs = 30 * 24 * 3_600_000;
/** Records taken out of state.db in one transaction: logins wait behind it. */
export const pruneStep = 2_000;
/** What can be cut from the end unseen by those who hold checkpoints is at most this young. */
export const checkpointIntervalMs = 60_000;
/** For the last one, when main stops: a target that works answers at once. */
export const checkpointCloseMs = 1_500;
/** Records one question may look at: about half a second of main's time, in pieces. */
export const recordsScannedMax = 50_000;
/** Each makes up to three changes, and a commit takes 256. */
export const edgeEventsPerCommit = 64;
/**
 * Refusals of one node that are written down one by one: a password list tried on a company, or a whole office that
 * mistypes on a Monday, fits into the burst; two a second for ever are 100 MiB a day.
 */
export const refusalRate: RateLimit = { burst: 600, perSecond: 2 };
/** What is beyond it is one record each time. */
export const summedEveryMs = 60_000;
/** Events of one node's edge, written and verified: all that an honest one keeps while main is away, then two a second. */
export const edgeRecordRate: RateLimit = { burst: edgeEventsMax, perSecond: 2 };
/** How often a node that is over it is looked at again. */
export const edgeRoomEveryMs = 1000;
/** Of all its workers together: an honest node has one, and one that says it has 64 gets no more memory of main. */
export const edgeEventsPerNodeMax = 2 * edgeEventsMax;
/** How long `status` shows that events of a node were lost; the audit shows it for ever. */
export const problemToldForMs = 24 * 3_600_000;
/** First wait after a failure, doubled up to the last: a receiver that restarts is back in seconds, one that is gone costs little. */
export const readerRetryMsMin = 1_000;
export const readerRetryMsMax = 5 * 60_000;
/** Records looked at together. */
export const readerPageRecords = 100;
/** Records that nobody wanted, after which the place among them is noted. */
export const readerSaveRecords = 1_000;
