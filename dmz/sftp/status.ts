import { type StatusCode, statusCode } from '#dmz/sftp/protocol/constants.ts';
import { errorCodes } from '#shared/error-codes.ts';
import { toSallyportError } from '#shared/error.ts';

/** The one place where an error becomes an SFTP STATUS, and of its text only the public half. */

/** Long enough for a sentence; public messages are ours, this only guards against a future one that isn't. */
const messageCharactersMax = 512;

export function toStatus(error: unknown): { code: StatusCode; message: string } {
  const known = toSallyportError(error);
  const reference = known.reference === undefined ? '' : ` (reference ${known.reference})`;
  return {
    code: statusCode[errorCodes[known.code].sftp],
    message: `${known.publicMessage}${reference}`.slice(0, messageCharactersMax),
  };
}
