/** Bounds of tokens and of tries at them, each with its reason. */

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
