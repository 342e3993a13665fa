/** Bounds of the second factor, each with its reason. */

/** RFC 4226 §4 R6 recommends 160 bit. */
export const totpSecretBytes = 20;

/** How far a code is looked for to say "your phone's clock is off" (±5 min); never accepted there. */
export const driftReachSteps = 10;

/** Two drifted codes must agree within this to be believed: one is a lucky guess too often. */
export const driftAgreementSteps = 1;

/** So many users with the same drift within this time: it is not their phones, it is our clock. */
export const driftSuspectUsers = 5;
export const driftWindowMs = 3_600_000;

/** Users whose last drift is remembered; far more than it takes to be sure. */
export const driftUsersMax = 1_000;

/** Recovery codes: 80 bit each, so that their HMACs can't be tried even by who steals the vault key. */
export const recoveryCodeLength = 16;

/** Bypass codes: 60 bit, short enough to read out on the phone; they live minutes and one at a time. */
export const bypassCodeLength = 12;

/** A bypass code is for now, not for a drawer. */
export const bypassTtlMaxMs = 24 * 3_600_000;

/** Sends per user: mail arrives in seconds, so a second one earlier only confuses. */
export const sendIntervalMs = 30_000;
export const sendsPerHourMax = 5;

/** A transport that has not accepted by then is left behind for the next; the user is looking at the screen. */
export const transportFallbackMs = 4_000;

/** The last transport may take this long (SMTP greylisting aside, a relay answers in 1 s). */
export const transportLastMs = 10_000;

/** Codes alive at once; with a life of minutes and 5 sends an hour per user this is far above 10,000 users' use. */
export const deliveredCodesMax = 20_000;

/** Consumed codes that are still told apart from wrong ones. */
export const rememberedUsedMax = 2_000;

/** Pending set-ups at once; one per user, two minutes each. */
export const pendingSetupsMax = 5_000;

/** Wrong codes while proving a set-up before it is void: the phone is at hand, more tries help nobody. */
export const proveTriesMax = 5;

/**
 * What the wall clock may be behind the steady one, and ahead of it, small steps taken together: codes of a clock that
 * went back could be used again; one that is put right after a virtual machine stood still for a snapshot is ahead.
 */
export const clockBackMs = 2_000;
export const clockJumpMs = 60_000;
/** What is forgiven as time passes: the kernel's clock is never slewed faster (43 s a day). */
export const clockSlewPpm = 500;
/** A sleep of the machine shorter than this can't be told from rounding. */
export const sleepMsMin = 2_000;
export const clockCheckIntervalMs = 10_000;

/** A QR a phone reads from a laptop screen at arm's length. */
export const qrPixelsMin = 240;
export const qrQuietModules = 4;

/** How long state.db knows that a delivered code was used: far longer than one lives. */
export const usedKnownMs = 24 * 3_600_000;
