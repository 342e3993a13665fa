import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { SiteNode } from '#scripts/demonstration/site.ts';
import type { Supervised } from '#scripts/demonstration/supervisor.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';
import { addressOf, beginLogin } from '#test/harness/waiting-login.ts';

/** A process that starts reads its configuration, listens and joins: seconds at most. */
const backMs = 20_000;
const health = z.object({
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string().optional() })),
});

describe('validated_logins switched off', () => {
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

  async function isOk(origin: string, name: string): Promise<boolean | undefined> {
    const { checks } = health.parse(await (await fetch(`${origin}/healthz`)).json());
    return checks.find((check) => check.name === name)?.ok;
  }
  const statusOf = async (origin: string): Promise<number> => (await fetch(`${origin}/healthz`)).status;

  /** As an admin does it: one line in the file, and a restart. */
  async function switchOff(file: string, above: string, process_: Supervised): Promise<void> {
    const text = readFileSync(file, 'utf8');
    expect(text).toContain(above);
    const indent = above.endsWith(':') ? '  ' : '';
    writeFileSync(file, text.replace(above, `${above}\n${indent}validated_logins: false`));
    const old = process_.pid;
    if (old !== undefined) process.kill(old, 'SIGKILL');
    await waitUntil(async () => {
      if (process_.pid === undefined || process_.pid === old) return false;
      const links = await Promise.all(product.site.nodes.map((node) => isOk(node.health, 'main-link')));
      return links.every((ok) => ok === true);
    }, backMs);
  }

  /** How far the first factor leads, over each door. */
  async function tryDoors(user: string, node: SiteNode): Promise<string[]> {
    const states = [];
    for (const protocol of ['https', 'sftp'] as const) {
      const login = await beginLogin(product, user, { node, protocol, from: addressOf(1) });
      states.push(login.state);
      await login.close();
    }
    return states;
  }

  const admitted = ['admitted', 'admitted'];
  const asked = ['asked', 'asked'];
  const refused = ['refused', 'refused'];

  it('S-01: on one DMZ node only: who needs a code is refused there, and both sides are unwell', async () => {
    await switchOff(dmz2.files.config, 'node: dmz2', dmz2.process);
    expect(await tryDoors('alice', dmz2)).toEqual(refused);
    expect(await tryDoors('frank', dmz2)).toEqual(admitted);
    expect(await tryDoors('alice', dmz1)).toEqual(asked);

    expect(await isOk(dmz2.health, 'validated-logins-agree')).toBe(false);
    expect(await isOk(product.site.mainHealth, 'validated-logins-agree')).toBe(false);
    const statuses = await Promise.all([dmz1.health, dmz2.health, product.site.mainHealth].map(statusOf));
    expect(statuses).toEqual([200, 503, 503]);
    const status = await product.sallyport('status').catch(String);
    expect(status).toMatch(
      /BAD {3}validated-logins-agree: validated_logins is on here and OFF on dmz2: each login that needs a code/,
    );
    expect(status).not.toContain('All is well');
  });

  it('S-01: on main and that node, not on the other: the other refuses everybody until they agree', async () => {
    await switchOff(product.site.files.main.config, 'two_factor:', product.site.main);
    expect(await tryDoors('alice', dmz1)).toEqual(refused);
    expect(await tryDoors('frank', dmz1)).toEqual(refused);
    expect(await tryDoors('alice', dmz2), 'both off: the switch does what it says').toEqual(admitted);

    const statuses = await Promise.all([dmz1.health, dmz2.health, product.site.mainHealth].map(statusOf));
    expect(statuses, 'a switch that is off is told by whoever has it').toEqual([503, 503, 503]);
    const status = await product.sallyport('status').catch(String);
    expect(status).toMatch(/validated_logins is OFF here and on on dmz1: every login/);
    expect(status).toMatch(/validated logins +OFF/);
  });

  it('everywhere: nobody is asked, and status says so loudly', async () => {
    await switchOff(dmz1.files.config, 'node: dmz1', dmz1.process);
    expect(await tryDoors('alice', dmz1)).toEqual(admitted);
    const statuses = await Promise.all([dmz1.health, dmz2.health, product.site.mainHealth].map(statusOf));
    expect(statuses).toEqual([503, 503, 503]);
    expect(await product.sallyport('status').catch(String)).toContain(
      'BAD   validated-logins: validated_logins is off: no second factor is ever asked',
    );
  });
});
