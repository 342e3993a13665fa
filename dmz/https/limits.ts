/** Bounds of the HTTPS door. */

/** Request line and headers together (security: header bombs). Node refuses more with 431. */
export const headerBytesMax = 16 * 1024;
export const headersMax = 100;
/** From the first byte (or the handshake's end) to the end of the headers. */
export const headersTimeoutMs = 10_000;
export const handshakeTimeoutMs = 10_000;
export const keepAliveTimeoutMs = 15_000;

/** No JSON call of ours needs more; deeper nesting is an attack on whoever walks it. */
export const jsonBytesMax = 64 * 1024;
export const jsonDepthMax = 16;

/** Clients must send bodies at 1 KiB/s at least, measured over ten seconds in which we were reading. */
export const uploadPace = { windowMs: 10_000, bytesMin: 10 * 1024 };
/** What an upload brings before everybody else has their turn: one read of its socket. There may be many of them. */
export const uploadTurnBytes = 64 * 1024;
/**
 * A download waits for its reader this long for one more piece (64 KiB). Time in which we have nothing to send, such as
 * a restart of main, doesn't count.
 */
export const downloadPace = { windowMs: 120_000, bytesMin: 1 };
/** Times a transfer is taken up again without a byte of progress between: the link comes back, or it doesn't. */
export const recoveriesMax = 8;
/** How often slow transfers are looked for. */
export const paceCheckMs = 1_000;

/**
 * After an early refusal the rest of the body is read and thrown away for a moment: closing with unread bytes would
 * reset the connection and the client would never see the answer. A small rest keeps the connection usable.
 */
export const drainKeepAliveBytesMax = 64 * 1024;
export const drainBytesMax = 8 * 1024 * 1024;
export const drainMs = 2_000;

/** Files and folders in one archive: what it holds of each, about 850 bytes, waits in memory until the end. */
export const archiveEntriesMax = 50_000;
/** A name is held three times over, so a long one counts as an entry more for every so many characters. */
export const archiveNameCharacters = 256;
/** What one user's archives hold together, over all their sessions. */
export const archivedEntriesOfUserMax = 2 * archiveEntriesMax;
/** What all archives of this process hold together: at most 200 MB. */
export const archivedEntriesMax = 200_000;
/** Names asked for in the address of one archive, which has to hold them. */
export const archiveNamesMax = 500;
/** Names asked for in the body that asks for a download: nobody ticks more, and each is one question to main. */
export const downloadNamesMax = 10_000;
/** As many names as may be, each as long as may be (255 octets, two quotes and a comma), and the folder. */
export const downloadJsonBytesMax = downloadNamesMax * 258 + 16 * 1024;
/** Names that main is asked about at the same time. */
export const archiveNamesAtOnce = 16;
/** From the answer to the request that follows it at once; what was listed waits in memory that long. */
export const downloadTicketMs = 30_000;
/** Archives one user downloads at the same time: browsers save a few. */
export const archivesOfUserMax = 4;
/** Records of an archive that go to the client in one piece. */
export const archivePieceBytes = 16 * 1024;
/** Names of what is missing in an archive, in its note; beyond it they are only counted. */
export const archiveNoteBytesMax = 64 * 1024;
/** Folders below each other in one archive. */
export const archiveDepthMax = 64;
/** Entity tags in one If-Match or If-None-Match, as the link carries them. */
export const entityTagsMax = 32;
export const entityTagCharactersMax = 128;

/** Built web files are ~200 KiB; more is not our build. */
export const staticFilesMax = 1000;
export const staticBytesMax = 64 * 1024 * 1024;

/** Answers in flight get this long when the server closes. */
export const closeDrainMs = 3_000;
/** A stolen ticket key opens what was sent under it: short-lived, and never on disk. */
export const ticketKeyLifeMs = 60 * 60_000;
/** What a client is told to wait when main is out of reach. */
export const outageRetryAfterMs = 5_000;
/**
 * A connection on which nothing moves either way. Longer than any pause of ours; it is for clients that pipeline
 * requests and never read the answers.
 */
export const connectionIdleMs = 180_000;

/**
 * Requests of one connection in the air at once. Browsers don't pipeline and scripts send a few; Node reads on while
 * nothing is answered, so a connection that only asks would hold any number.
 */
export const pipelinedMax = 16;
