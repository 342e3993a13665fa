/** Sessions one worker remembers. Web ones past it are forgotten (asked of main again at their next request): ~1 KiB each. */
export const liveSessionsMax = 20_000;

/**
 * How long a web session is believed before main is asked again. It only saves a round trip: every file or account
 * operation is judged on main anyway, and main's "session ended" takes effect at once.
 */
export const attachTrustMs = 30_000;

/** RFC 4252 sets no limit; main's user names are far shorter. Longer ones are nobody's. */
export const userNameCharactersMax = 255;
/** Passwords longer than this are nobody's either (argon2id would hash megabytes for a stranger). */
export const passwordCharactersMax = 1024;

/** A login step waits for a password hash and perhaps a mail relay (4 s a transport), never for ever. */
export const loginTimeoutMs = 20_000;
/** Everything else main answers from memory or one disk write. */
export const sessionTimeoutMs = 10_000;

/**
 * Questions "is this session alive" of one source under way at once. A browser has six connections and asks once in
 * 30 s; an office behind one address fits several times.
 */
export const attachesPerSourceMax = 64;

/** Sealed logins of one source that wait for an answer: an office that signs in at nine. More are failed tries. */
export const unansweredPerSourceMax = 32;
/** In all, of one worker: 200 bytes each. */
export const unansweredMax = 5_000;
