import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

describe('main killed between consuming a code and answering', () => {
  let product: Product;
  beforeAll(async () => {
    product = await startProduct({
      mainProgram: fileURLToPath(new URL('../harness/dying-main.ts', import.meta.url)),
    });
  });
  afterAll(() => product.close());

  it('S-03: refuses that code after the restart', async () => {
    const curl = await CurlSession.start(product.site.https, product.site.files.ca);
    const login = { username: 'alice', password: product.password('alice') };
    // Not the oldest that main takes: it must still be in its window when a busy machine has started main again.
    await product.authenticator('alice').next();
    const code = await product.authenticator('alice').next();
    const pid = product.site.main.pid;
    writeFileSync(join(product.site.files.dir, 'main', 'die-after-code'), '');

    expect(await curl.json('POST', '/api/login', login)).toMatchObject({ body: { state: 'code-required' } });
    const cut = await curl.json('POST', '/api/login/code', { code });
    expect(cut.status).toBe(503);
    await waitUntil(() => product.site.main.pid !== undefined && product.site.main.pid !== pid, 10_000);

    // The link comes back by itself; until then the door says so.
    await waitUntil(async () => (await curl.json('POST', '/api/login', login)).status === 200, 20_000);
    const again = await curl.json('POST', '/api/login/code', { code });
    expect(again).toMatchObject({ status: 401, body: { reason: 'used-code' } });
    const fresh = await curl.json('POST', '/api/login/code', {
      code: await product.authenticator('alice').next(),
    });
    expect(fresh).toMatchObject({ status: 200, body: { state: 'signed-in' } });
    await curl.close();
  });

  it('keeps web sessions over a crash', async () => {
    const curl = await CurlSession.start(product.site.https, product.site.files.ca);
    await curl.login('frank', product.password('frank'));
    expect((await curl.call('/api/files/')).status).toBe(200);
    await product.killMain();
    await waitUntil(async () => (await curl.call('/api/files/')).status === 200, 20_000);
    await curl.close();
  });
});
