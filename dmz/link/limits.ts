import type { RateLimit } from '#shared/rate.ts';

/** Bounds of the node's side of the link, with their reasons (S-09). */

/** Longest wait of a file operation for a link that is down: clients give up after about a minute themselves. */
export const parkForMsDefault = 60_000;
/** Requests waiting for a link: all that were in flight when it went, and as many new ones. At most 64 KiB each. */
export const parkedRequestsMax = 2048;
/**
 * Each event is a durable record on main, and strangers cause them: what is beyond is counted, and the count told. The
 * burst is enough for a whole office's bans at once.
 */
export const edgeEventRate: RateLimit = { burst: 1000, perSecond: 20 };
/**
 * Refusals are what a signed-in user can cause at will, a few with each connection: they have a lane of their own, so
 * that they push no ban out of the queue, and no more than so many of them wait for main.
 */
export const edgeRefusalRate: RateLimit = { burst: 100, perSecond: 1 };
export const edgeRefusalsMax = 200;
/** The count of what was not kept is an event itself: one a second, or it would be the flood. */
export const unkeptToldEveryMs = 1000;
/** As the message's schema has it. */
export const edgeDetailCharactersMax = 512;
/** Connections that have not said who they are or which lane they are: main dials a handful at a time. */
export const pendingConnectionsMax = 32;
/** A second main that was told of the first hangs up itself; one that does not is cut off after this. */
export const turnedAwayMs = 2_000;
/** `/healthz` says that there is a second main until it has not tried for so long. */
export const otherMainShownForMs = 150_000;
/** A second main tries again every few seconds: the log and the first main are told of it once in so long. */
export const otherMainToldEveryMs = 60_000;
/** A lost lane is granted anew after this: a peer that drops each lane at once must not spin us. */
export const laneRegrantMs = 200;
/** TLS handshake of the inner listener: one round trip in a LAN. */
export const handshakeTimeoutMs = 10_000;
/** Connections on the inner listener: a link and its lanes, twice over while one replaces another, and handshakes. */
export const linkConnectionsMax = 64;

/** What is told of one address; two doors have about thirty things to say. */
export const doorFindingsMax = 128;
