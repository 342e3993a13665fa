/** Bounds of the login, each with its reason. */

/** Challenges alive. One is under 2 KiB and lives minutes; this is 5,000 logins a minute. */
export const challengesMax = 20_000;

/** Challenges of one user: many parallel clients, and not more to try codes on. */
export const challengesPerUserMax = 64;

/** Life of a challenge where no delivered code sets it: time to unlock a phone and open the app. */
export const challengeLifeMs = 120_000;

/** A delivered code's challenge is prolonged by a resend, but never beyond this. */
export const challengeLifeMaxMs = 30 * 60_000;

/**
 * Sealed logins of one node: anybody opens one, without any proof. A quarter of all, so that a node that was broken into
 * leaves room for the others; ten times what people who sign in within the life of one make.
 */
export const sealedPerNodeMax = 5_000;

/**
 * Where a sealed login's answer may not tell by its time what was found, it is given at the next multiple of this: well
 * above what a look at the vault and a commit take, and below what a person notices.
 */
export const sealedAnswerStepMs = 100;

/**
 * Users at places who were refused for a fault of ours, and what is taken back of each: what counts there before a
 * throttle holds them, in each of its counts. Forgetting one leaves them a count that runs out by itself.
 */
export const owedPlacesMax = 10_000;
export const owedChangesMax = 100;

/** Client ports one challenge was seen from: a browser opens several connections. */
export const challengePortsMax = 16;

/** Assertion ids remembered; each for its life plus the leeway. Full: refuse, never forget one that could replay. */
export const assertionIdsMax = 50_000;
export const assertionIdKeptMs = 60_000;

/** A session opened by a bypass code: long enough to set up a new phone. */
export const bypassSessionMaxMs = 3_600_000;

/** Key probes a node may ask per second, and in a burst: ≤ 16 per connection, a few hundred connections a second. */
export const probesPerSecond = 500;
export const probesBurst = 2_000;

/** Wrong codes in a row after which the user is told, and after which only an admin helps. */
export const tellUserAfterInARow = 10;
export const disableAfterInARow = 100;

/** A lock doubles each time up to this. */
export const lockMaxMs = 24 * 3_600_000;

/**
 * Wrong passwords through one node, over all users, in the window of `bans.wrong_passwords`. A node that was broken
 * into names whatever address it likes, so no ban of a source keeps it from trying a few passwords on everybody. Ten
 * thousand people who come back from holidays mistype about half as often.
 */
export const wrongPasswordsPerNodeMax = 1_000;

/** Through such a node then one try per this: as many again in 15 min. */
export const nodeThenOnePerMs = 1_000;

/**
 * Wrong passwords for a user from one address the user signed in from, in the same window. A person at home, or a
 * program with an old password, does not reach it; a node that was broken into and names that address does.
 */
export const wrongPasswordsOfKnownPlaceMax = 100;

/** Of an asker's patience, what may be spent on waiting for a turn there; the rest is enough for a turn at the hash. */
export const throttlePatienceShare = 0.75;
/** No door waits longer for a login; a node that says so has a line full of tries that nobody waits for. */
export const throttlePatienceMsMax = 20_000;

/** Tries of one source that wait at one throttle, each with another name: an office. */
export const throttleWaitingPerSourceMax = 4;

/** Users, nodes, and sources at each, whose last throttled try is remembered. */
export const throttledScopesMax = 10_000;
/** Of the tries that a throttle turned away, how often the audit is told: enough to see it go on, no flood. */
export const throttledToldEveryMs = 60_000;
