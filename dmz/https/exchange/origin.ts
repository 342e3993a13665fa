import type { IncomingMessage } from 'node:http';

/**
 * Whether a request may come from where it comes from. A browser says so itself (Fetch Metadata, Origin); a script
 * that sends neither has no ambient cookie another site could use, and is served.
 */
export function isForeign(request: IncomingMessage, ownOrigin: string): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin } = request.headers;
  return origin !== undefined && origin !== ownOrigin;
}
