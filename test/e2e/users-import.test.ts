import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct } from '#test/harness/product.ts';

/** People of another system come with the hashes it had of their passwords. */

let product: Product;
beforeAll(async () => {
  product = await startProduct();
});
afterAll(() => product.close());

const run = (program: string, options: readonly string[]): string =>
  execFileSync(program, options, { encoding: 'utf8' }).trim();

it('who was imported signs in at the door with the old password, and its hash is gone from the file then', async () => {
  const people = {
    una: run('/usr/bin/mkpasswd', ['-m', 'sha512crypt', 'the old one of una']),
    vic: run('/usr/bin/htpasswd', ['-nbB', '-C', '10', 'x', 'the old one of vic']).slice(2),
  };
  const file = join(product.folder, 'people.csv');
  const rows = Object.entries(people).map(([name, hash]) => `${name},${name}@example.com,${hash}`);
  writeFileSync(file, ['username,email,password_hash', ...rows, ''].join('\n'));
  const told = await product.sallyport('users', 'import', file, '--reason', 'moved');
  expect(told).toContain('2 added, 0 not taken.');
  const stored = (name: string): string =>
    readFileSync(join(dirname(product.site.files.main.config), 'users', `${name}.yaml`), 'utf8');
  for (const name of Object.keys(people)) {
    expect(stored(name)).toContain('$argon2id-over$');
    const session = new HttpsSession(product.site.https, product.site.files.ca);
    const signIn = (password: string) => session.json('POST', '/api/login', { username: name, password });
    expect(await signIn('not the old one at all')).toMatchObject({ status: 401 });
    expect(stored(name)).toContain('$argon2id-over$');
    expect((await signIn(`the old one of ${name}`)).status).toBeLessThan(300);
    expect(stored(name)).toMatch(/password: "?\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect((await signIn(`the old one of ${name}`)).status).toBeLessThan(300);
  }
});

it('who comes without a hash is mailed a link: fetching it spends nothing, a password spends it', async () => {
  const file = join(product.folder, 'newcomers.csv');
  writeFileSync(file, 'username,email\nwim,wim@example.com\nxia,\n');
  const told = await product.sallyport('users', 'import', file, '--reason', 'moved', '--welcome').then(
    () => '',
    (error: unknown) => String(error),
  );
  expect(told).toContain('1 of 2 links were not mailed');
  const token = linkIn(product.mails().at(-1) ?? '');
  const session = new HttpsSession(product.site.https, product.site.files.ca);
  const set = (password: string) => session.json('POST', '/api/password/set', { token, password });
  expect(await session.stream('GET', '/set-password', () => undefined)).toBe(200);
  expect((await set('short')).status).toBe(422);
  expect(await set('chosen by wim alone')).toMatchObject({ status: 200, body: { username: 'wim' } });
  expect(await set('chosen by wim alone')).toMatchObject({ status: 401, body: { reason: 'dead-link' } });
  const entry = { username: 'wim', password: 'chosen by wim alone' };
  expect((await session.json('POST', '/api/login', entry)).status).toBeLessThan(300);
});

/** Of the quoted-printable mail that the relay stored. */
function linkIn(name: string): string {
  const mail = readFileSync(join(product.site.files.mail, name), 'utf8')
    .replaceAll('=\n', '')
    .replaceAll('=\r\n', '');
  return /\/set-password#([A-Za-z0-9_-]{43})/.exec(mail)?.[1] ?? '';
}
