/** Bounds of password checks, each with its reason. */

/** argon2id takes a core and 19 MiB for ~40 ms: two at once leave main able to serve files meanwhile. */
export const hashesAtOnceMax = 2;

/** Hashes waiting: at two at once this is about 5 s of our own, and no longer does anybody wait (`patienceShare`). */
export const hashesWaitingMax = 256;

/** Waiting for one (node, source): an office, or SFTP clients with parallel connections. Turns keep it fair. */
export const hashesWaitingPerSourceMax = 64;

/**
 * Of an asker's patience, what may be spent on waiting for a turn: 5 of a door's 20 s. The rest is for the verdict, and
 * for an estimate that is off by a factor of two because downloads began. It is also how soon after a rush all are in.
 */
export const patienceShare = 0.25;

/** One turn in so many is a stranger's where people wait who were here before: one of those could ask without end. */
export const strangersEveryTurns = 4;

/** Whoever found no room shall come back after the queue as it is, but neither at once nor in a time nobody waits for. */
export const overloadRetryMsMin = 2_000;
export const overloadRetryMsMax = 60_000;

/** What was refused for capacity is told once in this time for each node … */
export const overloadToldEveryMs = 60_000;

/** … with the number of addresses it came from, as far as they are counted. */
export const overloadSourcesMax = 1_000;
