/** Bounds of a report, each with its reason. */

/**
 * Of each list, the newest: together some 8 MiB of JSON, in memory once. More is asked for by `until`. Undoing goes through
 * all there is, as many at a time.
 */
export const listedMax = 10_000;
/** What the command takes of it. */
export const reportBytesMax = 32 * 1024 * 1024;
/** How far before the window it is looked at what each user's addresses and agents were: as long as good logins count. */
export const comparedMs = 30 * 24 * 3_600_000;
/** Such addresses and agents: a hundred thousand users with a few each are 50 MiB. */
export const comparedMax = 500_000;
/** Then the rest waits for another run, which goes on: whoever asked waits no longer than HTTP clients do. */
export const undoMs = 3 * 60_000;
/** How long the command waits: what reads a month of audit twice and undoes for as long as it may. */
export const reportTimeoutMs = 290_000;
