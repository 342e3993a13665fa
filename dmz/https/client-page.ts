import { createHash } from 'node:crypto';
import { pageHeaders } from './exchange/headers.ts';

/**
 * The web client's one page, with the name of the service in it (D-51): the name is main's, so it is known only when
 * main is there, may change while we run, and must be in the page before anybody has signed in.
 */

interface ClientPage {
  readonly plain: Buffer;
  readonly headers: readonly string[];
  readonly etag: string;
}

/** Where the name stands in the built page. */
const nameInMeta = /(<meta name="application-name" content=")[^"]*(")/;
const nameInTitle = /(<title>)[^<]*(<\/title>)/;

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

/** The page for the name of the moment; made anew only when that changes. It is small, so it is not compressed. */
export function buildClientPage(html: string, serviceName: () => string): () => ClientPage {
  let madeFor: string | undefined;
  let page: ClientPage | undefined;
  return () => {
    const name = serviceName();
    if (page !== undefined && madeFor === name) return page;
    // A function, so that `$&` in a name is two characters and nothing else.
    const put = (_match: string, before: string, after: string): string => before + escapeHtml(name) + after;
    const plain = Buffer.from(html.replace(nameInMeta, put).replace(nameInTitle, put));
    const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
    madeFor = name;
    page = {
      plain,
      etag,
      headers: [
        ...pageHeaders,
        'Content-Type',
        'text/html; charset=utf-8',
        'ETag',
        etag,
        'Cache-Control',
        'no-cache',
      ],
    };
    return page;
  };
}
