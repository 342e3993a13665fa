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
/** Of the TLS listener, for one address: a person with a browser and a script. */
export const connectionsPerSourceMax = 16;
/** Wrong tokens from one address in `throttleMs` before it is answered nothing else; a token has 256 bits. */
export const wrongTokensMax = 10;
export const throttleMs = 60_000;
/** Addresses whose wrong tokens are remembered; the one heard of longest ago is forgotten. */
export const throttledSourcesMax = 10_000;

/** People and their scripts; all are held in memory. */
export const tokensMax = 1000;
export const tokenLifeSecondsMin = 60;
export const tokenLifeSecondsMax = 400 * 24 * 3600;
export const tokenLifeSecondsDefault = 90 * 24 * 3600;
/** How often the last use of a token is written down. */
export const tokenTouchMs = 60_000;
/** Names one call may keep; each is a commit of its own. A command asks as often as it takes. */
export const namesKeptAtOnceMax = 500;
/** Authenticators one call may bring; each is a file and a commit. A command asks as often as it takes. */
export const secretsImportedAtOnceMax = 100;
/** An otpauth URI with a long label and every parameter. */
export const secretCharactersMax = 1024;
