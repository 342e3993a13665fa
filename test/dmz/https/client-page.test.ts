import { afterEach, describe, expect, it } from 'vitest';
import { buildClientPage } from '#dmz/https/client-page.ts';
import { Door } from './door.ts';

const html =
  '<meta name="application-name" content="Sallyport" /><title>Sallyport</title><script src="/a.js"></script>';

describe("the client's page", () => {
  it('carries the name of the service, and another entity tag once that changes', () => {
    let name = 'Files at Example';
    const page = buildClientPage(html, () => name);
    const first = page();
    expect(first.plain.toString()).toBe(
      '<meta name="application-name" content="Files at Example" /><title>Files at Example</title><script src="/a.js"></script>',
    );
    expect(page()).toBe(first);
    name = 'Archive';
    expect(page().plain.toString()).toContain('<title>Archive</title>');
    expect(page().etag).not.toBe(first.etag);
  });

  it('has no markup of the name in it, whatever it is called', () => {
    const page = buildClientPage(html, () => `"><script>'x'</script>& $& $1 </title>`);
    const escaped = '&quot;&gt;&lt;script&gt;&#39;x&#39;&lt;/script&gt;&amp; $&amp; $1 &lt;/title&gt;';
    expect(page().plain.toString()).toBe(
      `<meta name="application-name" content="${escaped}" /><title>${escaped}</title><script src="/a.js"></script>`,
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
});
