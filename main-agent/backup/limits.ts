/** Bounds of backups, each with its reason. */

/** Of what is encrypted at once: a piece of the file that openssl and tar read as they like. */
export const pieceBytes = 64 * 1024;
/** AES-GCM under one key and nonce (NIST SP 800-38D §5.2.1.1); far above any main's own files. */
export const contentBytesMax = 2 ** 36 - 32;
/**
 * PBKDF2-HMAC-SHA256, about half a second of one core: a passphrase is guessed off the line, on other people's
 * hardware. A file that asks for more than the second number would only keep its reader busy.
 */
export const passphraseIterations = 1_000_000;
export const passphraseIterationsMax = 20_000_000;
/** The file leaves the house with every key and hash in it, so it wants more than a sign-in does. */
export const passphraseCharactersMin = 16;
/** Whoever may open a file: some people's certificates, each a few hundred bytes in its head. */
export const recipientsMax = 16;
export const recipientInfosBytesMax = 64 * 1024;
/** A shorter RSA key is weaker than the cipher by far, and no authority issues one any more. */
export const rsaBitsMin = 2048;
/** A name in the archive: a user's, with its folder; a file system has 255 octets for one. */
export const nameBytesMax = 512;
/** What a ustar header can say of a length (11 octal digits). */
export const memberBytesMax = 8 ** 11 - 1;
/** Three files for each of 300,000 users; their names are held in memory while a backup is read. */
export const membersMax = 1_000_000;
/** A copy of the largest state.db that can be part of one, on a disk that writes 30 MB a second. */
export const copyTimeoutMs = 5 * 60_000;
/** Of what is read whole: the manifest and the configuration. */
export const headBytesMax = 1024 * 1024;
