/** Bounds of what leaves main, each with its reason. */

/** Records that may wait for a webhook or a mail: some days of a busy server. They stand in the audit anyway. */
export const eventBacklogMax = 100_000;
/** Records of one load to a collector: a tenth of a second's writing, and few enough to send again. */
export const syslogLoadRecords = 1_000;
/** From the first packet to the collector's last; its disk may be busy. */
export const syslogLoadMs = 30_000;
/** How long a reset may take to come back: longer than a round trip anywhere, and no load waits for another meanwhile. */
export const syslogResetMs = 500;
/** What every receiver should take (RFC 5425 §4.3.1) and rsyslog takes by default, in octets. */
export const syslogMessageBytesMax = 8_192;
/** What a text is cut to where the whole message would be longer; half a path of the longest kind says where it was. */
export const syslogTextCharactersMax = 512;
/** Of one mail: an hour of three uploads a second; they are held in memory for as long as the mail is made. */
export const eventMailRecordsMax = 10_000;
/** Named in one mail; nobody reads on, and relays refuse mails that are too long. */
export const eventMailLinesMax = 200;
/** Of one value in a line: what identifies a file stands in it, and the mail stays under a MiB. */
export const eventMailTextCharactersMax = 1_000;
/** How long one address may be refused for now: who delays first mails takes them within the hour, and a full mailbox of days holds the others' mails no longer than this. */
export const eventMailPatienceMs = 4 * 3_600_000;
