import { SallyportError } from '#shared/error.ts';

/**
 * Times as answers say them. RFC 3339 and HTTP dates have years of four digits; a disk may hold times far outside, which
 * become the nearest that can be said. `Date` would throw at the farthest, and one such file would hide its folder.
 */
const firstMs = Date.parse('0000-01-01T00:00:00Z');
const lastMs = Date.parse('9999-12-31T23:59:59Z');

function toDate(ms: number): Date {
  return new Date(Math.min(lastMs, Math.max(firstMs, ms)));
}

/** RFC 3339. */
export function formatTime(ms: number): string {
  return toDate(ms).toISOString();
}

/** RFC 9110 §5.6.7. */
export function formatHttpDate(ms: number): string {
  return toDate(ms).toUTCString();
}

/**
 * What a client says about when its file was last changed, whichever way it uploads: RFC 3339, or milliseconds since
 * 1970 as browsers give them. Rejects `bad-request`.
 */
export function parseMtime(untrustedText: string): number {
  const isDate = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/.test(untrustedText);
  const timeMs = /^\d{1,15}$/.test(untrustedText)
    ? Number(untrustedText)
    : isDate
      ? Date.parse(untrustedText)
      : Number.NaN;
  if (Number.isNaN(timeMs))
    throw new SallyportError('bad-request', 'mtime is a time such as 2026-01-15T08:30:00Z');
  return timeMs;
}
