import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { type Product, startProduct } from '#test/harness/product.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';

/** `validated_logins: sealed` with the real processes and real clients: the demo's users, and one that nobody has. */

let product: Product;
let browser: WebBrowser;
let foreignKey: string;
beforeAll(async () => {
  [product, browser] = await Promise.all([startProduct(), startWebBrowser()]);
  const { config } = product.site.files.main;
  const text = await readFile(config, 'utf8');
  await writeFile(config, text.replace('two_factor:\n', 'two_factor:\n  validated_logins: sealed\n'));
  await product.killMain();
  foreignKey = join(product.folder, 'foreign-key');
  await runProgram('/usr/bin/ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', foreignKey]);
});
afterAll(async () => {
  await browser.close();
  await product.close();
});

const wrongPassword = 'not the password';
/** Whose password is right, and what is answered to the second question. */
const attempts = [
  ['nobody', wrongPassword, '000000'],
  ['alice', wrongPassword, '000000'],
  ['alice', undefined, '000000'],
  ['alice', undefined, ''],
  ['bob', undefined, '000000'],
  ['frank', wrongPassword, ''],
] as const;
const passwordOf = (user: string, typed: string | undefined): string => typed ?? product.password(user);

describe('a sealed login', () => {
  it('S-07: is one dialogue for everybody in OpenSSH, up to its end', async () => {
    const seen: object[] = [];
    for (const [user, typed, code] of attempts) {
      const target = product.sftp(user, { password: passwordOf(user, typed), code });
      const { status, prompts, stderr } = await runOpenSshSftp(target, ['pwd'], ['-v']);
      const told = stderr
        .split(/\r?\n/)
        .filter((line) => /can continue|Next authentication|denied|partial success|Connection/i.test(line))
        // The client names itself, its port and the user.
        .map((line) => line.replaceAll(user, 'USER').replaceAll(/\d+/g, 'N'));
      seen.push({ status, prompts: prompts.map((one) => one.replaceAll(user, 'USER')), told });
    }
    expect(seen[0]).toMatchObject({
      prompts: expect.arrayContaining([expect.stringContaining('Verification code: ')]) as string[],
    });
    for (const one of seen) expect(one).toEqual(seen[0]);
  });

  it('S-07: is one answer with curl, and the admin finds what was wrong by its reference', async () => {
    const seen: string[] = [];
    const references: string[] = [];
    for (const [username, typed, code] of attempts) {
      const client = await CurlSession.start(product.site.https, product.site.files.ca);
      const json = ['-H', 'Content-Type: application/json'];
      const first = { username, password: passwordOf(username, typed) };
      const asked = await client.call('/api/login', json, JSON.stringify(first));
      const ended = await client.call('/api/login/code', json, JSON.stringify({ code }));
      await client.close();
      expect([asked.status, ended.status]).toEqual([200, 401]);
      const reference = /"reference":"(\w{8})"/.exec(ended.body.toString())?.[1] ?? '';
      references.push(reference);
      seen.push(
        [asked, ended]
          .map(({ headers, body }) => `${headers}${body.toString()}`)
          .join('\n')
          .replaceAll(/^date: .*$/gim, 'date: …')
          .replaceAll(/h\.[A-Za-z0-9_-]{43}/g, 'h.…')
          .replace(reference, '…'),
      );
    }
    expect(new Set(seen)).toEqual(new Set([seen[0]]));
    const rules = references.map(
      (reference) => product.audit().find((one) => one['reference'] === reference)?.['rule'],
    );
    expect(rules).toEqual([
      'no such user',
      'wrong password',
      'wrong-code',
      'no code, where one is due',
      'wrong-code',
      'wrong password',
    ]);
    expect(
      await product.sallyport('explain', 'login', 'frank', '--protocol', 'https', '--ip', '192.0.2.1'),
    ).toMatch(/validated_logins\s+sealed/);
  });

  it('lets in whose password and code are right, whose key is, and who needs no code', async () => {
    const alice = product.sftp('alice', {
      password: product.password('alice'),
      code: await product.authenticator('alice').next(),
    });
    expect((await runOpenSshSftp(alice, ['pwd'])).status).toBe(0);
    const frank = product.sftp('frank', { password: product.password('frank') });
    const frankIn = await runOpenSshSftp(frank, ['pwd']);
    expect([frankIn.status, frankIn.prompts.length]).toEqual([0, 2]);
    const keyFile = product.site.users['erin']?.sshKeyFile ?? '';
    const code = await product.authenticator('erin').next();
    expect((await runOpenSshSftp(product.sftp('erin', { keyFile, code }), ['pwd'])).status).toBe(0);
    const foreign = await runOpenSshSftp(product.sftp('erin', { keyFile: foreignKey, code: '000000' }), [
      'pwd',
    ]);
    expect(foreign.status).not.toBe(0);
    expect(foreign.prompts[0]).toContain('Verification code: ');
  });

  it('asks everybody on the second page, which may be left empty, and says on the first that something was wrong', async () => {
    const page = await browser.visit({ ignoreHTTPSErrors: true });
    const flows = new WebFlows(page, product.site.https);
    await flows.open();
    const lead = 'If you use no code, leave this empty and continue.';
    await flows.submitPassword('frank', wrongPassword);
    await page.getByText(lead).waitFor();
    await flows.submitCode('');
    await page.getByText('User name, password and code don’t match.').waitFor();
    await flows.submitPassword('frank', product.password('frank'));
    await page.getByText(lead).waitFor();
    await flows.submitCode('');
    await page.getByRole('button', { name: 'Account of frank' }).waitFor();
    expect(browser.complaints).toEqual([]);
  });
});
