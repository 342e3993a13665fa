/** Bounds of what users change themselves, each with its reason. */

/** Wrong passwords in one session before it ends: a stolen session is no place to try them. */
export const stepUpPasswordsMax = 5;
export const stepUpWindowMs = 24 * 3_600_000;

/** A step-up is opened and used by one request of a client, both in the same moment. */
export const stepUpLifeMs = 30_000;

/** Sessions with a step-up that was opened or failed; the oldest is forgotten, its user's counters are not. */
export const stepUpsMax = 5_000;

/** A comment says whose key it is; longer ones only fill the user's file. */
export const keyCommentCharactersMax = 128;
