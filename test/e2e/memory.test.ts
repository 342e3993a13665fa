import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import type { Canary } from '#test/harness/canaries.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { listHashes, listPlanted } from '#test/harness/planted-secrets.ts';
import { findInMemory, findVault } from '#test/harness/process-memory.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

/**
 * Main's process holds no password hash, no confirmed secret and no vault key, whatever it is asked to do: its memory
 * is read as root reads it.
 */

const people: readonly DemoUser[] = ['pia', 'rita', 'kim'].map((name) => ({
  name,
  displayName: `${name} of the memory`,
  hasPassword: true,
  hasKey: false,
  isEnrolled: true,
  email: `${name}@example.com`,
  requiredOn: ['https', 'sftp'],
  registration: true,
  forceSetup: false,
}));

const sallyportProgram = fileURLToPath(new URL('../../scripts/sallyport', import.meta.url));

let product: Product;
/** All that was ever planted: what is gone from the files may still be in the memory. */
const planted = new Map<string, Canary>();
beforeAll(async () => {
  product = await startProduct({ moreUsers: people });
});
afterAll(() => product.close());

function plant(more: readonly Canary[] = []): void {
  for (const canary of [...listPlanted(product.site), ...more]) planted.set(canary[1], canary);
}

const mainPid = (): number => product.site.main.pid ?? 0;
const inMain = (): string[] => findInMemory(mainPid(), [...planted.values()]);

/** `code`: nobody waits for the next of their authenticator; undefined: its next. */
async function signIn(
  user: string,
  { password = product.password(user), code }: { readonly password?: string; readonly code?: string } = {},
): Promise<HttpsSession> {
  const session = new HttpsSession(product.site.https, product.site.files.ca);
  const begun = await session.json('POST', '/api/login', { username: user, password });
  if (begun.body['state'] === 'code-required') {
    const typed = code ?? (await product.authenticator(user).next());
    await session.json('POST', '/api/login/code', { code: typed });
  }
  const { status } = await session.json('GET', '/api/me');
  if (status !== 200) throw new Error(`${user} is not signed in: ${JSON.stringify(begun)}`);
  return session;
}

async function bypass(user: string): Promise<string> {
  return (
    (await product.sallyport('two-factor', 'bypass-code', user, '--reason', 'a test')).split('\n')[0] ?? ''
  );
}

