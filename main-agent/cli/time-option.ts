import { parseDuration } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';

/** A time as people type it: `today` (from midnight UTC), a date, a moment, or how long ago. RFC 3339 in UTC. */
export function readTime(option: string, text: string, nowMs: number): string {
  if (text === 'today') return new Date(Math.floor(nowMs / 86_400_000) * 86_400_000).toISOString();
  const ago = parseDuration(text);
  const atMs = ago === undefined ? Date.parse(text) : nowMs - ago;
  if (Number.isNaN(atMs)) {
    throw new SallyportError('usage', `${option} does not fit`, {
      detail: text,
      hint: 'today, a time such as 2026-11-24T08:00:00Z, or how long ago, such as 12h',
    });
  }
  return new Date(atMs).toISOString();
}
