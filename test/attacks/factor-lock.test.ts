import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SiteNode } from '#scripts/demonstration/site.ts';
import { generatePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct } from '#test/harness/product.ts';
import { addressOf, beginLogin, type WaitingLogin, type Way } from '#test/harness/waiting-login.ts';

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

async function statusOf(user: string): Promise<Record<string, unknown>> {
  return JSON.parse(await product.sallyport('--json', 'two-factor', 'status', user)) as Record<
    string,
    unknown
  >;
}

/** What the code led to, in a login of its own. */
async function answerOnce(user: string, way: Way, code: string, typedAs = user): Promise<string> {
  const login = await beginLogin(product, typedAs, way, product.password(user));
  expect(login.state).toBe('asked');
  const outcome = await login.answer(code);
  await login.close();
  return outcome;
}

describe('brute force with the right password', () => {
  /** Alike only in whose factor they are about. */
  function ways(): Way[] {
    return Array.from({ length: 10 }, (_, index) => ({
      node: index % 2 === 0 ? dmz1 : dmz2,
      protocol: index % 3 === 0 ? ('sftp' as const) : ('https' as const),
      from: addressOf(index),
    }));
  }
  const spellings = ['000000', '000 000', '000-000', ' 000000 ', '0-0-0-0-0-0', '000\u2013000', '00 00 00'];
  /** Each means Alice: another spelling is no other row of tries. */
  const names = ['alice', 'Alice', 'ALICE', 'alice ', ' alice', '\uff41lice', 'ali\u200bce'];
  const here = (protocol: Way['protocol'], node = dmz1): Way => ({ node, protocol, from: addressOf(40) });

  it('S-13: a user name that only looks alike is nobody, with the right password and over both doors', async () => {
    for (const name of ['al\u0131ce', 'alice\u0000', 'a\u0301lice', 'al ice', '\u0430lice'])
      for (const protocol of ['https', 'sftp'] as const) {
        const login = await beginLogin(product, name, here(protocol), product.password('alice'));
        expect(login.state, `${JSON.stringify(name)} over ${protocol}`).not.toBe('asked');
        await login.close();
      }
    expect(await statusOf('alice')).toMatchObject({ failures: 0 });
  });

  it('S-13: ten wrong codes lock the factor, however they are spread and spelled', async () => {
    for (const [index, way] of ways().entries())
      expect(
        await answerOnce(
          'alice',
          way,
          spellings[index % spellings.length] ?? '',
          names[index % names.length],
        ),
      ).toBe('again');
    for (const node of [dmz1, dmz2]) {
      expect(await answerOnce('alice', here('https', node), product.authenticator('alice').now())).toBe(
        'locked',
      );
      expect(await answerOnce('alice', here('sftp', node), product.authenticator('alice').now())).toBe(
        'refused',
      );
    }
  });

  it('S-13: the lock outlives main, killed without warning', async () => {
    await product.killMain();
    expect(await answerOnce('alice', here('https', dmz2), product.authenticator('alice').now())).toBe(
      'locked',
    );
    expect((await statusOf('alice'))['locked_until']).toBeDefined();
  });

  it("S-13: the admin's bypass code works meanwhile, once, and lifts nothing", async () => {
    const printed = await product.sallyport('two-factor', 'bypass-code', 'alice', '--reason', 'lost phone');
    const bypass = printed.split('\n')[0] ?? '';
    expect(await answerOnce('alice', here('sftp', dmz2), bypass.toLowerCase())).toBe('admitted');
    expect(await answerOnce('alice', here('https'), bypass)).toBe('locked');
    expect(await answerOnce('alice', here('https'), product.authenticator('alice').now())).toBe('locked');
  });

  it('unlocked by an admin, the right code is good again', async () => {
    await product.sallyport('two-factor', 'unlock', 'alice', '--reason', 'called back');
    const code = await product.authenticator('alice').next();
    expect(await answerOnce('alice', here('https', dmz2), code)).toBe('admitted');
  });
});

describe('a stranger without the password', () => {
  const home = (): Way => ({ node: dmz1, protocol: 'https', from: addressOf(50) });

  /** Asks whether a key would do, as the first step of a login with it, and gives up. */
  function probe(node: SiteNode, from: string): Promise<void> {
    const key = generatePrivateKeyFile('stranger').file.expose();
    return new Promise((resolve) => {
      const client = new ssh2.Client();
      client.on('error', () => undefined);
      client.once('close', () => resolve());
      const { host, port } = node.sftp;
      client.connect({ host, port, localAddress: from, username: 'alice', privateKey: key });
    });
  }

  it('S-13: locks nobody, and keeps nobody out who has been there before', async () => {
    expect(await answerOnce('alice', home(), await product.authenticator('alice').next())).toBe('admitted');

    const attempts: (() => Promise<unknown>)[] = Array.from({ length: 100 }, (_, index) => async () => {
      const node = index % 2 === 0 ? dmz1 : dmz2;
      const way = { node, protocol: 'https' as const, from: addressOf(60 + index) };
      const login = await beginLogin(product, 'alice', way, 'not her password');
      expect(login.state).not.toBe('asked');
      expect(await login.answer('000000')).not.toBe('admitted');
    });
    for (let index = 0; index < 10; index += 1) attempts.push(() => probe(dmz1, addressOf(170 + index)));
    const flood = Promise.all(attempts.map((attempt) => attempt()));
    // While they are at it, and after them.
    const during: WaitingLogin = await beginLogin(product, 'alice', home());
    expect(during.state).toBe('asked');
    await flood;

    // One may have its turn, and one waits for the next: more have none while a door waits.
    const strangers = [200, 201, 202, 203].map(async (number) => {
      const stranger = { node: dmz2, protocol: 'https' as const, from: addressOf(number) };
      return (await beginLogin(product, 'alice', stranger, 'not her password')).state;
    });
    expect(await Promise.all(strangers), 'strangers are slowed').toContain('locked');
    expect(await statusOf('alice')).toMatchObject({ failures: 0 });
    expect((await statusOf('alice'))['locked_until']).toBeUndefined();
    expect(await during.answer(await product.authenticator('alice').next())).toBe('admitted');
  });

  it('S-01: a code goes nowhere without a first factor, with no cookie or an invented one', async () => {
    const session = new HttpsSession(dmz1.https, product.site.files.ca, addressOf(210));
    const before = product.audit().length;
    for (let tries = 0; tries < 12; tries += 1)
      expect((await session.json('POST', '/api/login/code', { code: '000000' })).status).toBe(401);
    const verdicts = product.audit().slice(before);
    expect(verdicts.filter((one) => one['event'] === 'login.code-refused')).toEqual([]);
    expect(await statusOf('alice')).toMatchObject({ failures: 0 });
  });
});
