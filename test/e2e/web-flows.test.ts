import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultTotpSettings, stepAt } from '#main-agent/two-factor/totp.ts';
import { askSallyport } from '#test/harness/clients/sallyport.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { type Product, startProduct } from '#test/harness/product.ts';
import { expectNothingCutOff } from '#test/harness/web-accessibility.ts';
import { phone, startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import { patienceMs } from '#test/harness/patience.ts';

/** The everyday of a person with the web client, in a real Chromium, on the real processes. */

let product: Product;
let browser: WebBrowser;
let page: Page;
let flows: WebFlows;

const enrolled = { isEnrolled: true, requiredOn: ['https'] } as const;
const people = [
  buildDemoUser('kai', { registration: true }),
  buildDemoUser('sara', enrolled),
  buildDemoUser('tom', enrolled),
  buildDemoUser('uma', enrolled),
  buildDemoUser('mia', { requiredOn: ['https'], email: 'mia@example.com' }),
];

beforeAll(async () => {
  [product, browser] = await Promise.all([startProduct({ moreUsers: people }), startWebBrowser()]);
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
const focused = (): Promise<unknown> =>
  page.evaluate('document.activeElement.querySelector(".name")?.textContent');
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
    await expectNothingCutOff(page);
  });

  it('is done with the keyboard, and the folder in the address survives it and a reload', async () => {
    await fill('deep', { 'plan.txt': 'plan' });
    await flows.open('/files/deep');
    const username = page.getByLabel('User name');
    expect(await username.getAttribute('autocomplete')).toBe('username');
    const password = page.getByLabel('Password', { exact: true });
    expect(await password.getAttribute('autocomplete')).toBe('current-password');
    expect(await page.evaluate('document.activeElement.name')).toBe('username');
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

describe('the code', () => {
  it('is pasted with blanks and taken with Enter, and the phone’s keyboard offers it', async () => {
    await flows.open();
    await flows.submitPassword('uma', product.password('uma'));
    await page.getByText('From your authenticator app').waitFor();
    const field = page.getByLabel('Verification code');
    expect(await field.getAttribute('autocomplete')).toBe('one-time-code');
    expect(await field.getAttribute('inputmode')).toBe('numeric');
    await expectNothingCutOff(page);
    const code = await product.authenticator('uma').next();
    await page.keyboard.insertText(` ${code.slice(0, 3)} ${code.slice(3)} `);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Account of uma' }).waitFor();
  });

  it('of a phone whose clock is wrong says by how much; after too many tries the sign-in starts again', async () => {
    await flows.open();
    await flows.submitPassword('tom', product.password('tom'));
    // One code of the past may be a lucky guess; the second is believed.
    const step = stepAt(Date.now(), defaultTotpSettings);
    const app = product.authenticator('tom');
    await flows.submitCode(app.at(step - 4));
    await page.getByText('4 tries left').waitFor();
    await expectNothingCutOff(page);
    await flows.submitCode(app.at(step - 3));
    await page
      .getByText(/^Your phone’s clock is about \d+ seconds slow\. Set it to automatic time/)
      .waitFor();
    for (let left = 3; left > 0; left -= 1) {
      await page.getByText(left === 1 ? '1 try left' : `${left} tries left`).waitFor();
      await flows.submitCode('000000');
    }
    await page.getByText('That sign-in is over: too many wrong codes, or too much time.').waitFor();
    expect(await page.getByLabel('User name').inputValue()).toBe('tom');
  });

  it('need not be typed by who goes back: the half session is dead', async () => {
    await flows.open();
    await flows.submitPassword('uma', product.password('uma'));
    await flows.heading('Enter your code').waitFor();
    const half =
      (await page.context().cookies()).find(({ name }) => name === '__Host-sallyport')?.value ?? '';
    const ask = async (): Promise<unknown> => {
      const headers = { Cookie: `__Host-sallyport=${half}` };
      const answer = await stranger.request.post(`${product.site.https}/api/login/code`, {
        headers,
        data: { code: '000000' },
      });
      return ((await answer.json()) as { reason: unknown }).reason;
    };
    const stranger = await browser.visit({ ignoreHTTPSErrors: true });
    expect(await ask()).toBe('wrong-code');
    const told = page.waitForResponse('**/api/logout');
    await page.getByRole('button', { name: 'Back' }).click();
    await flows.heading('Sign in').waitFor();
    await told;
    expect(await ask()).toBe('refused');
    await stranger.context().close();
  });

  it('that was mailed is not said to be on its way when none could be sent so soon', async () => {
    const mailbox = new Mailbox(product.site.files.mail, 'mia@example.com');
    await flows.open();
    await flows.submitPassword('mia', product.password('mia'));
    await page.getByText('We sent it to m…@example.com').waitFor();
    await flows.submitCode(await mailbox.code(1));
    await page.getByRole('button', { name: 'Account of mia' }).waitFor();
    await flows.signOut();
    await flows.submitPassword('mia', product.password('mia'));
    await page
      .getByText('The last code was sent only a moment ago. Wait a little, then send a new one.')
      .waitFor();
    expect(await page.getByText('We sent it to').count()).toBe(0);
    expect(await page.getByRole('button', { name: /^Send a new code \(in \d+ s\)$/ }).isDisabled()).toBe(
      true,
    );
    await expectNothingCutOff(page);
    expect(mailbox.codes()).toHaveLength(1);
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
    // Back to the list, everything in it again.
    await page.keyboard.press('Escape');
    await expect.poll(() => flows.names()).toHaveLength(4);
    expect(await page.evaluate('document.activeElement.getAttribute("role")')).toBe('row');
  });

  it('are reached through folders, breadcrumbs and the browser’s own back; a PDF is downloaded', async () => {
    await fill('way', { 'deep/': '' });
    await writeFile(onDisk('way', 'deep', 'plan.pdf'), 'a plan');
    await open('/files/way');
    await flows.openFolder('deep');
    const name = flows.row('plan.pdf').getByRole('link', { name: 'plan.pdf' });
    expect((await flows.saved(() => name.click())).toString()).toBe('a plan');
    await page.getByRole('navigation', { name: 'Folder path' }).getByRole('link', { name: 'way' }).click();
    await flows.row('deep').waitFor();
    await page.goBack();
    await expect.poll(() => flows.names()).toEqual(['plan.pdf']);
  });

  it('are made, renamed, replaced only when asked, and deleted with what is in them', async () => {
    await fill('work', { 'one.txt': 'one' });
    await open('/files/work');
    await flows.createFolder('Contracts');
    await flows.rename('one.txt', 'two.txt');
    await flows.chooseAction('two.txt', 'Rename');
    const field = page.getByLabel('New name for two.txt');
    await field.fill('Contracts');
    await field.press('Enter');
    await flows.alert().getByText('Contracts already exists here. Choose another name.').waitFor();
    await field.press('Escape');
    await flows.row('two.txt').waitFor();
    await page.getByRole('button', { name: 'New folder' }).click();
    await page.getByLabel('Name of the folder').fill('Contracts');
    await expectNothingCutOff(page);
    await page.getByRole('button', { name: 'Create' }).click();
    await flows.alert().getByText('Contracts already exists here.').waitFor();
    await page.keyboard.press('Escape');
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
    await flows.chooseAction('Contracts', 'Delete');
    await page.getByText('For 7 days it can be brought back from “Deleted files”.').waitFor();
    await expectNothingCutOff(page);
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    expect(await readdir(onDisk('work', 'Contracts'))).toEqual(['c.txt']);
    await flows.remove('Contracts');
    expect((await readdir(onDisk('work'))).toSorted()).toEqual(['came.txt', 'two (2).txt', 'two.txt']);
  });

  it('are handled with the keyboard alone', async () => {
    await fill('keys', { 'a/': '', 'b.txt': 'b', 'c.txt': 'c' });
    await open('/files/keys');
    await flows.row('c.txt').waitFor();
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
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(focused).toBe('d.txt');
    await page.keyboard.press('Delete');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).press('Enter');
    await flows.row('d.txt').waitFor({ state: 'detached' });
    expect((await readdir(onDisk('keys'))).toSorted()).toEqual(['a', 'b.txt']);
  });

  it('are leafed through and uploaded by keys, all of which `?` shows', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `n ${String(index).padStart(2, '0')}`);
    await fill('pages', Object.fromEntries(names.map((name) => [name, ''])));
    await open('/files/pages');
    await flows.row('n 00').waitFor();
    // From the start, or the key is faster than the watch for what it opens.
    const chooser = page.waitForEvent('filechooser');
    await page.locator('[role=row][tabindex="0"]').focus();
    await page.keyboard.press('PageDown');
    await expect.poll(focused).not.toBe('n 00');
    const leafed = names.indexOf(String(await focused()));
    expect(leafed).toBeGreaterThan(5);
    expect(leafed).toBeLessThan(30);
    await page.keyboard.press('PageDown');
    await expect.poll(focused).toBe(names[2 * leafed]);
    await page.keyboard.press('Shift+PageUp');
    await page
      .getByText(`${leafed + 1} selected`)
      .first()
      .waitFor();
    await page.keyboard.press('Home');
    await expect.poll(focused).toBe('n 00');
    await page.keyboard.press('u');
    await (
      await chooser
    ).setFiles({ name: 'by key.txt', mimeType: 'text/plain', buffer: Buffer.from('key') });
    await page.getByRole('heading', { name: 'Uploads 1 of 1', exact: true }).waitFor();
    expect((await readFile(onDisk('pages', 'by key.txt'))).toString()).toBe('key');
    await page.keyboard.press('?');
    const map = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
    const keys = await map.locator('kbd').allTextContents();
    for (const key of ['↑', '↓', 'Home', 'End', 'Page up', 'Page down', 'Space', 'Shift', 'A', 'Enter', 'F2'])
      expect(keys).toContain(key);
    for (const key of ['Del', 'Backspace', '/', 'U', '?']) expect(keys).toContain(key);
    await expectNothingCutOff(page);
    await page.keyboard.press('Escape');
    await map.waitFor({ state: 'detached' });
    await expect.poll(focused).toBe('n 00');
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
    await expect.poll(() => page.getByRole('button', { name: /^Remove key/ }).count()).toBe(0);
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

  it('is shown in German where the browser is, on a phone, until another language and theme are chosen', async () => {
    await fill('deutsch', {});
    await writeFile(onDisk('deutsch', 'Angebot.pdf'), Buffer.alloc(1_234_567));
    const german = await browser.visit({
      ignoreHTTPSErrors: true,
      locale: 'de-DE',
      viewport: phone,
      hasTouch: true,
      isMobile: true,
    });
    german.setDefaultTimeout(patienceMs);
    await german.goto(`${product.site.https}/files/deutsch`);
    await german.getByLabel('Benutzername').fill('frank');
    await german.getByLabel('Passwort', { exact: true }).fill(product.password('frank'));
    await german.getByRole('button', { name: 'Anmelden', exact: true }).click();
    await german.getByText(/^1,2 MB · heute/).waitFor();
    await german.goto(`${product.site.https}/options`);
    await german.getByLabel('Dunkel').check();
    await german.reload();
    await german.getByLabel('Dunkel').waitFor();
    expect(await german.locator('html').getAttribute('lang')).toBe('de');
    expect(await german.evaluate('getComputedStyle(document.documentElement).backgroundColor')).toBe(
      'rgb(16, 20, 26)',
    );
    await expectNothingCutOff(german);
    await german.getByLabel('English').check();
    await german.reload();
    await german.getByRole('heading', { name: 'User options' }).waitFor();
    expect(await german.locator('html').getAttribute('lang')).toBe('en');
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
