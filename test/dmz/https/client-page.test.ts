import { afterEach, describe, expect, it } from 'vitest';
import { buildClientPage } from '#dmz/https/client-page.ts';
import { Door } from './door.ts';

const html =
  '<head><meta name="application-name" content="Sallyport" /><title>Sallyport</title><script src="/a.js"></script></head>';
const svg = '<svg xmlns="http://www.w3.org/2000/svg"/>';
const brand = {
  banner: 'Authorised use <b>only</b>',
  accent: { light: '#7a1f5c', dark: '#e39acb' },
  logo: { type: 'svg', content: Buffer.from(svg).toString('base64') },
  help: { text: 'Call us', link: 'https://example.com/help' },
} as const;

describe("the client's page", () => {
  it('carries the name of the service, and another entity tag once that changes', () => {
    let name = 'Files at Example';
    const pages = buildClientPage(html, () => ({ name }));
    const { page: first } = pages();
    expect(first.plain.toString()).toBe(
      '<head><meta name="application-name" content="Files at Example" /><title>Files at Example</title><script src="/a.js"></script></head>',
    );
    expect(pages().page).toBe(first);
    name = 'Archive';
    expect(pages().page.plain.toString()).toContain('<title>Archive</title>');
    expect(pages().page.etag).not.toBe(first.etag);
  });

  it('has no markup of the name in it, whatever it is called', () => {
    const { page } = buildClientPage(html, () => ({ name: `"><script>'x'</script>& $& $1 </title>` }))();
    const escaped = '&quot;&gt;&lt;script&gt;&#39;x&#39;&lt;/script&gt;&amp; $&amp; $1 &lt;/title&gt;';
    expect(page.plain.toString()).toBe(
      `<head><meta name="application-name" content="${escaped}" /><title>${escaped}</title><script src="/a.js"></script></head>`,
    );
  });

  it('tells banner, help and logo in its head, and has addresses for logo and colours, with nothing inline', () => {
    const { page, files } = buildClientPage(html, () => ({ name: 'Files', ...brand }))();
    const text = page.plain.toString();
    const [, told = ''] = /<meta name="sallyport-branding" content="([^"]*)" \/>/.exec(text) ?? [];
    expect(
      JSON.parse(told.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>')),
    ).toEqual({
      logo: '/branding/logo.svg',
      banner: brand.banner,
      help: brand.help,
    });
    expect(text).not.toContain('<b>');
    expect(text).toContain('<link rel="stylesheet" href="/branding/colours.css" /></head>');
    expect(files.get('/branding/logo.svg')?.plain.toString()).toBe(svg);
    expect(files.get('/branding/colours.css')?.plain.toString()).toContain(
      '--accent:light-dark(#7a1f5c, #e39acb)',
    );
  });
});

describe('the door', () => {
  let door: Door | undefined;
  afterEach(() => door?.close());

  it('serves the page with the name of main’s policy, and says so when a browser has it already', async () => {
    door = await Door.open();
    for (const path of ['/', '/index.html', '/files/a/b', '/options']) {
      const { status, headers, body } = await door.client().get(path);
      expect([status, headers['cache-control'], headers['content-type']]).toEqual([
        200,
        'no-cache',
        'text/html; charset=utf-8',
      ]);
      expect(body.toString()).toContain('<title>Sallyport</title>');
      const again = await door.client().get(path, { 'If-None-Match': headers.etag ?? '' });
      expect([again.status, again.body.length]).toEqual([304, 0]);
    }
  });

  it('serves the logo from memory, sandboxed and as what it is, and nothing else from beside it', async () => {
    door = await Door.open({ inside: { policy: { branding: { name: 'Files', ...brand } } } });
    const { status, headers, body } = await door.client().get('/branding/logo.svg');
    expect([status, headers['content-type'], body.toString()]).toEqual([200, 'image/svg+xml', svg]);
    expect(headers['content-security-policy']).toMatch(/default-src 'none'.*sandbox/);
    expect((await door.client().get('/branding/colours.css')).headers['content-type']).toBe(
      'text/css; charset=utf-8',
    );
    expect((await door.client().get('/branding/logo.png')).status).toBe(404);
    expect((await door.client().get('/branding/../../etc/passwd')).status).toBeGreaterThanOrEqual(400);
  });
});
