import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { demoUsers } from '#scripts/demonstration/users.ts';
import type { Protocol } from '#shared/login.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';
import { addressOf, beginLogin, type WaitingLogin, type Way } from '#test/harness/waiting-login.ts';

/** A second user of mailed codes: bob's next one has to wait. */
const moreUsers = demoUsers
  .filter((user) => user.name === 'bob')
  .map((bob) => ({ ...bob, name: 'mia', email: 'mia@example.com' }));

/**
 * One code shown many times at once, over both doors of two nodes, from an address each: one session. The verdicts are
 * counted in main's audit, so that no limit on the way hides an attempt.
 */
describe('a code shown many times at once', () => {
  let product: Product;
  /** Of carol's sheet, once she has one. */
  let recoveryCodes: string[] = [];
  beforeAll(async () => {
    product = await startProduct({
      nodes: 2,
      moreUsers,
      mainProgram: fileURLToPath(new URL('../harness/dying-main.ts', import.meta.url)),
    });
  });
  afterAll(() => product.close());

  /** Unlike each other in node, door and address. */
  function ways(count: number, first: number): Way[] {
    return Array.from({ length: count }, (_, index) => {
      const node = product.site.nodes[index % 2];
      if (node === undefined) throw new Error('two nodes');
      const protocol: Protocol = Math.floor(index / 2) % 2 === 0 ? 'https' : 'sftp';
      return { node, protocol, from: addressOf(first + index) };
    });
  }

  /** At the prompt, all of them; a few at a time, because doors bound the logins that have not begun. */
  async function beginAll(user: string, all: readonly Way[]): Promise<WaitingLogin[]> {
    const logins: WaitingLogin[] = [];
    for (let start = 0; start < all.length; start += 8) {
      const some = all.slice(start, start + 8).map((way) => beginLogin(product, user, way));
      logins.push(...(await Promise.all(some)));
    }
    expect(logins.map((login) => login.state)).toEqual(all.map(() => 'asked'));
    return logins;
  }

  async function answerAll(logins: readonly WaitingLogin[], code: string): Promise<string[]> {
    const outcomes = await Promise.all(logins.map((login) => login.answer(code)));
    await Promise.all(logins.map((login) => login.close()));
    return outcomes;
  }

  const verdictsOf = (user: string) =>
    product
      .audit()
      .filter(
        (one) =>
          one['user'] === user &&
          (one['event'] === 'login.admitted' || one['event'] === 'login.code-refused'),
      );

  /** The verdicts about this user while `work` ran; at least `atLeast` of them. */
  async function verdictsDuring(user: string, atLeast: number, work: () => Promise<void>) {
    const before = verdictsOf(user).length;
    await work();
    await waitUntil(() => verdictsOf(user).length >= before + atLeast, 10_000);
    return verdictsOf(user).slice(before);
  }

  it('S-03: fifty times an authenticator code: one session, and fifty verdicts on main', async () => {
    const logins = await beginAll('alice', ways(50, 0));
    const code = await product.authenticator('alice').next();
    const verdicts = await verdictsDuring('alice', 40, async () => {
      const outcomes = await answerAll(logins, code);
      expect(outcomes.filter((one) => one === 'admitted')).toHaveLength(1);
    });
    expect(verdicts.filter((one) => one['event'] === 'login.admitted')).toHaveLength(1);
    const refused = verdicts.filter((one) => one['event'] === 'login.code-refused');
    expect(new Set(refused.map((one) => one['rule']))).toEqual(new Set(['used-code']));
    expect(new Set(refused.map((one) => `${String(one['node'])} ${String(one['protocol'])}`)).size).toBe(4);
  });

  it('S-03: a mailed code, by ten who joined it and four elsewhere who saw it: one session, one mail', async () => {
    const [first] = ways(1, 100);
    if (first === undefined) throw new Error('a way');
    const joined = await beginAll('bob', Array<Way>(10).fill(first));
    const elsewhere = await beginAll('bob', ways(5, 100).slice(1));
    expect(product.mails()).toHaveLength(1);
    const code = product.newestMailedCode();
    const verdicts = await verdictsDuring('bob', 14, async () => {
      const outcomes = await answerAll([...elsewhere, ...joined], code);
      expect(outcomes.filter((one) => one === 'admitted')).toHaveLength(1);
      expect(outcomes.slice(0, elsewhere.length)).not.toContain('admitted');
    });
    expect(verdicts.filter((one) => one['event'] === 'login.admitted')).toHaveLength(1);
  });

  it('S-03: a recovery code, eight times: one session; the next code of the sheet still works', async () => {
    recoveryCodes = await enrolCarol();
    const logins = await beginAll('carol', ways(8, 200));
    const code = recoveryCodes.pop() ?? '';
    const verdicts = await verdictsDuring('carol', 8, async () => {
      const outcomes = await answerAll(logins, code);
      expect(outcomes.filter((one) => one === 'admitted')).toHaveLength(1);
    });
    expect(verdicts.filter((one) => one['method'] === 'recovery')).toHaveLength(1);
    const [again] = await beginAll('carol', ways(1, 210));
    expect(await again?.answer(recoveryCodes.pop() ?? '')).toBe('admitted');
  });

  it('S-03: a bypass code, eight times: one session', async () => {
    const code = await makeBypassCode();
    const logins = await beginAll('alice', ways(8, 220));
    const verdicts = await verdictsDuring('alice', 8, async () => {
      const outcomes = await answerAll(logins, code);
      expect(outcomes.filter((one) => one === 'admitted')).toHaveLength(1);
    });
    expect(verdicts.filter((one) => one['method'] === 'bypass')).toHaveLength(1);
  });

  const crashes: readonly [what: string, user: string, code: () => Promise<string>][] = [
    ['a mailed code', 'mia', async () => product.newestMailedCode()],
    ['a recovery code', 'carol', async () => recoveryCodes.pop() ?? ''],
    ['a bypass code', 'alice', makeBypassCode],
  ];
  for (const [what, user, codeOf] of crashes) {
    it(`S-03: ${what} is dead after main died between spending it and the answer`, async () => {
      const [before, after, other] = ways(3, 300);
      if (before === undefined || after === undefined || other === undefined) throw new Error('ways');
      const login = await beginLogin(product, user, before);
      const code = await codeOf();
      const old = product.site.main.pid;
      writeFileSync(join(product.site.files.dir, 'main', 'die-after-code'), '');
      expect(await login.answer(code)).toBe('refused');
      await product.mainIsBack(old);
      for (const way of [before, after, other]) {
        const again = await beginLogin(product, user, way);
        expect(again.state).toBe('asked');
        expect(await again.answer(code)).toBe('again');
        await again.close();
      }
    });
  }

  async function makeBypassCode(): Promise<string> {
    const printed = await product.sallyport('two-factor', 'bypass-code', 'alice', '--reason', 'test');
    return printed.split('\n')[0] ?? '';
  }

  /** As carol does it on the web; her requirement follows (auto_enable). */
  async function enrolCarol(): Promise<string[]> {
    const session = new HttpsSession(product.site.https, product.site.files.ca);
    const login = { username: 'carol', password: product.password('carol') };
    expect((await session.json('POST', '/api/login', login)).status).toBe(200);
    const { body } = await session.json('POST', '/api/two-factor/setup');
    await session.json('POST', '/api/two-factor/setup/confirm');
    const code = new Authenticator(String(body['secret'])).now();
    const proven = await session.json('POST', '/api/two-factor/setup/prove', { code });
    return proven.body['recovery_codes'] as string[];
  }
});
