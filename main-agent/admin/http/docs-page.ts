import { createHash } from 'node:crypto';
import { version } from '#shared/version.ts';
import type { z } from 'zod';
import { toJsonSchema } from './openapi.ts';
import { noAnswer, noBody, type Route } from './route.ts';

/** `/docs`: the table of routes as a page for people. One file, no scripts, nothing from elsewhere. */

const style = `
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1.5rem}
nav{columns:20rem}nav a{display:block;font:14px/1.6 ui-monospace,monospace;text-decoration:none}
section{border-top:1px solid #8886;padding-top:.5rem;margin-top:1.5rem}
h2{font:600 1.05rem/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
.role{font:600 .8rem system-ui;border:1px solid currentColor;border-radius:1rem;padding:0 .6rem}
pre{overflow:auto;background:#8882;padding:.75rem;border-radius:.4rem;font-size:14px}
dt{font:14px ui-monospace,monospace}dd{margin:0 0 .3rem 1.5rem}
`;

/** The style by its hash; all else is refused. */
export const docsContentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function renderDocs(routes: readonly Route[]): string {
  const links = routes.map((route) => `<a href="#${idOf(route)}">${escapeHtml(nameOf(route))}</a>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sallyport admin API</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>${style}</style></head><body>
<h1>Sallyport admin API ${escapeHtml(version)}</h1>
<p>For programs: <a href="/openapi.json">openapi.json</a>. On the unix socket callers are admins unless
<code>admin.socket_tokens</code> is <code>required</code>; everywhere else send <code>Authorization: Bearer slp_…</code>
(<code>sallyport tokens add</code>). <b>viewer</b> reads; <b>helpdesk</b> also resets, unlocks, bans and ends sessions,
of the users of its groups if it has some; <b>admin</b> does everything.</p>
<p>Errors are problems (RFC 9457) with a <code>code</code>, and mostly a <code>hint</code>. Lists come in pages:
<code>next</code>, if there is one, is the <code>cursor</code> of the next page. What others edit too is changed with
<code>If-Match</code>: the <code>ETag</code> that was read, or <code>*</code>.</p>
<nav>${links.join('\n')}</nav>
${routes.map(renderRoute).join('\n')}
</body></html>
`;
}

function renderRoute(route: Route): string {
  const query = Object.entries(toJsonSchema(route.query, 'input').properties ?? {});
  const parts = [
    `<section id="${idOf(route)}"><h2>${escapeHtml(nameOf(route))}</h2>`,
    `<p>${escapeHtml(route.summary)} <span class="role">${route.role}</span></p>`,
  ];
  if (route.etag !== undefined) parts.push('<p>Needs <code>If-Match</code>.</p>');
  if (query.length > 0) {
    const rows = query.map(
      ([name, schema]) => `<dt>?${escapeHtml(name)}</dt><dd>${escapeHtml(JSON.stringify(schema))}</dd>`,
    );
    parts.push(`<dl>${rows.join('')}</dl>`);
  }
  if (route.body !== noBody) parts.push(renderSchema('Body', route.body, 'input'));
  if (route.answer !== noAnswer) parts.push(renderSchema('Answer', route.answer, 'output'));
  return `${parts.join('\n')}</section>`;
}

function renderSchema(heading: string, schema: z.ZodType, io: 'input' | 'output'): string {
  const text = JSON.stringify(toJsonSchema(schema, io), undefined, 2);
  return `<details><summary>${heading}</summary><pre>${escapeHtml(text)}</pre></details>`;
}

function nameOf({ method, pattern }: Route): string {
  return `${method} ${pattern}`;
}

function idOf(route: Route): string {
  return nameOf(route)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
