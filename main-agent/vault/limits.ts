/** Bounds of the vault and of what it is asked, each with its reason. */

/** A file says as many; what is printed on one page. */
export const recoveryCodesMax = 32;

/**
 * Sealed secrets looked at together: a file or two that somebody damaged say nothing of the key; one look reads no whole
 * folder of ten thousand.
 */
export const samplesMax = 16;

/** Kinds of cost of hashes told apart; a company's systems used two or three. */
export const costsMax = 16;

/** What anybody types for a code; longer ones have no shape of ours and are not sent. */
export const typedCodeMax = 64;

/**
 * One message: what a login asks is a kilobyte; the largest is a whole store of users that is applied at once, as the
 * admin API takes it.
 */
export const frameBytesMax = 128 * 1024 * 1024;

/** Calls under way at once: one of each login that may wait for its verdict. */
export const callsMax = 512;

/** A call takes milliseconds, two hashes of the largest cost that is taken some seconds. Who is longer hangs. */
export const answerMs = 30_000;

/** Reading the program and the key takes a fifth of a second; a machine that is just starting is slow. */
export const startMs = 20_000;

/**
 * For all user files and their copies, before anybody is served again: on a busy machine 1.4 s for 10,000 users and
 * their 10,000 copies. What takes longer goes on beside the calls: as `startMs` is over the process would be ended.
 */
export const readUsersMs = startMs / 2;

/** One that had begun to work is there again at once; a fault that kills each costs most of a core then. */
export const restartMsMin = 50;
export const restartMsMax = 100;

/** One that can't begin (its key is gone, no memory) is tried less and less often. */
export const failedRestartMsMax = 10_000;

/** Who lived as long is started with the short wait again. */
export const steadyAfterMs = 10_000;

/** Whoever was refused because it is away comes back when it is there. */
export const awayRetryMs = 1_000;

/** Whose secret is known to open, by what is sealed: a line of 200 octets for each. */
export const knownToOpenMax = 10_000;

/** Set-ups that wait for their code, one a user: as many as main keeps. */
export const keptSetupsMax = 5_000;

/** Of a name as it was typed, folded: a user's has 64 characters, and what folding makes of 255 is up to 18 times that. */
export const comparedNameMax = 1024;

/** Bytes of a password as UTF-8; argon2 takes more, but a stranger should not make us hash a megabyte. */
export const passwordBytesMax = 1024;
