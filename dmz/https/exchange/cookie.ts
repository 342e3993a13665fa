/**
 * The one session cookie, and the cookie of a remembered device. Values are main's opaque ids; the session cookie
 * says by its first letter whether it is a half session (`h.` challenge) or a session (`s.`).
 *
 * Trust: the Cookie header is a stranger's; anything but exactly one well-formed value counts as none.
 */

const sessionCookie = '__Host-sallyport';
const deviceCookie = '__Host-sallyport-device';
/** `__Host-` (RFC 6265bis §4.1.3.2): no Domain, Path=/, Secure: no sibling host can plant one. */
const attributes = 'Path=/; Secure; HttpOnly; SameSite=Strict';

type SessionCookie =
  | { readonly kind: 'half'; readonly challenge: string }
  | { readonly kind: 'session'; readonly session: string };

export function readSessionCookie(header: string | undefined): SessionCookie | undefined {
  const match = /^([hs])\.([A-Za-z0-9_-]{43})$/.exec(readOne(header, sessionCookie) ?? '');
  const id = match?.[2];
  if (id === undefined) return undefined;
  return match?.[1] === 'h' ? { kind: 'half', challenge: id } : { kind: 'session', session: id };
}

export function readDeviceCookie(header: string | undefined): string | undefined {
  const value = readOne(header, deviceCookie);
  return value !== undefined && /^[A-Za-z0-9_-]{16,128}$/.test(value) ? value : undefined;
}

export function setHalfSession(challenge: string): readonly string[] {
  return ['Set-Cookie', `${sessionCookie}=h.${challenge}; ${attributes}`];
}

export function setSession(session: string): readonly string[] {
  return ['Set-Cookie', `${sessionCookie}=s.${session}; ${attributes}`];
}

export function clearSession(): readonly string[] {
  return ['Set-Cookie', `${sessionCookie}=; ${attributes}; Max-Age=0`];
}

export function setDevice(device: { readonly value: string; readonly maxAgeMs: number }): readonly string[] {
  return [
    'Set-Cookie',
    `${deviceCookie}=${device.value}; ${attributes}; Max-Age=${Math.floor(device.maxAgeMs / 1000)}`,
  ];
}

/** Two cookies of one name: we can't know which is ours, so neither is. */
function readOne(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  const values = header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? values[0] : undefined;
}
