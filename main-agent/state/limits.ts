/** Bounds of the state store, each with its reason. */

/**
 * Requests waiting for the writer thread. A full group commit answers thousands a second, so more than this means
 * that the disk hangs; refusing new logins is then right (S-14), and memory stays bounded.
 */
export const requestsInFlightMax = 4096;

/** Commits in one transaction: the first of a long batch should not wait for all of it. */
export const commitsPerTransactionMax = 512;

/** Changes in one commit; the largest that occurs (an enrolment) has about ten. */
export const changesPerCommitMax = 256;

/** Pages of state.db copied at once, a megabyte: the writer waits for so many, and no longer. */
export const copyPagesAtOnce = 256;

/** Records one audit query may return. */
export const auditPageMax = 1000;

/** Records shown for one reference: one login writes a handful. */
export const auditPerReferenceMax = 100;

/**
 * Changes of accounts one query returns, and how long they are kept: longer than a break-in stays unnoticed. Each cost
 * its user a step-up, so that they are few.
 */
export const accountChangesPageMax = 10_000;
export const keepAccountChangesMs = 2 * 365 * 24 * 3_600_000;

/** How often rows that can't matter any more are deleted. */
export const sweepIntervalMs = 10 * 60_000;

/**
 * How long a row outlives its expiry. A used code that is forgotten could be used again if the clock went back, so
 * the margin is far above any code's life.
 */
export const keepAfterExpiryMs = 24 * 3_600_000;

/** A sent code is remembered as long as it counts against its user's sends an hour. */
export const keepDeliveredCodesMs = 3_600_000;

/** Failure counters of codes at rest; those near the limits of "in a row" stay until they are cleared. */
export const keepFailuresMs = 90 * 24 * 3_600_000;
export const inARowKeptFor = 10;

/** How long `close` waits for the writer to finish before it is ended. */
export const closeWaitMs = 10_000;

/** Addresses remembered for each user, and for how long: what the contract promises. */
export const goodLoginsPerUserMax = 256;
export const keepGoodLoginsMs = 30 * 24 * 3_600_000;

/** That a file operation was told is remembered as long as it may be sent again, and while a main is away in between. */
export const keepReceiptsMs = 30 * 60_000;

/** Far longer than reminders are apart, so that a forgotten one can't come too early. */
export const keepRemindersMs = 90 * 24 * 3_600_000;

/** How long things of a name's earlier holder are told apart: longer than a token or a broken upload can live. */
export const keepFormerMs = 400 * 24 * 3_600_000;

/** How often used SSH signatures are compared with the keys that users have. */
export const forgetKeysIntervalMs = 24 * 3_600_000;
/** A key that a user has not had for so long is forgotten with its signatures, and refused should it come back. */
export const removedKeysKeptMs = 90 * 24 * 3_600_000;
