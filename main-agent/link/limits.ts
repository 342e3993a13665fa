/** Bounds of main's side of the link, with their reasons (S-09). */
import { lanesPerLinkMax, requestsInFlightMax, requestsPerSessionMax } from '#shared/link/limits.ts';
import type { RateLimit } from '#shared/rate.ts';

/** Requests for dead or foreign sessions in `strayWindowMs` beyond which a node is out of its mind, or hostile (S-05). */
export const straysMax = 100;
export const strayWindowMs = 10_000;
/** After main ended a session, or the link joined, requests for dead sessions are still on their way: not counted. */
export const strayGraceMs = 2_000;

/**
 * Requests of one node at work on main, over all its links. What a lost link left at work goes on, and an honest node
 * sends it again over the next one: room for both. Without it a node that only hangs up and comes back could pile up
 * hashing and copying without end.
 */
export const nodeRequestsMax = 2 * requestsInFlightMax;
export const nodeRequestsPerSessionMax = 2 * requestsPerSessionMax;

/** Answers to changes kept for a re-send, per node: every request that can be in flight, on sixteen workers. */
export const operationsMax = 16_384;
/** A re-send comes within the node's parking time (60 s) and the dialer's backoff. */
export const operationLifeMs = 180_000;

/** Ended sessions a node is told of when it comes back; what is beyond it learns from `no-session`. */
export const missedEndingsMax = 10_000;

/**
 * A node's process whose link is down is given up after this, and what it had open ends as if it had ended: far longer
 * than it would itself wait for us (`park.for`), and as long as what was open is remembered over a restart of ours.
 */
export const processAwayMaxMs = 10 * 60_000;

/** First wait before dialling again, doubled up to the last; jittered so that workers don't come in step. */
export const backoffMsMin = 200;
export const backoffMsMax = 10_000;
/**
 * Another process with our key holds the link: asked again so often. A main that was killed and started anew waits at
 * most this and the heartbeat (10 s), and two that run side by side don't take the link from each other.
 */
export const otherMainRetryMs = 5_000;
/** While it goes on, the log says so once in so long … */
export const otherMainLoggedEveryMs = 60_000;
/** … and `status` says so until nothing was heard of it for so long: a node tells the holder once a minute. */
export const otherMainShownForMs = 150_000;
/** TCP and TLS of one dial. */
export const dialTimeoutMs = 10_000;
/** A link that ended sooner after its hello does not count as one: the wait before the next dial goes on growing. */
export const steadyAfterMs = 1_000;
/**
 * Lanes main dials for one node, over all its links: all lanes of a link and those of the next at once, then as many as
 * a network needs that drops one each second. Each dial is a TLS handshake, which a node that drops every lane would
 * else have main make without end.
 */
export const laneDialRate: RateLimit = { burst: 2 * lanesPerLinkMax, perSecond: 2 };
/** Workers of one node that main agrees to dial, as the hello's schema has it. */
export const workersMax = 64;

/** Questions of admins about the doors of one worker at once, and how long an answer from memory may take. */
export const doorQuestionsMax = 32;
export const doorQuestionTimeoutMs = 3_000;

/** A node takes what port 80 answers into its memory: longer than that takes over any link, and it does not hear us. */
export const challengesShownWithinMs = 10_000;
