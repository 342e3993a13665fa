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
/** How long `status` shows that events of a node were lost; the audit shows it for ever. */
export const problemToldForMs = 24 * 3_600_000;
