/** Bounds of bans, each with its reason. */

/** Bans by admins; so many fit into one policy message (`main-agent/link/policy.ts`). */
export const bansMax = 5000;
/** Bans the nodes told of that are remembered for lists; the oldest is forgotten here, not there. */
export const edgeBansMax = 10_000;
/** Lifted addresses that nodes are told of; a node that was away longer than these lasts keeps its own ban. */
export const liftedMax = 256;
/** The widest network a ban may shut out: a slip of the hand must not shut out the world. */
export const prefixBitsMin = { v4: 8, v6: 24 } as const;
export const banSecondsMin = 60;
export const banSecondsMax = 400 * 24 * 3600;
