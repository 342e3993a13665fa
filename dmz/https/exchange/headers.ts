/**
 * Headers on every answer. Pages are ours and may only use what is ours; files are strangers' and may do nothing.
 */

export const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

/** An uploaded page, drawing or document that a browser shows anyway: no scripts, no origin, no requests. */
export const filePolicy = [
  "default-src 'none'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  'sandbox',
].join('; ');

/** The logo, opened by its own address: it draws, and what it says of its own looks counts. */
const logoPolicy = [filePolicy, "style-src 'unsafe-inline'"].join('; ');

const everywhere: readonly string[] = [
  'Strict-Transport-Security',
  'max-age=31536000',
  'X-Content-Type-Options',
  'nosniff',
  'Referrer-Policy',
  'no-referrer',
  'Cross-Origin-Opener-Policy',
  'same-origin',
  'Cross-Origin-Resource-Policy',
  'same-origin',
  'Permissions-Policy',
  'accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), serial=(), usb=()',
  'X-Frame-Options',
  'DENY',
];

/** Flat name, value, name, value … lists, as `ServerResponse.writeHead` takes them. */
export const pageHeaders: readonly string[] = [...everywhere, 'Content-Security-Policy', pagePolicy];
export const apiHeaders: readonly string[] = [...pageHeaders, 'Cache-Control', 'no-store'];
export const brandHeaders: readonly string[] = [...everywhere, 'Content-Security-Policy', logoPolicy];
export const fileHeaders: readonly string[] = [
  ...everywhere,
  'Content-Security-Policy',
  filePolicy,
  'Cache-Control',
  'no-store',
];
