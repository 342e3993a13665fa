import type { RateLimit } from '#shared/rate.ts';

/** Every bound of the SFTP door, with its reason. */

const KiB = 1024;
const MiB = 1024 * KiB;

// — connections before they have proved anything —

/** Time from accept to the first right factor: a person types a password in it. */
export const firstFactorMs = 30_000;
/** From accept to the identification line, which every client sends at once; as long as over HTTPS. */
export const identificationMs = 10_000;
/** From there to the first keys. Small devices take seconds over group 16, and have time left for a password. */
export const firstKeyExchangeMs = 15_000;
/** RFC 4253 §4.2: 255 characters with CR LF. */
export const identificationBytesMax = 255;
/** A challenge lives as long as main says, but no connection waits longer for a code: the longest delivered code is 10 min. */
export const authenticationDeadlineMaxMs = 600_000;
/** A sealed login is asked of whoever comes: time for a mailed code to arrive, and no more. */
export const sealedAnswerMs = 120_000;
/** Tries (a refused password, key signature or prompt round) until the connection ends. */
export const triesMax = 4;
/** Keys a client may ask about; an agent holds a dozen. */
export const keyProbesMax = 16;
/** Rounds of the code prompt in one login, above main's own count of attempts, so that a broken main can't loop us. */
export const codeRoundsMax = 8;
/** Times a login that main lost (a restart, a cut link) is asked anew within one connection; then main is really away. */
export const restartsMax = 3;
/** Messages before success. OpenSSH with a full agent sends about 40; more is somebody exercising our state machine. */
export const messagesBeforeSuccessMax = 128;
/** Repeated `ssh-userauth` service requests: paramiko sends one per method it tries. */
export const serviceRequestsMax = 16;
/** User name, method name, password, answer: the longest anybody needs; main takes no longer password either. */
export const authenticationTextBytesMax = 1024;
/** main takes names up to this; a longer one is nobody's. */
export const userNameBytesMax = 255;
/** A public key blob (RSA 16384 is 2 KiB) and a signature field, as login.begin carries them. */
export const keyBlobBytesMax = 3 * KiB;
export const signatureBytesMax = 3 * KiB;

// — the transport —

/** Bytes (either way) and age of one set of keys: RFC 4253 §9. */
export const rekeyBytes = 1024 * MiB;
export const rekeyMs = 3_600_000;
/**
 * Key exchanges a client may start with less than `rekeyTrafficBytes` since the last one: whoever renews keys by the
 * clock stays, and none makes us spend more than some milliseconds of a second on it.
 */
export const idleRekeyRate: RateLimit = { burst: 8, perSecond: 1 };
export const rekeyTrafficBytes = 64 * KiB;
/** Our KEXINIT waits this long for the client's, which every known client sends at once; then it goes out unadapted. */
export const clientKexInitMs = 1_500;
/** A later key exchange that has begun must end: nothing may be sent meanwhile, so a stall here holds everything. */
export const keyExchangeMs = 30_000;
/** Main signs no more at once: asked again so often, for as long as the connection lives. */
export const signatureRetryMs = 250;
/** A host key in its wire form: RSA 16384 is 2 KiB. */
export const hostKeyBytesMax = 3 * KiB;
/** Requests of a client to prove host keys: it sends one, and each costs a signature a key. */
export const proofsMax = 4;
/** What a connection brings before everybody else has their turn: one read of its socket. There may be many of them. */
export const receiveTurnBytes = 64 * KiB;
/** Queued in the socket before channels wait. Large enough that the kernel never runs dry between two ticks. */
export const socketQueueBytesMax = 1 * MiB;
/** How long a connection that was told to go may take to read why. */
export const lingerMs = 2_000;
/** How often deadlines are looked at. */
export const sweepMs = 500;

// — channels —

/** As OpenSSH's MaxSessions; clients that share one connection open a few. */
export const channelsMax = 10;
/** What a client may have sent that we have not dealt with: eight full OpenSSH requests. */
export const channelWindowBytes = 2 * MiB;
/** Window is given back in pieces of at least this, or a message per request would go out. */
export const windowAdjustBytes = 256 * KiB;
/** RFC 4253 §6.1 demands 32768; OpenSSH sends no larger packets whatever we offer. */
export const channelPacketBytesMax = 32 * KiB;
/** A peer's packet limit below this makes us burn CPU on headers. OpenSSH's smallest is 16 KiB, embedded ones use 1 KiB. */
export const peerPacketBytesMin = 256;
/**
 * Channels, requests on them and global requests of one connection. Each costs an answer. A shared connection opens a
 * channel per transfer, with a dozen `env` before its one useful request, and a script may run twenty such in a second.
 */
export const connectionRequestRate: RateLimit = { burst: 2000, perSecond: 500 };

// — SFTP —

/** Whole SFTP packet without its length field, as `limits@openssh.com` announces it. */
export const sftpPacketBytesMax = 256 * KiB;
/** Data in one READ or WRITE: the packet less generous headers, OpenSSH's own number. */
export const sftpDataBytesMax = sftpPacketBytesMax - 1024;
/** A directory tree walker with many open folders stays below. */
export const handlesMax = 256;
/** Files that are closed for their client and not yet for main: a small part of the requests a session may have there. */
export const releasesMax = 16;
/** Requests read and not yet answered; above it we stop reading the channel. OpenSSH keeps 64 under way. */
export const outstandingRequestsMax = 128;
/** Bytes asked for by READs under way. Four times the lane's window keeps a fast client busy. */
export const outstandingReadBytesMax = 2 * MiB;
/** Answers queued in the channel before we stop reading requests. */
export const channelQueueBytesMax = 1 * MiB;
/** One NAME answer; well below what any client takes, and large enough that 100,000 names are 400 answers. */
export const nameReplyBytesMax = 32 * KiB;
/** Reads that jump ahead by less wait for the sequential stream: clients that send requests from several threads mix their order. */
export const readReorderBytes = 4 * MiB;
/**
 * Streams of one connection at once; main takes 64 of a session, and may not yet have seen that some have ended. More
 * wait for one.
 */
export const streamsMax = 48;
/** When main has too many streams of everybody: the next try. */
export const streamRetryMs = 100;
/** Times a transfer is taken up again without a byte of progress between: the link comes back, or it doesn't. */
export const recoveriesMax = 8;
/** A handle is eight hex digits. */
export const handleBytesMax = 256;
/** Extension names and expand-path's argument. */
export const extensionTextBytesMax = 4 * KiB;
/** A path longer than this is no path (PATH_MAX); checked again, exactly, by `parseVirtualPath`. */
export const pathBytesMax = 16 * KiB;
/** Extended attribute pairs in one ATTRS; we use none of them, and they cost no more than the bytes they came in. */
export const extendedAttributesMax = 1024;
