/** Bounds of webhooks, each with its reason. */

/** First wait after a failure, doubled up to the last: a receiver that restarts is back in seconds, one that is gone costs little. */
export const webhookRetryMsMin = 1_000;
export const webhookRetryMsMax = 5 * 60_000;
/** Records that may wait for a webhook: some days of a busy server. They stand in the audit anyway. */
export const webhookBacklogMax = 100_000;
/** Records looked at together. */
export const webhookPageRecords = 100;
/** Records that nobody wanted, after which the place among them is noted. */
export const webhookSaveRecords = 1_000;
