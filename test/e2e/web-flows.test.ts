import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { askSallyport } from '#test/harness/clients/sallyport.ts';
import { type Product, startProduct } from '#test/harness/product.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';

/** The everyday of a person with the web client, in a real Chromium, on the real processes. */

let product: Product;
let browser: WebBrowser;
let page: Page;
let flows: WebFlows;
const patienceMs = 30_000;

const person = (name: string): DemoUser => ({
  name,
  displayName: `${name} Example`,
  hasPassword: true,
  hasKey: false,
  isEnrolled: name === 'sara',
  requiredOn: name === 'sara' ? ['https'] : [],
  registration: true,
  forceSetup: false,
});

beforeAll(async () => {
  [product, browser] = await Promise.all([
    startProduct({ moreUsers: [person('kai'), person('sara')] }),
    startWebBrowser(),
  ]);
  const { config } = product.site.files.main;
  const text = await readFile(config, 'utf8');
  const switches =
    '  remember_device: 30d\n  self_service: { ssh_keys: anywhere }\n  enrolment: { ticket: required }\n';
  await writeFile(
    config,
    text
      .replace('two_factor:\n', `two_factor:\n${switches}`)
      .replace('name: Sallyport demo', `name: 'Müller & Co <Files>'`),
  );
  await product.killMain();
});
afterAll(async () => {
  await browser.close();
  await product.close();
});
beforeEach(async () => {
  page = await browser.visit({ ignoreHTTPSErrors: true });
  page.setDefaultTimeout(patienceMs);
  flows = new WebFlows(page, product.site.https);
});
afterEach(async () => {
  await page.context().close();
  const complaints = browser.complaints.splice(0);
  if (complaints.length > 0) throw new Error(`the page complained: ${complaints.join(' | ')}`);
});

const onDisk = (...names: string[]): string => join(product.site.files.files, 'frank', ...names);
/** The folder holds exactly these; a name that ends in a slash is a folder. */
async function fill(folder: string, contents: Readonly<Record<string, string>>): Promise<void> {
  await rm(onDisk(folder), { recursive: true, force: true });
  await mkdir(onDisk(folder), { recursive: true });
  for (const [name, content] of Object.entries(contents))
    await (name.endsWith('/') ? mkdir(onDisk(folder, name)) : writeFile(onDisk(folder, name), content));
}
async function open(path: string, user = 'frank'): Promise<void> {
  await flows.open(path);
  await flows.signIn(user, product.password(user));
}

describe('signing in', () => {
  it('calls the service by its name before anybody signed in', async () => {
    await flows.open();
    await page.getByText('Müller & Co <Files>').waitFor();
    expect(await page.title()).toBe('Sign in – Müller & Co <Files>');
  });

  it('says one thing for a wrong password and for nobody, with a reference', async () => {
    await flows.open();
    const said: string[] = [];
    for (const user of ['kai', 'nobody']) {
      await flows.submitPassword(user, 'wrong');
      await flows.alert().getByText('User name and password don’t match').waitFor();
      said.push(((await flows.alert().textContent()) ?? '').replace(/Reference .*/, ''));
      expect(
        await flows
          .alert()
          .getByText(/^Reference \S+/)
          .count(),
      ).toBe(1);
    }
    expect(said[0]).toBe(said[1]);
  });

  it('is done with the keyboard, and the folder in the address survives it and a reload', async () => {
    await fill('deep', { 'plan.txt': 'plan' });
    await flows.open('/files/deep');
    await page.getByLabel('User name').waitFor();
    await page.keyboard.type('frank');
    await page.keyboard.press('Tab');
    await page.keyboard.type(product.password('frank'));
    await page.keyboard.press('Enter');
    await flows.row('plan.txt').waitFor();
    await page.reload();
    await flows.row('plan.txt').waitFor();
    expect(await page.title()).toBe('deep – Müller & Co <Files>');
  });

  it('asks no code again in a browser that is to be remembered, until it is forgotten', async () => {
    await flows.open();
    await flows.submitPassword('sara', product.password('sara'));
    await flows.heading('Enter your code').waitFor();
    await page.getByLabel('Don’t ask for a code in this browser for a while').check();
    await flows.submitCode(await product.authenticator('sara').next());
    await page.getByRole('button', { name: 'Account of sara' }).waitFor();
    await flows.signOut();
    await flows.signIn('sara', product.password('sara'));
    await flows.open('/options');
    await page.getByRole('button', { name: 'Forget' }).click();
    await page.getByRole('button', { name: 'Forget' }).waitFor({ state: 'detached' });
    await flows.signOut();
    await flows.submitPassword('sara', product.password('sara'));
    expect(await flows.heading('Enter your code').waitFor()).toBeUndefined();
  });
});

