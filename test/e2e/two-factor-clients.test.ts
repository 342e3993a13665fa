import { writeFile } from 'node:fs/promises';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DrivenClient, listClients, summarise } from '#test/harness/clients/behaviour.ts';
import { type Outcome } from '#test/harness/clients/process.ts';
import { runRclone } from '#test/harness/clients/rclone.ts';
import { runPsftp } from '#test/harness/clients/psftp.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { type Product, startProduct } from '#test/harness/product.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import type { SftpTarget } from '#test/harness/clients/sftp-target.ts';

/**
 * What each SFTP client does with two factors, as the table in CLIENTS.md says: computed here, compared with the
 * file. `UPDATE_CLIENTS=1` writes it instead.
 */

const document = fileURLToPath(new URL('../../CLIENTS.md', import.meta.url));
/** Cores are two; more at once would only wait for each other. */
const clientsAtOnce = 4;
/** Longer than a client without a first factor may stay: a mail that takes its time. */
const slowMailMs = 33_000;

const slots = Array.from({ length: 11 }, (_, index) => index);
/** Users of their own for each client, or one client's code and lease would be another's. */
const moreUsers = slots.flatMap((slot) => [
  buildDemoUser(`app${slot}`, { hasKey: true, isEnrolled: true, requiredOn: ['sftp'] }),
  buildDemoUser(`mail${slot}`, { email: `mail${slot}@example.com`, requiredOn: ['sftp'] }),
  buildDemoUser(`joined${slot}`, { isEnrolled: true, requiredOn: ['sftp'], sftpPasswordWithCode: true }),
]);

const scenarios = [
  'password + app code',
  'the next connection',
  'key + app code',
  'password + mailed code',
  'password alone',
  'code appended to the password',
  'set-up is forced',
] as const;

describe('two factors with SFTP clients', () => {
  let product: Product;
  let compat: Product;
  let slowMail: Promise<Outcome>;
  let clients: DrivenClient[];

  beforeAll(async () => {
    [product, compat] = await Promise.all([
      startProduct({ moreUsers }),
      startProduct({ moreUsers, sftpProfile: 'compat' }),
    ]);
    const codeFile = join(product.folder, 'slow-code');
    slowMail = runPsftp(
      { ...product.sftp('bob', { password: product.password('bob') }), codeFile },
      ['pwd'],
      slowMailMs,
    );
    const mail = new Mailbox(product.site.files.mail, 'bob@example.com');
    await writeFile(codeFile, await mail.code(1));
  });
  afterAll(() => Promise.all([product.close(), compat.close()]));

  /** In the order of `scenarios`. */
  async function tryAll(client: DrivenClient, slot: number): Promise<string[]> {
    const served = client.profile === 'compat' ? compat : product;
    const login = async (
      user: string,
      credentials: object,
      code?: () => Promise<string>,
    ): Promise<string> => {
      const target: SftpTarget = served.sftp(user, credentials);
      return summarise(await client.logIn(target, code ?? (() => Promise.resolve('000000'))));
    };
    const [app, mailed, joined] = [`app${slot}`, `mail${slot}`, `joined${slot}`];
    const appCode = (): Promise<string> => served.authenticator(app).next();
    const withPassword = { password: served.password(app) };
    const mailbox = new Mailbox(served.site.files.mail, `${mailed}@example.com`);
    const together = served.password(joined) + (await served.authenticator(joined).next());
    return [
      await login(app, withPassword, appCode),
      await login(app, withPassword),
      await login(app, { keyFile: served.site.users[app]?.sshKeyFile }, appCode),
      await login(mailed, { password: served.password(mailed) }, () => mailbox.code(1)),
      await login('frank', { password: served.password('frank') }),
      await login(joined, { password: together }),
      await login('dave', { password: served.password('dave') }),
    ];
  }

  it('is as CLIENTS.md says', async () => {
    let files = 0;
    clients = await listClients((code) => {
      const file = join(product.folder, `code-${files++}`);
      void code().then(
        (text) => {
          // Whole or not at all: who waits for it reads at once.
          writeFileSync(`${file}.new`, `${text}\n`);
          renameSync(`${file}.new`, file);
        },
        () => undefined,
      );
      return file;
    });
    const results = new Map<string, string[]>();
    const queue = [...clients.entries()];
    await Promise.all(
      Array.from({ length: clientsAtOnce }, async () => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift())
          results.set(next[1].name, await tryAll(next[1], next[0]));
      }),
    );
    const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
    const table = [
      row(['', ...scenarios]),
      row(['---', ...scenarios.map(() => '---')]),
      ...clients.map(({ name }) => row([name, ...(results.get(name) ?? [])])),
    ].join('\n');
    if (process.env['UPDATE_CLIENTS'] !== undefined) {
      const versions = clients.map(({ name, version }) => `${name} (${version})`).join(', ');
      writeFileSync(
        document,
        replaceMeasured(readFileSync(document, 'utf8'), `${table}\n\nTested: ${versions}.`),
      );
    }
    expect(readFileSync(document, 'utf8'), 'UPDATE_CLIENTS=1 writes what is true now').toContain(
      `\n${table}\n`,
    );
  });

  it('a program without prompts goes on with the plain password after one with the code appended', async () => {
    // On the lease of the login above, of the same program.
    const slot = clients.findIndex(({ name }) => name === 'rclone');
    const user = `joined${slot}`;
    const result = await runRclone(product.sftp(user, { password: product.password(user) }), [
      'lsf',
      'remote:',
    ]);
    expect(result.status, result.stderr).toBe(0);
  });

  it('a code that is typed long after the time for a first factor still logs a psftp user in', async () => {
    const result = await slowMail;
    expect(result.status, result.stdout).toBe(0);
    expect(result.stdout).toContain('Remote working directory is /');
  });
});

function replaceMeasured(text: string, measured: string): string {
  const [start, end] = ['<!-- measured -->', '<!-- /measured -->'];
  return `${text.slice(0, text.indexOf(start))}${start}\n\n${measured}\n\n${text.slice(text.indexOf(end))}`;
}
