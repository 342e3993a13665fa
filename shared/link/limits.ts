/**
 * Every bound of the link, with its reason (S-09). Over a bound an honest peer is told so (`busy`); a peer that goes
 * over one the protocol lets it know is in breach, and its link is closed.
 */

/** Wire versions this build speaks, lowest and highest. PROTOCOL.md has a row for each. */
export const wireVersions: readonly [number, number] = [1, 1];

// — control —

/** One control message. The largest honest one is a full folder page (1,000 names) or the policy. */
export const controlMessageBytesMax = 512 * 1024;
/** Fragments of one WebSocket message: our own sender makes one, a proxyless link never re-cuts them. */
export const controlFragmentsMax = 16;
/** Reads the WebSocket receiver may hold for one message: 512 KiB arrive in far fewer. */
export const controlChunksMax = 1024;
/** A peer that does not read: past this many bytes in our socket queue the link is closed. */
export const controlQueuedBytesMax = 16 * 1024 * 1024;
/** Requests a link may have unanswered. The sender refuses its own callers beyond it, the answerer says `busy`. */
export const requestsInFlightMax = 1024;
/** Of one session: a client's pipeline may not take the link from the others. */
export const requestsPerSessionMax = 256;
/** Default time an answer may take. Verdicts take up to two queued password hashes, file operations a slow disk. */
export const requestTimeoutMs = 30_000;
/** Hashing or copying a large file, removing a deep tree: main's disk is working all the while. */
export const longRequestTimeoutMs = 30 * 60_000;
/** The first message must be a hello and must come soon. */
export const helloTimeoutMs = 10_000;
/** A ping each way this often … */
export const heartbeatIntervalMs = 2_500;
/** … and a peer silent for longer is dead: looked at with each ping, so found within 10 s. */
export const heartbeatTimeoutMs = 7_000;

/** Edge events a node keeps until main has them (about 1 MiB), and main has under way from one worker. */
export const edgeEventsMax = 1000;

/** What a node says of its health at once: it has a dozen checks; a message stays far below its largest size. */
export const healthFindingsMax = 32;
/** A sentence or its cure, with a path in it. */
export const healthCharactersMax = 1024;

// — lanes —

/** Data connections of one link: a second one keeps streams moving while the first waits for a lost packet. */
export const lanesPerLink = 2;
/** What main agrees to dial for one link, whatever the node grants. */
export const lanesPerLinkMax = 8;
/** Life of a lane token; the dial takes milliseconds. */
export const laneTokenLifeMs = 10_000;
/** First frame of an accepted lane, TLS handshake included. */
export const laneJoinTimeoutMs = 10_000;
/** JSON of a stream's header: ids and numbers. */
export const openBytesMax = 1024;
/** JSON of a trailer: digests and counts. */
export const trailerBytesMax = 4096;
/** JSON of a reset's error: code, a public message of 512 characters however escaped, reference. */
export const resetBytesMax = 4096;
/** Streams of one link: each may hold a window on both sides (512 KiB × 1,024 = 512 MiB at the very worst). */
export const streamsPerLinkMax = 1024;
/** Of one session: an SFTP client moves few files at once; OpenSSH one, FileZilla ten. */
export const streamsPerSessionMax = 64;
/** Unacknowledged bytes of a stream at its start: measured best (1 and 4 MiB leave the cache). */
export const windowBytesStart = 512 * 1024;
/** A window may grow to this for a long fat link: 4 MiB is 1 Gbit/s at 32 ms. */
export const windowBytesMax = 4 * 1024 * 1024;
/** What all streams of a lane may grow by together. */
export const windowGrowthPerLaneMax = 64 * 1024 * 1024;
/** Below it 512 KiB are enough for 800 Mbit/s, and a larger window only leaves the cache. */
export const windowGrowthRttMsMin = 5;
/** Bytes handed to a lane's socket and not yet taken by the kernel; the rest waits where a new stream can pass it. */
export const socketQueuedBytesLow = 256 * 1024;
/** A peer that opens and resets without reading the answers: past this much in the socket the link is closed. */
export const socketQueuedBytesMax = 4 * 1024 * 1024;
/**
 * What a lane reads in one turn of the event loop before everybody else has theirs. With 16 downloads a small question
 * waited 12 ms (the slowest hundredth 25) without it, 4.5 (11) with 256 KiB, 2.9 (8–10) with 128 KiB, 2.0 (10) with 64 KiB,
 * where it begins to cost throughput.
 */
export const laneTurnBytes = 128 * 1024;
/**
 * Frames of a stream that the node hands on together while more is coming: 256 KiB, half of a window, so that main sends
 * the other half meanwhile. Against one by one, a download cost the node 0.96 CPU seconds a GiB instead of 1.12, sixteen
 * at once 1.29 instead of 1.45 each; with three frames 1.12 and 1.32.
 */
export const gatheredFramesMax = 4;
/** `write` says false above it: enough for the socket never to run dry … */
export const streamQueuedBytesHigh = 256 * 1024;
/** … and `onDrain` comes below it, so that the next file read overlaps with sending. */
export const streamQueuedBytesLow = 128 * 1024;
/** A writer that ignores `false`: its stream is reset. One read batch (512 KiB) and a large SFTP write fit. */
export const streamQueuedBytesMax = 8 * 1024 * 1024;
/** Idle frame buffers kept for re-use (16 MiB). */
export const pooledFramesMax = 256;
