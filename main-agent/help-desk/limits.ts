/** Bounds of what helps people in, each with its reason. */

/** Reminders of one user are this far apart: often enough to be seen, too rare to be filtered away. */
export const reminderIntervalMs = 7 * 24 * 3_600_000;

/** A few users a minute are 14,400 a day, and never more mails at once than the relay takes. */
export const reminderSweepMs = 60_000;
export const reminderLooksPerSweep = 10;

/** Somebody who was looked at is looked at again a day later: the day may have come nearer, the factor been set up. */
export const reminderLookAgainMs = 24 * 3_600_000;

/** Users whose second factor `status` looks up: each is a file and two queries, and a monitor asks every minute. */
export const passwordAloneLooksMax = 1_000;

/** Of how many the figures of `/metrics` tell how far they are with it: two seconds' work of main, every few minutes. */
export const factorLooksMax = 10_000;
/** Between two of them sign-ins have their turn. */
export const factorLooksPerTurn = 20;

/** Named in one line before "and … more". */
export const passwordAloneNamedMax = 5;
