import type { IncomingMessage } from 'node:http';
import { SallyportError } from '#shared/error.ts';
import { parseStrictJson } from '#shared/json.ts';
import { noBody, type Route } from './route.ts';
import { bodyBytesMax } from './limits.ts';

/** The JSON of a call; undefined: none was sent. Rejects `bad-request`, `too-many`. */
export async function readJson(request: IncomingMessage, route: Route): Promise<unknown> {
  const pieces: Buffer[] = [];
  const most = route.bodyBytesMax ?? bodyBytesMax;
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > most) {
      throw new SallyportError('too-many', 'The body is too large', {
        detail: `more than ${most} bytes`,
      });
    }
    pieces.push(piece);
  }
  if (bytes === 0) return undefined;
  if (route.body === noBody) throw new SallyportError('bad-request', 'This call takes no body');
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
    throw new SallyportError('bad-request', 'The body must be application/json');
  }
  try {
    return parseStrictJson(Buffer.concat(pieces).toString('utf8'));
  } catch (cause) {
    throw new SallyportError('bad-request', 'The body is not JSON with each field once', { cause });
  }
}
