import type { RateLimit } from '#shared/rate.ts';

/** Bounds of what main signs for its nodes, with their reasons (S-09). */

/**
 * Signatures for one node. All that its SFTP door lets stand before their first factor at once (256 strangers and as many
 * from known sources) may come back together after a link was away; then as many a second as a core of a node can exchange
 * keys for. A node that asks for as many as it gets costs main a tenth of a core; where an RSA key was imported, half a one,
 * off the event loop (`rsaBitsMax`).
 */
export const signatureRate: RateLimit = { burst: 512, perSecond: 100 };

/** Of an imported key; one of 4096 bits costs 5 ms a signature, one of 8192 30. Strangers choose by what they offer. */
export const rsaBitsMax = 4096;

/**
 * How long the hash of a first key exchange is good as the session id of a login: longer than any connection may take
 * for its first factor, and for the proof of the keys right after the second one.
 */
export const sessionIdLifeMs = 11 * 60_000;
/** Of one process of a node: all that it gets within that time, in ten MB. The oldest goes first. */
export const sessionIdsMax = signatureRate.burst + (signatureRate.perSecond * sessionIdLifeMs) / 1000;

/** A key that was rotated out still signs new keys of connections that know it: as long as an SFTP session may live. */
export const retiredForMs = 12 * 60 * 60_000;

/** What was signed is told by the audit once in so long, and at the end. */
export const toldEveryMs = 60 * 60_000;
