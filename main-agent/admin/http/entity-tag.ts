import { SallyportError } from '#shared/error.ts';
import type { Route, UncheckedCall } from './route.ts';

/** If-Match (RFC 9110 §13.1.1) where a route asks for it (428, RFC 6585). */

/** The tag the change is for; undefined: whatever is there. Rejects `precondition-required`, `precondition-failed`. */
export async function requireIfMatch(
  route: Pick<Route, 'etag'>,
  header: string | undefined,
  call: UncheckedCall,
): Promise<string | undefined> {
  if (header === undefined) {
    if (route.etag === undefined) return undefined;
    throw new SallyportError('precondition-required', 'If-Match is needed', {
      hint: 'send the ETag you read, or `*` to change it whatever it is now',
    });
  }
  if (header.trim() === '*') return undefined;
  const tags = readTags(header);
  if (route.etag === undefined) return tags[0];
  const present = await route.etag(call);
  // What is not there has no tag; its route says that it is missing.
  if (present === undefined || tags.includes(present)) return present;
  throw new SallyportError('precondition-failed', 'It was changed meanwhile', {
    detail: `etag "${present}", asked for ${header.slice(0, 200)}`,
    hint: 'read it again',
  });
}

/** Strong comparison: a weak tag matches nothing. */
function readTags(header: string): readonly string[] {
  return [...header.matchAll(/(W\/)?"([\x21\x23-\x7e]{0,200})"/g)].flatMap(([, weak, tag]) =>
    weak === undefined && tag !== undefined ? [tag] : [],
  );
}
