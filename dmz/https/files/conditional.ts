import type { IncomingHttpHeaders } from 'node:http';
import { SallyportError } from '#shared/error.ts';
import type { Attributes, Precondition } from '#shared/file-service/attributes.ts';
import { entityTagCharactersMax, entityTagsMax } from '#dmz/https/limits.ts';

/** Preconditions of RFC 9110 §13 on files. */

interface EntityTag {
  readonly opaque: string;
  readonly isWeak: boolean;
}

/** `"a", W/"b"` or `*`; anything else is `bad-request`: a precondition we can't read must not be passed over. */
function parseEntityTags(header: string): readonly EntityTag[] | '*' {
  if (header.trim() === '*') return '*';
  const tags: EntityTag[] = [];
  let rest = header.trim();
  while (rest !== '') {
    const match = /^(W\/)?"([\u0021\u0023-\u007e\u0080-\u00ff]*)"\s*(?:,\s*|$)/.exec(rest);
    const opaque = match?.[2];
    if (
      match === null ||
      opaque === undefined ||
      opaque.length > entityTagCharactersMax ||
      tags.length === entityTagsMax
    )
      throw new SallyportError('bad-request', 'That entity tag list can not be read');
    tags.push({ opaque, isWeak: match[1] !== undefined });
    rest = rest.slice(match[0].length);
  }
  if (tags.length === 0) throw new SallyportError('bad-request', 'That entity tag list is empty');
  return tags;
}

/** An HTTP date (RFC 9110 §5.6.7, the one format that is still made) in milliseconds, else undefined. */
export function parseHttpDate(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const form = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
  if (!form.test(header)) return undefined;
  const ms = Date.parse(header);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Whole seconds, as Last-Modified can say. */
export function modifiedSecondMs(attributes: Attributes): number {
  return Math.floor(attributes.mtimeMs / 1000) * 1000;
}

/** What a read should answer instead of the file, if anything (RFC 9110 §13.2.2). */
export function judgeRead(headers: IncomingHttpHeaders, file: Attributes): 304 | 412 | undefined {
  if (breaksMatch(headers, file)) return 412;
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    const tags = parseEntityTags(ifNoneMatch);
    return tags === '*' || tags.some((tag) => tag.opaque === file.etag) ? 304 : undefined;
  }
  const sinceMs = parseHttpDate(headers['if-modified-since']);
  return sinceMs !== undefined && modifiedSecondMs(file) <= sinceMs ? 304 : undefined;
}

/**
 * Whether a change must be refused, as things stand (`current` undefined: there is no such file). Only saves the client
 * from sending in vain; what counts is the precondition that main checks at the commit.
 */
export function breaksPrecondition(headers: IncomingHttpHeaders, current: Attributes | undefined): boolean {
  if (breaksMatch(headers, current)) return true;
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch === undefined || current === undefined) return false;
  const tags = parseEntityTags(ifNoneMatch);
  return tags === '*' || tags.some((tag) => tag.opaque === current.etag);
}

/** The headers as main checks them. A weak tag never matches strongly (RFC 9110 §8.8.3.2), so it stays out of If-Match. */
export function toPrecondition(headers: IncomingHttpHeaders): Precondition | undefined {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  const strong = ifMatch === undefined ? undefined : parseEntityTags(ifMatch);
  const any = ifNoneMatch === undefined ? undefined : parseEntityTags(ifNoneMatch);
  return {
    ...(strong !== undefined && {
      ifMatch: strong === '*' ? strong : strong.filter((tag) => !tag.isWeak).map((tag) => tag.opaque),
    }),
    ...(any !== undefined && { ifNoneMatch: any === '*' ? any : any.map((tag) => tag.opaque) }),
  };
}

/** If-Match, else If-Unmodified-Since. */
function breaksMatch(headers: IncomingHttpHeaders, current: Attributes | undefined): boolean {
  const ifMatch = headers['if-match'];
  if (ifMatch !== undefined) {
    const tags = parseEntityTags(ifMatch);
    if (current === undefined) return true;
    return tags !== '*' && !tags.some((tag) => !tag.isWeak && tag.opaque === current.etag);
  }
  const sinceMs = parseHttpDate(headers['if-unmodified-since']);
  return sinceMs !== undefined && (current === undefined || modifiedSecondMs(current) > sinceMs);
}