describe('a session', () => {
  it('that an administrator ended leads to the sign-in and back to the same folder', async () => {
    await fill('kept', { 'sub/': '' });
    await open('/files/kept');
    await flows.row('sub').waitFor();
    await askSallyport(product.site.files.main.socket, ['sessions', 'kick', '--user', 'frank']);
    await flows.row('sub').getByRole('link', { name: 'sub' }).click();
    await page.getByText('You were signed out because the session ended').waitFor();
    await flows.signIn('frank', product.password('frank'));
    await flows.heading('Nothing here yet').waitFor();
    expect(new URL(page.url()).pathname).toBe('/files/kept/sub');
  });

  it('is signed out, and in again, in the other window too', async () => {
    await open('/');
    const other = await page.context().newPage();
    other.setDefaultTimeout(patienceMs);
    const otherFlows = new WebFlows(other, product.site.https);
    await otherFlows.open();
    await other.getByRole('button', { name: 'Account of frank' }).waitFor();
    await otherFlows.signOut();
    await page.getByText('You signed out in another window').waitFor();
    await otherFlows.signIn('frank', product.password('frank'));
    await page.getByRole('button', { name: 'Account of frank' }).waitFor();
    expect(await flows.heading('Sign in').count()).toBe(0);
  });

  it('outlives main: the page says that files are safe and comes back by itself', async () => {
    await fill('safe', { 'a.txt': 'a' });
    await open('/files/safe');
    await flows.row('a.txt').waitFor();
    const back = product.killMain();
    await page.reload();
    await back;
    await flows.row('a.txt').waitFor();
    expect(await flows.names()).toEqual(['a.txt']);
  });
});

describe('files', () => {
  it('are listed folders first, sorted by a click, filtered while typing', async () => {
    await fill('sorted', { 'Übersicht.txt': 'xx', 'photo 10.jpg': 'x', 'photo 2.jpg': 'xxx', 'zoo/': '' });
    await open('/files/sorted');
    await flows.row('zoo').waitFor();
    expect(await flows.names()).toEqual(['zoo', 'photo 2.jpg', 'photo 10.jpg', 'Übersicht.txt']);
    await page.getByRole('button', { name: 'Size' }).click();
    await expect.poll(() => flows.names()).toEqual(['zoo', 'photo 2.jpg', 'Übersicht.txt', 'photo 10.jpg']);
    await page.keyboard.press('/');
    await page.keyboard.type('uber');
    await expect.poll(() => flows.names()).toEqual(['Übersicht.txt']);
    await page.keyboard.type('zzz');
    await page.getByText('Nothing here has “uberzzz” in its name.').waitFor();
  });

  it('are made, renamed, replaced only when asked, and deleted with what is in them', async () => {
    await fill('work', { 'one.txt': 'one' });
    await open('/files/work');
    await flows.createFolder('Contracts');
    await flows.rename('one.txt', 'two.txt');
    const again = [{ name: 'two.txt', content: 'new' }];
    await flows.upload(again);
    await page.getByRole('button', { name: 'Keep both' }).click();
    await flows.row('two (2).txt').waitFor();
    expect((await readFile(onDisk('work', 'two.txt'))).toString()).toBe('one');
    await flows.upload(again);
    await page.getByRole('button', { name: 'Replace' }).click();
    await expect.poll(async () => (await readFile(onDisk('work', 'two.txt'))).toString()).toBe('new');
    await writeFile(onDisk('work', 'came.txt'), 'theirs');
    await flows.upload([{ name: 'came.txt', content: 'mine' }]);
    await page.getByRole('button', { name: 'Skip' }).click();
    await page.getByText('Skipped').waitFor();
    expect((await readFile(onDisk('work', 'came.txt'))).toString()).toBe('theirs');
    await flows.drop([{ name: 'c.txt', content: 'ccc' }], 'Contracts');
    await expect.poll(() => readdir(onDisk('work', 'Contracts'))).toEqual(['c.txt']);
    await flows.remove('Contracts');
    expect((await readdir(onDisk('work'))).toSorted()).toEqual(['came.txt', 'two (2).txt', 'two.txt']);
  });

  it('are handled with the keyboard alone', async () => {
    await fill('keys', { 'a/': '', 'b.txt': 'b', 'c.txt': 'c' });
    await open('/files/keys');
    await flows.row('c.txt').waitFor();
    const focused = (): Promise<unknown> =>
      page.evaluate('document.activeElement.querySelector(".name")?.textContent');
    await page.locator('[role=row][tabindex="0"]').focus();
    await page.keyboard.press('Enter');
    await flows.heading('Nothing here yet').waitFor();
    await page.keyboard.press('Backspace');
    await expect.poll(focused).toBe('a');
    await page.keyboard.press('Space');
    await page.keyboard.press('Shift+ArrowDown');
    await page.getByText('2 selected').first().waitFor();
    await page.keyboard.press('Control+a');
    await page.getByText('3 selected').first().waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('End');
    await page.keyboard.press('F2');
    await page.keyboard.type('d');
    await page.keyboard.press('Enter');
    await expect.poll(focused).toBe('d.txt');
    await page.keyboard.press('Delete');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).press('Enter');
    await flows.row('d.txt').waitFor({ state: 'detached' });
    expect((await readdir(onDisk('keys'))).toSorted()).toEqual(['a', 'b.txt']);
  });

  it('in a folder that is gone say so, and lead home over the breadcrumbs', async () => {
    await open('/files/nowhere');
    await flows.heading('This folder is gone').waitFor();
    await page.getByRole('navigation', { name: 'Folder path' }).getByRole('link', { name: 'Home' }).click();
    await page.getByRole('grid').waitFor();
    expect(new URL(page.url()).pathname).toMatch(/^\/(files\/)?$/);
  });
});