it('S-02: main’s memory has no hash, no code seed and no vault key in it after all that people and admins do; the vault’s has', async () => {
  plant();
  expect(planted.size).toBeGreaterThan(30);
  expect(inMain(), 'after the start').toEqual([]);

  // Logins, wrong ones too; over SFTP; with a recovery code; a password that its user changes.
  const stranger = new HttpsSession(product.site.https, product.site.files.ca);
  for (const username of ['alice', 'nobody-at-all'])
    await stranger.json('POST', '/api/login', { username, password: 'not the password' });
  await signIn('alice');
  const target = product.sftp('pia', {
    password: product.password('pia'),
    code: await product.authenticator('pia').next(),
  });
  expect((await runOpenSshSftp(target, ['pwd'])).status).toBe(0);
  const rita = await signIn('rita', { code: await bypass('rita') });
  const renewed = await rita.json(
    'POST',
    '/api/two-factor/recovery-codes',
    { current: product.password('rita') },
    { 'Sallyport-Code': await product.authenticator('rita').next() },
  );
  const [recovery = ''] = renewed.body['recovery_codes'] as string[];
  const other = new HttpsSession(product.site.https, product.site.files.ca);
  await other.json('POST', '/api/login', { username: 'rita', password: product.password('rita') });
  expect(await other.json('POST', '/api/login/code', { code: recovery })).toMatchObject({ status: 200 });
  const kim = await signIn('kim', { code: await bypass('kim') });
  const changed = await kim.json(
    'POST',
    '/api/me/password',
    { current: product.password('kim'), new: 'a wholly different phrase' },
    { 'Sallyport-Code': await product.authenticator('kim').next() },
  );
  expect(changed.status).toBe(204);
  plant();
  expect(inMain(), 'after logins').toEqual([]);
  const vault = findVault(mainPid());
  const inVault = findInMemory(vault, [...planted.values()]);
  expect(inVault).toEqual(
    expect.arrayContaining([
      'alice.yaml: salt of a hash',
      'kim.yaml: tag of a hash',
      'the key that seals as octets',
    ]),
  );
  expect(
    inVault.some((name) => name.includes('code seed')),
    inVault.join(', '),
  ).toBe(true);

  // An admin sets a password, imports people, applies a whole store, explains.
  const set = await runProgram(
    sallyportProgram,
    ['--socket', product.site.files.main.socket, 'users', 'passwd', 'carol'],
    { input: 'set by an administrator\n' },
  );
  expect(set.status, set.stderr).toBe(0);
  const bcrypt = execFileSync('/usr/bin/htpasswd', ['-nbB', '-C', '10', 'x', 'the old one of vic'], {
    encoding: 'utf8',
  })
    .trim()
    .slice(2);
  const list = join(product.folder, 'people.csv');
  writeFileSync(list, `username,email,password_hash\nvic,vic@example.com,${bcrypt}\n`);
  plant([['the imported hash', bcrypt.slice(7)]]);
  expect(await product.sallyport('users', 'import', list, '--reason', 'moved')).toContain('1 added');
  plant();
  await signIn('vic', { password: 'the old one of vic' });
  const store = join(product.folder, 'store');
  cpSync(product.site.files.main.users, store, { recursive: true });
  const dave = join(store, 'dave.yaml');
  const other22 = 'A1b2C3d4E5f6G7h8J9k0LA';
  const given = readFileSync(dave, 'utf8').replace(/\$([A-Za-z0-9+/]{22})\$/, `$${other22}$`);
  writeFileSync(dave, `${given}# applied\n`);
  plant(listHashes('the applied store', given));
  expect(await product.sallyport('users', 'apply', store)).toContain('1 changed');
  expect(readFileSync(join(product.site.files.main.users, 'dave.yaml'), 'utf8')).toContain(other22);
  await product.sallyport('explain', 'login', 'alice', '--ip', '203.0.113.9', '--protocol', 'https');
  expect(inMain(), 'after what admins did').toEqual([]);

  // A file that is edited, one that is broken, and a hash written so that it could not be hidden.
  const file = join(product.site.files.main.users, 'erin.yaml');
  const before = readFileSync(file, 'utf8');
  const hash = readFileSync(dave, 'utf8').match(/\$argon2id[^\s"]+/)?.[0] ?? '';
  await writeFile(file, `${before.replace(/^password:.*\n/m, '')}password: "\\u0024${hash.slice(1)}"\n`);
  await waitUntil(
    async () => (await product.sallyport('status').catch(String)).includes('erin.yaml'),
    20_000,
  );
  await writeFile(file, before);
  await writeFile(
    join(product.site.files.main.users, 'bob.yaml'),
    `username: bob\npassword: ${hash}\nquota: [\n`,
  );
  await waitUntil(async () => (await product.sallyport('status').catch(String)).includes('bob.yaml'), 20_000);
  if (product.site.main.pid !== undefined) process.kill(product.site.main.pid, 'SIGHUP');

  // The vault dies; who comes after it is back finds everything as it was.
  process.kill(vault, 'SIGKILL');
  await waitUntil(() => findVault(mainPid()) !== vault, 20_000);
  await waitUntil(async () => {
    await signIn('carol', { password: 'set by an administrator' });
    return true;
  }, 20_000);
  await signIn('kim', { password: 'a wholly different phrase', code: await bypass('kim') });
  plant();
  expect(inMain(), 'at the end').toEqual([]);

  // Such a look finds what is there: a name that main knows.
  expect(findInMemory(mainPid(), [['a user’s name', 'pia of the memory']])).toEqual(['a user’s name']);
});
