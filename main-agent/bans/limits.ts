/** Bounds of bans, each with its reason. */

/** Bans by admins; so many fit into one policy message (`main-agent/link/policy.ts`). */
export const bansMax = 5000;
/**
 * Bans a node told of that are remembered for lists, as many as it keeps; its oldest is forgotten here, not there. Each
 * node has its own, so that one that invents bans hides no other's.
 */
export const edgeBansPerNodeMax = 10_000;
/** Lifted addresses that nodes are told of; a node that was away longer than these lasts keeps its own ban. */
export const liftedMax = 256;
/** The widest network a ban may shut out: a slip of the hand must not shut out the world. */
export const prefixBitsMin = { v4: 8, v6: 24 } as const;
export const banSecondsMin = 60;
export const banSecondsMax = 400 * 24 * 3600;
