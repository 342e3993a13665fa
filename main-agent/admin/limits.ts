/** Bounds of what single routes take and give, each with its reason. */

/** A whole user store in one call: ten thousand users of 3 KiB. */
export const storeBytesMax = 32 * 1024 * 1024;
export const filesPerStoreMax = 100_000;

/** The roll-out report reads each user's enrolment from disk. */
export const rollOutPageMax = 200;

export const reasonCharactersMax = 500;
/** A bypass code is for the next minutes, not for next week. */
export const bypassTtlSecondsMax = 24 * 3600;
export const bypassTtlSecondsDefault = 15 * 60;

/** How long a call may wait for the next audit record; callers ask again. */
export const auditWaitMs = 20_000;

/** Names one call may keep; each is a commit of its own. A command asks as often as it takes. */
export const namesKeptAtOnceMax = 500;
/** Authenticators one call may bring; each is a file and a commit. A command asks as often as it takes. */
export const secretsImportedAtOnceMax = 100;
/** An otpauth URI with a long label and every parameter. */
export const secretCharactersMax = 1024;
/** A mailed link lives this long unless it is said otherwise: a week with holidays in it. */
export const passwordLinkSecondsDefault = 7 * 24 * 3_600;
/** Who has not come in a month has to be asked again: the mail lies about until then. */
export const passwordLinkSecondsMax = 30 * 24 * 3_600;
/** Users one call may bring: an argon2id of each hash, and their names stand in the call's audit record. */
export const usersImportedAtOnceMax = 25;
/** Longer than any hash that is taken over, sealed. */
export const foreignHashCharactersMax = 1_024;
