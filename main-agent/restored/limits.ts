/** What main is told by and may remember of starts and restores, each bound with its reason. */

/** Option of main-agent/main.ts; takes the reason why an older state is in force now. */
export const acceptRestoredOption = 'accept-restored-state';

/**
 * Starts that are told apart. A node remembers what one of the last few processes told it, for as long as its own
 * process lives; of what is older than these nothing can be said, and nothing is.
 */
export const startsKept = 256;
/** Changes in one commit of an acceptance; a user's recovery codes are at most 32 of them. */
export const changesPerCommit = 128;
/** Records of the audit files that are written into state.db in one commit. */
export const recordsPerCommit = 200;
export const reasonCharactersMax = 256;
/**
 * Numbers that a restore from a backup leaves out, and a main that was moved, for records that main wrote after it and nobody here knows of: a
 * year's of a busy one. No number is given twice, and no audit file here can tell what they said.
 */
export const unknownRecordsMax = 100_000_000;
