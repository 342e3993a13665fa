import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SiteNode } from '#scripts/demonstration/site.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct } from '#test/harness/product.ts';
import { addressOf, beginLogin } from '#test/harness/waiting-login.ts';

describe('what one node or door gave, used at another', () => {
  let product: Product;
  let dmz1: SiteNode;
  let dmz2: SiteNode;
  beforeAll(async () => {
    product = await startProduct({ nodes: 2 });
    const [first, second] = product.site.nodes;
    if (first === undefined || second === undefined) throw new Error('two nodes');
    [dmz1, dmz2] = [first, second];
  });
  afterAll(() => product.close());

  const browse = (node: SiteNode, cookie = ''): HttpsSession => {
    const session = new HttpsSession(node.https, product.site.files.ca, addressOf(1));
    session.cookie = cookie;
    return session;
  };
  async function beginAsAlice(node: SiteNode): Promise<HttpsSession> {
    const session = browse(node);
    const { body } = await session.json('POST', '/api/login', {
      username: 'alice',
      password: product.password('alice'),
    });
    expect(body['state']).toBe('code-required');
    return session;
  }
  const statusOf = async (session: HttpsSession, method: string, path: string, value?: object) =>
    (await session.json(method, path, value)).status;

  it('S-04: a half session of one node is nothing at the other, and the right code is not spent there', async () => {
    const half = await beginAsAlice(dmz1);
    const code = await product.authenticator('alice').next();
    const stolen = half.cookie;
    expect(await statusOf(browse(dmz2, stolen), 'POST', '/api/login/code', { code })).toBe(401);
    expect(await statusOf(browse(dmz2, stolen), 'POST', '/api/login/resend')).toBe(401);
    // Nor can the other node end it.
    await browse(dmz2, stolen).json('POST', '/api/logout');
    expect(await half.json('POST', '/api/login/code', { code })).toMatchObject({
      status: 200,
      body: { state: 'signed-in' },
    });

    // The cookie of before the step is dead at home too (session fixation).
    for (const node of [dmz1, dmz2]) expect(await statusOf(browse(node, stolen), 'GET', '/api/me')).toBe(401);
    expect(await statusOf(browse(dmz1, stolen), 'POST', '/api/login/code', { code })).toBe(401);
    expect(await statusOf(browse(dmz1, stolen.replace('=h.', '=s.')), 'GET', '/api/files/')).toBe(401);
  });

  it('S-04: a session of one node is nobody at the other, and goes on at home', async () => {
    const session = await beginAsAlice(dmz1);
    await session.json('POST', '/api/login/code', { code: await product.authenticator('alice').next() });
    const stolen = session.cookie;
    for (const [method, path] of [
      ['GET', '/api/me'],
      ['GET', '/api/files/'],
      ['PUT', '/api/files/stolen.txt'],
      ['POST', '/api/two-factor/setup'],
    ] as const)
      expect(await statusOf(browse(dmz2, stolen), method, path), path).toBe(401);
    await browse(dmz2, stolen).json('POST', '/api/logout');
    expect(await statusOf(session, 'GET', '/api/files/')).toBe(200);
  });

  it('S-01: a half session reaches nothing but its own second step', async () => {
    const half = await beginAsAlice(dmz2);
    for (const [method, path] of [
      ['GET', '/api/me'],
      ['GET', '/api/files/'],
      ['PUT', '/api/files/half.txt'],
      ['DELETE', '/api/files/half.txt'],
      ['POST', '/api/files/half?op=mkdir'],
      ['POST', '/api/two-factor/setup'],
      ['POST', '/api/two-factor/setup/confirm'],
    ] as const)
      expect(await statusOf(half, method, path), path).toBe(401);
    const asSession = browse(dmz2, half.cookie.replace('=h.', '=s.'));
    expect(await statusOf(asSession, 'GET', '/api/files/')).toBe(401);
  });

  it('S-01: a right first factor over HTTPS opens nothing over SFTP: each login proves its own', async () => {
    await beginAsAlice(dmz1);
    const way = { node: dmz1, protocol: 'sftp' as const, from: addressOf(1) };
    const begun = await beginLogin(product, 'alice', way, 'not her password');
    expect(await begun.answer(product.authenticator('alice').now())).toBe('refused');
    await begun.close();
  });

  it('S-01: a mailed code for one node, door and address is wrong at any other', async () => {
    const home = { node: dmz1, protocol: 'https' as const, from: addressOf(1) };
    const login = await beginLogin(product, 'bob', home);
    const code = product.newestMailedCode();
    for (const way of [
      { ...home, node: dmz2 },
      { ...home, protocol: 'sftp' as const },
      { ...home, from: addressOf(2) },
    ]) {
      const elsewhere = await beginLogin(product, 'bob', way);
      expect(await elsewhere.answer(code)).toBe('again');
      await elsewhere.close();
    }
    expect(await login.answer(code)).toBe('admitted');
  });
});
