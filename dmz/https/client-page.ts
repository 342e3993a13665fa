import { createHash } from 'node:crypto';
import type { Policy } from '#shared/link/messages.ts';
import { brandHeaders, pageHeaders } from './exchange/headers.ts';

/**
 * The web client's one page, with what main says of this place in it (D-51, D-135): name, banner, help and logo are
 * main's, so they are known only when main is there, may change while we run, and must be in the page before anybody has
 * signed in. Logo and colours have addresses of their own, since the page may have nothing inline. All of it is in memory.
 */

export type Branding = Policy['branding'];

interface BrandedFile {
  readonly plain: Buffer;
  readonly headers: readonly string[];
  readonly etag: string;
}

interface BrandedPages {
  readonly page: BrandedFile;
  /** By their paths. */
  readonly files: ReadonlyMap<string, BrandedFile>;
}

/** Where things stand in the built page. */
const nameInMeta = /(<meta name="application-name" content=")[^"]*(")/;
const nameInTitle = /(<title>)[^<]*(<\/title>)/;
const endOfHead = /()(<\/head>)/;

const stylesPath = '/branding/colours.css';

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? '');
}

/** The page and its files for the branding of the moment; made anew only when that changes. */
export function buildClientPage(html: string, branding: () => Branding): () => BrandedPages {
  let madeFor: string | undefined;
  let pages: BrandedPages | undefined;
  return () => {
    const now = branding();
    // The policy comes anew with every ban, with the same branding as a rule.
    const key = JSON.stringify(now);
    if (pages === undefined || madeFor !== key) pages = buildPages(html, now);
    madeFor = key;
    return pages;
  };
}

function buildPages(html: string, { name, banner, accent, logo, help }: Branding): BrandedPages {
  const files = new Map<string, BrandedFile>();
  let logoPath: string | undefined;
  if (logo !== undefined) {
    logoPath = `/branding/logo.${logo.type}`;
    const type = logo.type === 'svg' ? 'image/svg+xml' : 'image/png';
    files.set(logoPath, buildFile(Buffer.from(logo.content, 'base64'), type, brandHeaders));
  }
  if (accent !== undefined)
    files.set(
      stylesPath,
      buildFile(Buffer.from(brandingStyles(accent)), 'text/css; charset=utf-8', pageHeaders),
    );
  const told = JSON.stringify({ logo: logoPath, banner, help });
  const head = [
    ...(told === '{}' ? [] : [`<meta name="sallyport-branding" content="${escapeHtml(told)}" />`]),
    // After the client's own, whose colours it takes the place of.
    ...(accent === undefined ? [] : [`<link rel="stylesheet" href="${stylesPath}" />`]),
  ].join('');
  // Functions, so that `$&` in a name is two characters and nothing else.
  const putAs =
    (text: string) =>
    (_match: string, before: string, after: string): string =>
      before + text + after;
  const plain = html
    .replace(nameInMeta, putAs(escapeHtml(name)))
    .replace(nameInTitle, putAs(escapeHtml(name)))
    .replace(endOfHead, putAs(head));
  return { page: buildFile(Buffer.from(plain), 'text/html; charset=utf-8', pageHeaders), files };
}

/** Small, so it is not compressed. */
function buildFile(plain: Buffer, type: string, headers: readonly string[]): BrandedFile {
  const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  return {
    plain,
    etag,
    headers: [...headers, 'Content-Type', type, 'ETag', etag, 'Cache-Control', 'no-cache'],
  };
}

/** Main has looked whether the two can be read, with these very grounds made of them (`config-branding.ts`). */
function brandingStyles({ light, dark }: NonNullable<Branding['accent']>): string {
  const soft = `light-dark(color-mix(in srgb, ${light} 10%, #ffffff), color-mix(in srgb, ${dark} 15%, #181e27))`;
  const strong = `light-dark(color-mix(in srgb, ${light} 85%, #000000), color-mix(in srgb, ${dark} 80%, #ffffff))`;
  return `:root{--accent:light-dark(${light}, ${dark});--accent-soft:${soft};--accent-strong:${strong}}\n`;
}
