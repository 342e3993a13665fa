/** Bounds of the login, each with its reason. */

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

/** Bytes of a password as UTF-8; argon2 takes more, but a stranger should not make us hash a megabyte. */
export const passwordBytesMax = 1024;

/** Challenges alive. One is under 2 KiB and lives minutes; this is 5,000 logins a minute. */
export const challengesMax = 20_000;

/** Challenges of one user: many parallel clients, and not more to try codes on. */
export const challengesPerUserMax = 64;

/** Life of a challenge where no delivered code sets it: time to unlock a phone and open the app. */
export const challengeLifeMs = 120_000;

/** A delivered code's challenge is prolonged by a resend, but never beyond this. */
export const challengeLifeMaxMs = 30 * 60_000;

/** Client ports one challenge was seen from: a browser opens several connections. */
export const challengePortsMax = 16;

/** Assertion ids remembered; each for its life plus the leeway. Full: refuse, never forget one that could replay. */
export const assertionIdsMax = 50_000;
export const assertionIdKeptMs = 60_000;

/** Live sessions in all, and of a user at each door whose file says nothing. */
export const sessionsMax = 20_000;
export const sessionsPerUserMax = 64;

/** How often a session's use is written down: after a crash it counts as that much more idle. */
export const touchIntervalMs = 60_000;

/** How often sessions are judged anew: expiry, hours and limits reach live operations within this. */
export const sweepIntervalMs = 1_000;

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

/** A replaced device cookie shown again within this comes from a parallel tab; later it is a copy. */
export const deviceOverlapMs = 10_000;

/** Devices of one user; the oldest makes room. */
export const devicesPerUserMax = 16;

/** Wrong passwords in one session before it ends: a stolen session is no place to try them. */
export const stepUpPasswordsMax = 5;
export const stepUpWindowMs = 24 * 3_600_000;

/** A step-up is opened and used by one request of a client, both in the same moment. */
export const stepUpLifeMs = 30_000;

/** Sessions with a step-up that was opened or failed; the oldest is forgotten, its user's counters are not. */
export const stepUpsMax = 5_000;

/** A comment says whose key it is; longer ones only fill the user's file. */
export const keyCommentCharactersMax = 128;

/** Leases alive; each cost a code, so this many are many users. The oldest goes, and its client is asked again. */
export const leasesMax = 20_000;

/** Reminders of one user are this far apart: often enough to be seen, too rare to be filtered away. */
export const reminderIntervalMs = 7 * 24 * 3_600_000;

/** A few users a minute are 14,400 a day, and never more mails at once than the relay takes. */
export const reminderSweepMs = 60_000;
export const reminderLooksPerSweep = 10;

/** Somebody who was looked at is looked at again a day later: the day may have come nearer, the factor been set up. */
export const reminderLookAgainMs = 24 * 3_600_000;

/** Users whose second factor `status` looks up: each is a file and two queries, and a monitor asks every minute. */
export const passwordAloneLooksMax = 1_000;

/** Named in one line before "and … more". */
export const passwordAloneNamedMax = 5;
