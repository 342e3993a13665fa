import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SiteNode } from '#scripts/demonstration/site.ts';
import { demoUsers, type DemoUser } from '#scripts/demonstration/users.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { type Product, startProduct } from '#test/harness/product.ts';
import { addressOf, beginLogin, type WaitingLogin, type Way } from '#test/harness/waiting-login.ts';
import { root } from '#test/repo/source-tree.ts';

/** Each has an authenticator of their own, so that no test waits for another's next code. */
const people = ['lena', 'lock', 'pass', 'reset', 'shut'];
const moreUsers = people.flatMap((name): DemoUser[] =>
  demoUsers.filter((user) => user.name === 'alice').map((alice) => ({ ...alice, name, displayName: name })),
);

describe('a lease', () => {
  let product: Product;
  let dmz1: SiteNode;
  let dmz2: SiteNode;
  let home: Way;
  beforeAll(async () => {
    product = await startProduct({ nodes: 2, moreUsers });
    const [first, second] = product.site.nodes;
    if (first === undefined || second === undefined) throw new Error('two nodes');
    [dmz1, dmz2] = [first, second];
    home = { node: dmz1, protocol: 'sftp', from: addressOf(1), agent: 'FileZilla_3.68.1' };
  });
  afterAll(() => product.close());

  const open: WaitingLogin[] = [];
  async function stateOf(user: string, way: Way, password?: string): Promise<string> {
    const login = await beginLogin(product, user, way, password);
    open.push(login);
    return login.state;
  }
  /** Earned with a code, and it carries the next connection. */
  async function earn(user: string): Promise<void> {
    const login = await beginLogin(product, user, home);
    open.push(login);
    expect(login.state).toBe('asked');
    expect(await login.answer(await product.authenticator(user).next())).toBe('admitted');
    expect(await stateOf(user, home)).toBe('admitted');
  }
  afterAll(() => Promise.all(open.map((login) => login.close())));

  it('S-01: carries the same client of the same user to the same node, and nobody beside it', async () => {
    await earn('lena');
    const others: readonly [who: string, user: string, way: Way][] = [
      ['another client behind the same address', 'lena', { ...home, agent: 'WinSCP_release_6.5' }],
      ['the same program at another address', 'lena', { ...home, from: addressOf(2) }],
      ['the same client at the other node', 'lena', { ...home, node: dmz2 }],
      ['the web at the same address', 'lena', { ...home, protocol: 'https' }],
      ['another user of the same program and address', 'lock', home],
    ];
    for (const [who, user, way] of others) expect(await stateOf(user, way), who).toBe('asked');
    expect(await stateOf('lena', home, 'not her password')).toBe('refused');
    expect(await stateOf('lena', home)).toBe('admitted');
  });

  it('S-13: ends when wrong codes lock the factor, and does not come back with the unlock', async () => {
    await earn('lock');
    for (let tries = 0; tries < 10; tries += 1) {
      const login = await beginLogin(product, 'lock', { node: dmz2, protocol: 'https', from: addressOf(9) });
      expect(await login.answer('000000')).toBe('again');
      await login.close();
    }
    expect(await stateOf('lock', home)).toBe('asked');
    await product.sallyport('two-factor', 'unlock', 'lock');
    expect(await stateOf('lock', home)).toBe('asked');
  });

  it('S-01: ends with the password', async () => {
    await earn('pass');
    const command = ['--socket', product.site.files.main.socket, 'users', 'passwd', 'pass'];
    const password = 'a password of another kind';
    const changed = await runProgram(join(root, 'scripts', 'sallyport'), command, { input: password });
    expect(changed.status, changed.stderr).toBe(0);
    expect(await stateOf('pass', home)).toBe('refused');
    expect(await stateOf('pass', home, password)).toBe('asked');
  });

  it('S-01: ends with the factor it was earned by', async () => {
    await earn('reset');
    await product.sallyport('two-factor', 'reset', 'reset', '--reason', 'new phone');
    expect(await stateOf('reset', home), 'required, and nothing left to ask').toBe('refused');
    await product.sallyport('users', 'set', 'reset', 'email=reset@example.com');
    expect(await stateOf('reset', home)).toBe('asked');
  });

  it('S-01: ends with the account, and does not come back with it', async () => {
    await earn('shut');
    await product.sallyport('users', 'disable', 'shut');
    expect(await stateOf('shut', home)).toBe('refused');
    await product.sallyport('users', 'set', 'shut', 'status=active');
    expect(await stateOf('shut', home)).toBe('asked');
  });
});
