import { isIPv4 } from 'node:net';

/** Unencrypted addresses, as configuration has them: what goes there is read and changed by who is on the way. */

/** What stands before the host may hold placeholders and blanks, so this is no job for `URL`; as there, a `\` ends the host. */
const parts = /^http:\/\/(?:[^/\\?#]*@)?(\[[^\]/\\?#]*\]|[^/\\?#:]*)/i;

/** True for `http://` to anywhere but this machine. */
export function isPlainElsewhere(url: string): boolean {
  const host = parts.exec(url)?.[1]?.toLowerCase();
  if (host === undefined) return false;
  return host !== 'localhost' && host !== '[::1]' && !(isIPv4(host) && host.startsWith('127.'));
}

/** Host and port, which is all that may be shown of it. */
export function hostOf(url: string): string {
  return /^https?:\/\/(?:[^/\\?#]*@)?([^/\\?#]*)/i.exec(url)?.[1] ?? '';
}
