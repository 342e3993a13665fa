/** Bounds of what users change themselves, each with its reason. */

/** Wrong passwords in one session before it ends: a stolen session is no place to try them. */
export const stepUpPasswordsMax = 5;
export const stepUpWindowMs = 24 * 3_600_000;

/** A step-up is opened and used by one request of a client, both in the same moment. */
export const stepUpLifeMs = 30_000;

/** Sessions with a step-up that was opened or failed; the oldest is forgotten, its user's counters are not. */
export const stepUpsMax = 5_000;

/** Links that wait for their users: ten thousand people of a company that moves here, each under 400 bytes. */
export const passwordLinksMax = 10_000;

/** People who open a link that was used, through one node; more are a machine, and each is a record in the audit. */
export const strayLinksBurst = 60;
export const strayLinksPerSecond = 1;

/** A comment says whose key it is; longer ones only fill the user's file. */
export const keyCommentCharactersMax = 128;
