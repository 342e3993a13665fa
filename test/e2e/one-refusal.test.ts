import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { type Product, startProduct } from '#test/harness/product.ts';

/** Real clients at both doors: what they see of a login that is refused before, or as if before, its first factor. */

/** The user, and whether the password is right: a shut account must look like a wrong password. */
const attempts = [
  ['nobody-we-know', 'wrong'],
  ['carol', 'wrong'],
  ['disabled', 'wrong'],
  ['disabled', 'right'],
  ['expired', 'right'],
  ['nowhere', 'right'],
] as const;

describe('one refusal for every reason', () => {
  let product: Product;
  beforeAll(async () => {
    const user = {
      hasPassword: true,
      hasKey: false,
      isEnrolled: false,
      requiredOn: [],
      registration: true,
      forceSetup: false,
    };
    product = await startProduct({
      moreUsers: [
        { ...user, name: 'disabled', displayName: 'Disabled' },
        { ...user, name: 'expired', displayName: 'Expired' },
        { ...user, name: 'nowhere', displayName: 'No address', requiredOn: ['https', 'sftp'] },
      ],
    });
    const { users } = product.site.files.main;
    await appendFile(join(users, 'disabled.yaml'), 'status: disabled\n');
    await appendFile(join(users, 'expired.yaml'), 'expires: 2020-01-01\n');
    await product.killMain();
  });
  afterAll(() => product.close());

  const passwordOf = (user: string, which: 'right' | 'wrong'): string =>
    which === 'right' ? product.password(user) : 'not the password';

  it('S-07: the same status, headers and body over HTTPS', async () => {
    const seen: string[] = [];
    for (const [username, which] of attempts) {
      const client = await CurlSession.start(product.site.https, product.site.files.ca);
      const answer = await client.call(
        '/api/login',
        ['-H', 'Content-Type: application/json'],
        JSON.stringify({ username, password: passwordOf(username, which) }),
      );
      await client.close();
      expect(answer.status).toBe(401);
      const text = `${answer.headers}${answer.body.toString()}`;
      seen.push(text.replace(/"reference":"\w{8}"/, '"reference":"…"').replace(/^date: .*$/im, 'date: …'));
    }
    expect(seen[0]).toContain('"reason":"refused"');
    expect(new Set(seen)).toEqual(new Set([seen[0]]));
  });

  it('S-07: the same methods, prompts and end over SFTP', async () => {
    const seen: object[] = [];
    for (const [user, which] of attempts) {
      const target = product.sftp(user, { password: passwordOf(user, which), code: '000000' });
      const { status, prompts, stderr } = await runOpenSshSftp(target, ['pwd'], ['-v']);
      const told = stderr
        .split(/\r?\n/)
        .filter((line) =>
          /can continue|Next authentication|denied|partial success|banner|Connection/i.test(line),
        )
        // The client names itself, its port and the user.
        .map((line) => line.replaceAll(user, 'USER').replaceAll(/\d+/g, 'N'));
      seen.push({ status, prompts: prompts.map((prompt) => prompt.replaceAll(user, 'USER')), told });
    }
    expect(seen[0]).toMatchObject({
      prompts: [expect.stringContaining('Password: '), expect.stringContaining('password: ')],
    });
    for (const one of seen) expect(one).toEqual(seen[0]);
  });
});
