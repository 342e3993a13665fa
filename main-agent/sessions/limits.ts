/** Bounds of sessions, leases and remembered devices, each with its reason. */

/** Live sessions in all, and of a user at each door whose file says nothing. */
export const sessionsMax = 20_000;
export const sessionsPerUserMax = 64;

/** How often a session's use is written down: after a crash it counts as that much more idle. */
export const touchIntervalMs = 60_000;

/** How often sessions are judged anew: expiry, hours and limits reach live operations within this. */
export const sweepIntervalMs = 1_000;

/** A replaced device cookie shown again within this comes from a parallel tab; later it is a copy. */
export const deviceOverlapMs = 10_000;

/** Devices of one user; the oldest makes room. */
export const devicesPerUserMax = 16;

/** Leases alive; each cost a code, so this many are many users. The oldest goes, and its client is asked again. */
export const leasesMax = 20_000;
