import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { type EmulatedLogin, emulatedClients, logInEmulated } from '#test/harness/clients/emulated-client.ts';
import { runPsftp } from '#test/harness/clients/psftp.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

const fileZilla = emulatedClients['FileZilla Interactive'];
const mailed = {
  hasPassword: true,
  hasKey: false,
  isEnrolled: false,
  registration: false,
  forceSetup: false,
};
const moreUsers = ['gina', 'heidi', 'ivan'].map((name): DemoUser => ({
  ...mailed,
  name,
  displayName: name,
  email: `${name}@example.com`,
  requiredOn: ['sftp'],
  forceSetup: name === 'ivan',
}));

describe('two factors over SFTP', () => {
  let product: Product;
  beforeAll(async () => {
    const mainProgram = fileURLToPath(new URL('../harness/dying-main.ts', import.meta.url));
    product = await startProduct({ moreUsers, mainProgram });
  });
  afterAll(() => product.close());

  const mailboxOf = (user: string): Mailbox => new Mailbox(product.site.files.mail, `${user}@example.com`);
  const withPassword = (user: string) => product.sftp(user, { password: product.password(user) });
  /** How this user's logins went, oldest first. */
  const verdicts = (user: string) =>
    product
      .audit()
      .filter((record) => record['user'] === user && String(record['event']).startsWith('login.'))
      .map((record) => record['method'] ?? record['rule']);

  it('S-03: four parallel connections of a user who is mailed codes need one mail and one code', async () => {
    const mailbox = mailboxOf('bob');
    let waiting = 0;
    const logins = await Promise.all(
      Array.from({ length: 4 }, () =>
        logInEmulated(fileZilla, withPassword('bob'), async () => {
          waiting += 1;
          // All four wait for their code before the first is typed.
          await waitUntil(() => waiting === 4, 20_000);
          return mailbox.code(1);
        }),
      ),
    );
    expect(logins.map((login) => login.isIn)).toEqual([true, true, true, true]);
    expect(mailbox.all()).toHaveLength(1);
    await waitUntil(() => verdicts('bob').length === 4, 5_000);
    expect(verdicts('bob').filter((method) => method === 'email')).toHaveLength(1);
    expect(verdicts('bob').filter((method) => method === 'lease')).toHaveLength(3);
    for (const login of logins) login.close();
  });

  it('a psftp login is asked anew when main restarts between the factors, and its mailed code is still good', async () => {
    const codeFile = join(product.folder, 'gina-code');
    const mailbox = mailboxOf('gina');
    const login = runPsftp({ ...withPassword('gina'), codeFile }, ['pwd']);
    const code = await mailbox.code(1);
    // The mail is sent before the node is told to ask: main must not die in between.
    await waitUntil(() => existsSync(`${codeFile}.asked`), 60_000);
    allowSetupOverSftp(product.site.files.main.config);
    await product.killMain();
    writeFileSync(codeFile, `${code}\n`);
    const result = await login;
    expect(result.status, result.stdout).toBe(0);
    expect(result.stdout).toContain('The file service was away for a moment. Please sign in again.');
    expect(result.stdout.match(/Password: |Verification code: /g)).toEqual([
      'Password: ',
      'Verification code: ',
      'Password: ',
      'Verification code: ',
    ]);
    expect(mailbox.all()).toHaveLength(1);
    await waitUntil(() => verdicts('gina').length > 0, 5_000);
    expect(verdicts('gina'), 'no failure is counted').toEqual(['email']);
  });

  it('S-03: a mailed code whose use was written before main died is used, and its lease is there', async () => {
    const mailbox = mailboxOf('heidi');
    const old = product.site.main.pid;
    writeFileSync(join(product.site.files.dir, 'main', 'die-after-code'), '');
    const cut = await logInEmulated(fileZilla, withPassword('heidi'), () => mailbox.code(1));
    expect(cut.isIn).toBe(false);
    await waitUntil(() => product.site.main.pid !== undefined && product.site.main.pid !== old, 20_000);

    // Until the link is back the door says so.
    let other: EmulatedLogin | undefined;
    await waitUntil(async () => {
      other = await logInEmulated(emulatedClients.WinSCP, withPassword('heidi'), () => mailbox.code(1));
      return other.prompts.length > 1;
    }, 20_000);
    expect(other?.isIn).toBe(false);
    expect(other?.text).toContain('That code was used already.');
    const same = await logInEmulated(fileZilla, withPassword('heidi'), () => mailbox.code(1));
    expect([same.isIn, same.prompts.length]).toEqual([true, 1]);
    same.close();
    expect(mailbox.all()).toHaveLength(1);
  });

  /** The person reads what the client shows: first that a code was sent, then the key. */
  async function setUp(
    user: string,
    first: () => Promise<string>,
  ): Promise<{ login: EmulatedLogin; app: Authenticator | undefined }> {
    let app: Authenticator | undefined;
    const login = await logInEmulated(fileZilla, withPassword(user), async (instruction) => {
      const shown = /^([A-Z2-7]{4} ){7}[A-Z2-7]{4}$/m.exec(instruction)?.[0];
      if (shown === undefined) return first();
      app = new Authenticator(shown.replaceAll(' ', ''));
      return app.next();
    });
    return { login, app };
  }

  it('a forced user sets up inside the login after a mailed code, and the session goes on', async () => {
    const { login, app } = await setUp('ivan', () => mailboxOf('ivan').code(1));
    expect(login.isIn, login.text).toBe(true);
    expect(login.prompts.map(({ text }) => text)).toEqual([
      'Password: ',
      'Verification code: ',
      'Verification code: ',
    ]);
    expect(login.text).toContain('if your program keeps a log of this dialogue, delete it');
    expect(login.text.match(/^([A-Z2-7]{4}-){3}[A-Z2-7]{4}$/gm), 'recovery codes').toHaveLength(10);
    login.close();

    const code = await app?.next();
    const next = await runPsftp({ ...withPassword('ivan'), ...(code !== undefined && { code }) }, ['pwd']);
    expect(next.status, next.stdout).toBe(0);
    expect(next.stdout).toContain('Enter the code from your authenticator app.');
  });

  it('a forced user without an address needs a code of the admin first', async () => {
    const refused = await logInEmulated(fileZilla, withPassword('dave'), () => Promise.resolve('000000'));
    expect(refused.isIn).toBe(false);
    expect(refused.prompts.map(({ text }) => text)).toEqual(['Password: ']);
    expect(refused.text).toContain('Sign in at https://');

    const printed = await product.sallyport('two-factor', 'bypass-code', 'dave', '--reason', 'no mail');
    const { login } = await setUp('dave', () => Promise.resolve(printed.split('\n')[0] ?? ''));
    expect(login.isIn, login.text).toBe(true);
    login.close();
    await waitUntil(
      () => product.audit().some((one) => one['event'] === 'two-factor.enrolled' && one['user'] === 'dave'),
      5_000,
    );
  });
});

/** Read at main's next start. */
function allowSetupOverSftp(config: string): void {
  const text = readFileSync(config, 'utf8');
  writeFileSync(config, text.replace('two_factor:\n', 'two_factor:\n  enrolment: { over_sftp: true }\n'));
}
