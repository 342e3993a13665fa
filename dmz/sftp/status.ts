import { type StatusCode, statusCode } from '#dmz/sftp/protocol/constants.ts';
import { type ErrorCode, toSallyportError } from '#shared/error.ts';

/**
 * The one place where an error becomes an SFTP STATUS. Version 3 has nine codes; what they can't say stands in the
 * message, and only in its public half.
 */
const { noSuchFile, permissionDenied, failure, badMessage, unsupported } = statusCode;

const statusOf: Readonly<Record<ErrorCode, StatusCode>> = {
  // files
  'not-found': noSuchFile,
  'parent-missing': noSuchFile,
  // Not "no such file": that would send people looking for a file, and programs on to create it.
  'bad-path': permissionDenied,
  exists: failure,
  'not-empty': failure,
  // ENOTDIR, which OpenSSH's server tells so.
  'not-a-folder': noSuchFile,
  'is-a-folder': failure,
  'permission-denied': permissionDenied,
  'precondition-failed': failure,
  changed: failure,
  'quota-exceeded': failure,
  'no-space': failure,
  'too-many': failure,
  'bad-handle': failure,
  unsupported,
  'io-error': failure,
  // link and session
  'no-session': permissionDenied,
  'setup-required': permissionDenied,
  'link-down': failure,
  deadline: failure,
  'too-slow': failure,
  busy: failure,
  'bad-request': badMessage,
  'protocol-violation': failure,
  internal: failure,
  // login and set-up: none of these can come from a file operation
  refused: permissionDenied,
  'challenge-gone': permissionDenied,
  'delivery-failed': failure,
  'rate-limited': failure,
  'too-many-sessions': failure,
  'setup-expired': failure,
  'setup-not-confirmed': failure,
  'already-enrolled': failure,
  'not-allowed': permissionDenied,
  'ticket-required': permissionDenied,
  'too-weak': failure,
  config: failure,
  pairing: failure,
  conflict: failure,
  usage: failure,
  'not-authenticated': failure,
  'precondition-required': failure,
};

/** Long enough for a sentence; public messages are ours, this only guards against a future one that isn't. */
const messageCharactersMax = 512;

export function toStatus(error: unknown): { code: StatusCode; message: string } {
  const known = toSallyportError(error);
  const reference = known.reference === undefined ? '' : ` (reference ${known.reference})`;
  return {
    code: statusOf[known.code],
    message: `${known.publicMessage}${reference}`.slice(0, messageCharactersMax),
  };
}
