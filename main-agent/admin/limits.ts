/** Bounds of the admin API, each with its reason. */

/** Callers are people, scripts and one CLI call each. */
export const connectionsMax = 64;
/** A whole user with many keys is a few KiB. */
export const bodyBytesMax = 256 * 1024;
/** A whole user store in one call: ten thousand users of 3 KiB. */
export const storeBytesMax = 32 * 1024 * 1024;
export const filesPerStoreMax = 100_000;
export const headerBytesMax = 16 * 1024;
/** From the first header byte to the last body byte; the socket is on this machine. */
export const requestMs = 10_000;
/** Time running calls get when the server closes. */
export const drainMs = 5_000;

/** Rows of one page. */
export const pageMax = 1000;
export const pageDefault = 200;
/** The roll-out report reads each user's enrolment from disk. */
export const rollOutPageMax = 200;

export const reasonCharactersMax = 500;
/** A bypass code is for the next minutes, not for next week. */
export const bypassTtlSecondsMax = 24 * 3600;
export const bypassTtlSecondsDefault = 15 * 60;
/** Of what a call did, in its audit record. */
export const detailCharactersMax = 1000;

/** How long a call may wait for the next audit record; callers ask again. */
export const auditWaitMs = 20_000;