describe('the account', () => {
  it('gets an SSH key and loses it again', async () => {
    await open('/options', 'kai');
    await page.getByRole('button', { name: 'Add key' }).click();
    await page.getByLabel('Public key').fill('not a key');
    await page.getByLabel('Present password').fill(product.password('kai'));
    const submit = page.locator('form').getByRole('button', { name: 'Add key' });
    await submit.click();
    await page.getByText('That is not a public key we can use.').waitFor();
    const key = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
    await page.getByLabel('Public key').fill(`ssh-ed25519 ${key} kai@laptop`);
    await submit.click();
    await page.getByText('Key added.').waitFor();
    await page.getByRole('button', { name: /^Remove key/ }).click();
    await page.getByLabel('Present password').fill(product.password('kai'));
    await page
      .locator('form')
      .getByRole('button', { name: /Remove/ })
      .click();
    await page.getByText('Key removed.').waitFor();
    expect(await page.getByRole('button', { name: /^Remove key/ }).count()).toBe(0);
  });

  it('is given a second factor only with the administrator’s code, where that is the rule', async () => {
    await flows.open('/setup');
    await flows.submitPassword('carol', product.password('carol'));
    await page.getByRole('button', { name: 'Ready to scan' }).click();
    const field = page.getByLabel('Code from your administrator');
    await field.fill('AAAA-AAAA');
    await page.getByRole('button', { name: 'Ready to scan' }).click();
    await page.getByText('That is not the code from your administrator.').waitFor();
    const made = await askSallyport(product.site.files.main.socket, [
      'two-factor',
      'bypass-code',
      'carol',
      '--reason',
      'seen in person',
    ]);
    await field.fill(String(made['code']));
    await page.getByRole('button', { name: 'Ready to scan' }).click();
    await flows.qr().waitFor();
    expect(await flows.scanQr()).toMatch(/^[A-Z2-7]{32}$/);
  });

  it('is shown in German where the browser is, and in the theme that was chosen, at 320 px too', async () => {
    const german = await browser.visit({
      ignoreHTTPSErrors: true,
      locale: 'de-DE',
      viewport: { width: 320, height: 640 },
    });
    german.setDefaultTimeout(patienceMs);
    await german.goto(`${product.site.https}/options`);
    await german.getByLabel('Benutzername').fill('frank');
    await german.getByLabel('Passwort', { exact: true }).fill(product.password('frank'));
    await german.getByRole('button', { name: 'Anmelden', exact: true }).click();
    await german.getByLabel('Dunkel').check();
    await german.reload();
    await german.getByLabel('Dunkel').waitFor();
    expect(await german.locator('html').getAttribute('lang')).toBe('de');
    expect(await german.locator('html').getAttribute('data-theme')).toBe('dark');
    expect(
      await german.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'),
    ).toBeLessThanOrEqual(0);
    await german.context().close();
  });
});

describe('the watch over these tests', () => {
  it('notices a page that breaks its policy', async () => {
    await flows.open();
    await page.evaluate(`try { document.body.innerHTML = '<b>x</b>'; } catch {}
      try { document.body.setAttribute('onclick', 'x()'); } catch {}`);
    await expect
      .poll(() => browser.complaints.filter((text) => text.startsWith('policy violation')).join())
      .toContain('require-trusted-types-for');
    browser.complaints.splice(0);
  });
});
