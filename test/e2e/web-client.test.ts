import { gzipSync } from 'node:zlib';
import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import type { FakeNode } from '#test/dmz/web/fake-node.ts';
import { aliceSecret, fillFolders, fillUsers, password, startFakeSite } from '#test/dmz/web/fake-site.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';

/** The built web client in a real browser, on a stand-in server with the real one's headers. */

let node: FakeNode;
let baseUrl: string;
let browser: WebBrowser;
let page: Page;
let flows: WebFlows;
const aliceCode = (): string => new Authenticator(aliceSecret).now();

/** Long enough for a loaded machine; nothing here waits for time to pass. */
const patienceMs = 30_000;

beforeAll(async () => {
  ({ node, baseUrl } = await startFakeSite());
  browser = await startWebBrowser();
});
afterAll(async () => {
  await browser.close();
  await node.stop();
});
beforeEach(async () => {
  fillUsers(node);
  fillFolders(node);
  node.outageRetryAfter = undefined;
  page = await browser.visit();
  page.setDefaultTimeout(patienceMs);
  flows = new WebFlows(page, baseUrl);
});
afterEach(async () => {
  await page.context().close();
  const complaints = browser.complaints.splice(0);
  // Such as violations of its content security policy.
  if (complaints.length > 0) throw new Error(`the page complained: ${complaints.join(' | ')}`);
});

async function textOf(locator: { textContent(): Promise<string | null> }): Promise<string> {
  return (await locator.textContent()) ?? '';
}

/** Waits until it is on the screen; says no instead of throwing. */
async function seen(locator: Locator): Promise<boolean> {
  return locator.waitFor().then(
    () => true,
    () => false,
  );
}

describe('signing in', () => {
  it('goes through password and code to the folder in the address, which survives a reload', async () => {
    await flows.open('/files/Projects/2026');
    await flows.signIn('alice', password, aliceCode);
    await flows.row('plan.pdf').waitFor();
    await page.reload();
    await flows.row('plan.pdf').waitFor();
    expect(new URL(page.url()).pathname).toBe('/files/Projects/2026');
    expect(await page.title()).toBe('2026 – Sallyport');
  });

  it('lets password managers and keyboards do it: right fields, Enter submits', async () => {
    await flows.open();
    expect(await page.getByLabel('User name').getAttribute('autocomplete')).toBe('username');
    const field = page.getByLabel('Password', { exact: true });
    expect(await field.getAttribute('autocomplete')).toBe('current-password');
    expect(await page.evaluate('document.activeElement.name')).toBe('username');
    await page.keyboard.type('alice');
    await page.keyboard.press('Tab');
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    await flows.heading('Enter your code').waitFor();
    const code = page.getByLabel('Verification code');
    expect(await code.getAttribute('autocomplete')).toBe('one-time-code');
    expect(await code.getAttribute('inputmode')).toBe('numeric');
    await page.keyboard.insertText(` ${aliceCode().slice(0, 3)} ${aliceCode().slice(3)} `);
    await page.keyboard.press('Enter');
    await flows.row('offer.pdf').waitFor();
  });

  it('says one thing for a wrong password, with the reference', async () => {
    await flows.open();
    await flows.submitPassword('alice', 'wrong');
    expect(await textOf(flows.alert())).toContain('User name and password don’t match');
    expect(await textOf(flows.alert())).toContain('7F3K-92QD');
  });

  it('says why a code is not accepted and how many tries are left', async () => {
    await flows.open();
    await flows.submitPassword('alice', password);
    await flows.heading('Enter your code').waitFor();
    await page.getByText('From your authenticator app').waitFor();
    await flows.submitCode('000000');
    await page.getByText('That code is not right').waitFor();
    await page.getByText('4 tries left').waitFor();
    node.nextCodeRefusal = { reason: 'used-code' };
    await flows.submitCode('000001');
    await page.getByText(/already used\. Wait for the next one \(\d+ s\)/).waitFor();
    node.nextCodeRefusal = { reason: 'clock-drift', drift_seconds: -95 };
    await flows.submitCode('000002');
    await page.getByText('Your phone’s clock is about 95 seconds slow').waitFor();
    expect(await seen(page.getByText('2 tries left'))).toBe(true);
  });

  it('starts again when all tries are used up', async () => {
    await flows.open();
    await flows.submitPassword('alice', password);
    for (let tries = 4; tries >= 0; tries -= 1) {
      await flows.submitCode('000000');
      if (tries > 0) await page.getByText(tries === 1 ? '1 try left' : `${tries} tries left`).waitFor();
    }
    await page.getByText('That sign-in is over').waitFor();
    expect(await page.getByLabel('User name').inputValue()).toBe('alice');
  });

  it('takes a recovery code instead', async () => {
    await flows.open();
    await flows.submitPassword('alice', password);
    await page.getByRole('button', { name: 'Use a recovery code' }).click();
    await flows.submitCode('ABCD-EFGH-JKLM-NPQR');
    expect(await seen(flows.row('offer.pdf'))).toBe(true);
  });

  it('says where a mailed code went and sends another one', async () => {
    await page.clock.install();
    await flows.open();
    await flows.submitPassword('bob', password);
    await page.getByText('We sent it to b…@example.com').waitFor();
    expect(await page.getByRole('button', { name: /Send a new code/ }).isDisabled()).toBe(true);
    await page.clock.runFor(31_000);
    await page.getByRole('button', { name: 'Send a new code' }).click();
    await page.getByText('A new code is on its way').waitFor();
    expect(node.mailedCodes.length).toBeGreaterThanOrEqual(2);
    await flows.submitCode(node.mailedCodes.at(-1) ?? '');
    await flows.row('offer.pdf').waitFor();
  });

  it('goes back to the first step by choice, and the half session is ended', async () => {
    await flows.open();
    await flows.submitPassword('alice', password);
    await page.getByRole('button', { name: 'Back' }).click();
    await flows.heading('Sign in').waitFor();
    await expect.poll(() => node.requests.at(-1)).toBe('POST /api/logout');
  });
});

describe('a session that ends', () => {
  it('leads to the sign-in, says so, and goes on in the same folder', async () => {
    await flows.open('/files/Projects');
    await flows.signIn('carol', password);
    await flows.row('2026').waitFor();
    node.endAllSessions();
    await flows.row('2026').getByRole('link', { name: '2026' }).click();
    await page.getByText('You were signed out because the session ended').waitFor();
    expect(await page.getByLabel('User name').inputValue()).toBe('carol');
    await flows.signIn('carol', password);
    await flows.row('plan.pdf').waitFor();
  });

  it('is signed out in the other window too', async () => {
    await flows.open();
    await flows.signIn('carol', password);
    const other = await page.context().newPage();
    const otherFlows = new WebFlows(other, baseUrl);
    await otherFlows.open();
    await otherFlows.row('offer.pdf').waitFor();
    await otherFlows.signOut();
    expect(await seen(page.getByText('You signed out in another window'))).toBe(true);
  });
});

describe('while main is down', () => {
  it('says that files are safe, counts down and comes back by itself', async () => {
    await flows.open('/files/Projects');
    await flows.signIn('carol', password);
    await flows.row('2026').waitFor();
    await page.clock.install();
    node.outageRetryAfter = 30;
    await page.reload();
    await page.getByText('Your files are safe').waitFor();
    await page.getByText('This page tries again in 30 s').waitFor();
    node.outageRetryAfter = undefined;
    await page.clock.runFor(31_000);
    expect(await seen(flows.row('2026'))).toBe(true);
  });

  it('tries the sign-in again without asking for the password', async () => {
    await flows.open();
    await page.clock.install();
    node.outageRetryAfter = 5;
    await flows.submitPassword('carol', password);
    await page.getByText('Your files are safe').waitFor();
    node.outageRetryAfter = undefined;
    await page.clock.runFor(6_000);
    expect(await seen(flows.row('offer.pdf'))).toBe(true);
  });
});

describe('files', () => {
  beforeEach(async () => {
    await flows.open();
    await flows.signIn('carol', password);
    await flows.row('offer.pdf').waitFor();
  });

  it('are listed folders first, in the reader’s order, and sorted by a click', async () => {
    const names = await flows.names();
    expect(names.slice(0, 3)).toEqual(['Invoices', 'Projects', 'Shared with partners']);
    expect(names.indexOf('photo 2.jpg')).toBeLessThan(names.indexOf('photo 10.jpg'));
    await page.getByRole('button', { name: 'Size' }).click();
    await expect.poll(async () => (await flows.names())[3]).toBe('backup.tar.gz');
    expect(await page.getByRole('columnheader', { name: 'Size' }).getAttribute('aria-sort')).toBe(
      'descending',
    );
  });

  it('are filtered while typing', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type('uber');
    await expect.poll(() => flows.names()).toEqual(['Übersicht.xlsx']);
    await page.keyboard.type('zzz');
    await page.getByText('Nothing here has “uberzzz” in its name.').waitFor();
    await page.keyboard.press('Escape');
    await flows.row('offer.pdf').waitFor();
  });

  it('are reached through folders and the breadcrumbs', async () => {
    await flows.openFolder('Projects');
    await flows.openFolder('2026');
    await flows.row('plan.pdf').waitFor();
    await page.getByRole('navigation').getByRole('link', { name: 'Projects' }).click();
    await flows.row('2026').waitFor();
    await page.goBack();
    expect(await seen(flows.row('plan.pdf'))).toBe(true);
  });

  it('are downloaded by a click on the name', async () => {
    const click = (): Promise<void> =>
      flows.row('offer.pdf').getByRole('link', { name: 'offer.pdf' }).click();
    expect((await flows.saved(click)).toString()).toBe('content of offer.pdf\n');
  });

  it('are uploaded by button and by dropping, also onto a folder', async () => {
    await flows.upload([
      { name: 'a.txt', content: 'aaa' },
      { name: 'empty.txt', content: '' },
    ]);
    await flows.row('a.txt').waitFor();
    await flows.row('empty.txt').waitFor();
    await flows.drop([{ name: 'b.txt', content: 'bbb' }]);
    await flows.row('b.txt').waitFor();
    await flows.drop([{ name: 'c.txt', content: 'ccc' }], 'Invoices');
    await expect.poll(() => node.folders.find(['Invoices', 'c.txt'])?.content.toString()).toBe('ccc');
    expect(node.folders.find(['a.txt'])?.content.toString()).toBe('aaa');
    await page.getByText('4 of 4').waitFor();
  });

  it('are not replaced without asking: keep both, replace, skip', async () => {
    const again = [{ name: 'notes.txt', content: 'new notes' }];
    await flows.upload(again);
    await page.getByRole('button', { name: 'Keep both' }).click();
    await flows.row('notes (2).txt').waitFor();
    await flows.upload(again);
    await page.getByRole('button', { name: 'Skip' }).click();
    await flows.upload(again);
    await page.getByRole('button', { name: 'Replace' }).click();
    await expect.poll(() => node.folders.find(['notes.txt'])?.content.toString()).toBe('new notes');
    expect(node.folders.find(['notes (2).txt'])?.content.toString()).toBe('new notes');
  });

  it('that appeared meanwhile are not replaced either', async () => {
    node.folders.putFile(['just-came.txt'], Buffer.from('theirs'));
    await flows.upload([{ name: 'just-came.txt', content: 'mine' }]);
    await page.getByRole('button', { name: 'Keep both' }).click();
    await flows.row('just-came (2).txt').waitFor();
    expect(node.folders.find(['just-came.txt'])?.content.toString()).toBe('theirs');
  });

  it('show their progress, and can be cancelled', async () => {
    let open = (): void => undefined;
    node.uploadGate = new Promise((resolve) => {
      open = resolve;
    });
    await flows.upload([{ name: 'slow.bin', content: Buffer.alloc(2_000_000) }]);
    await page.getByRole('progressbar', { name: 'slow.bin' }).waitFor();
    await page.getByRole('button', { name: 'Cancel slow.bin' }).click();
    await page.getByText('Cancelled').waitFor();
    open();
    node.uploadGate = undefined;
    expect(node.folders.find(['slow.bin'])).toBeUndefined();
  });

  it('are renamed in place', async () => {
    await flows.rename('offer.pdf', 'offer 2026.pdf');
    expect(await flows.row('offer.pdf').count()).toBe(0);
    await flows.chooseAction('offer 2026.pdf', 'Rename');
    const field = page.getByLabel('New name for offer 2026.pdf');
    await field.fill('notes.txt');
    await field.press('Enter');
    expect(await textOf(flows.alert())).toContain('notes.txt already exists here');
    await field.press('Escape');
    await flows.row('offer 2026.pdf').waitFor();
  });

  it('are deleted after a question, folders with everything in them', async () => {
    await flows.remove('notes.txt');
    await flows.chooseAction('Projects', 'Delete');
    await page.getByText('The folder and everything in it can’t be brought back.').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await flows.row('Projects').waitFor();
    await flows.remove('Projects');
    expect(node.folders.find(['Projects'])).toBeUndefined();
  });

  it('get folders of their own', async () => {
    await flows.createFolder('Contracts');
    await page.getByRole('button', { name: 'New folder' }).click();
    await page.getByLabel('Name of the folder').fill('Contracts');
    await page.getByRole('button', { name: 'Create' }).click();
    expect(await textOf(flows.alert())).toContain('Contracts already exists here');
  });

  it('are handled with the keyboard alone', async () => {
    const focused = (): Promise<unknown> =>
      page.evaluate('document.activeElement.querySelector(".name")?.textContent');
    await page.locator('[role=row][tabindex="0"]').focus();
    await expect.poll(focused).toBe('Invoices');
    await page.keyboard.press('End');
    await expect.poll(focused).toBe('Übersicht.xlsx');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await flows.row('2026').waitFor();
    await expect.poll(focused).toBe('2026');
    await page.keyboard.press('Backspace');
    await flows.row('offer.pdf').waitFor();
    await expect.poll(focused).toBe('Invoices');
    await page.keyboard.press('Space');
    await page.keyboard.press('Shift+ArrowDown');
    await page.getByText('2 selected').first().waitFor();
    await page.keyboard.press('Control+a');
    await page.getByText('12 selected').first().waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('End');
    await page.keyboard.press('F2');
    await page.keyboard.type('overview');
    await page.keyboard.press('Enter');
    await flows.row('overview.xlsx').waitFor();
    await expect.poll(focused).toBe('overview.xlsx');
    await page.keyboard.press('Delete');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(focused).toBe('overview.xlsx');
    await page.keyboard.press('?');
    await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
  });

  it('that can’t be listed say so and are tried again', async () => {
    node.nextListingStatus = 500;
    await page.reload();
    await flows.heading('This folder can’t be shown').waitFor();
    await page.getByText('7F3K-92QD').waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    await flows.row('offer.pdf').waitFor();
    await flows.open('/files/nowhere');
    expect(await seen(flows.heading('This folder is gone'))).toBe(true);
  });

  it('by the hundred thousand are a list of a few rows that scrolls to its end', async () => {
    node.folders.putFolder(['Huge']);
    for (let index = 0; index < 100_000; index += 1)
      node.folders.putFile(['Huge', `file ${String(index).padStart(6, '0')}`], Buffer.alloc(0));
    await page.reload();
    await flows.openFolder('Huge');
    await page.getByText('100,000 items', { exact: true }).waitFor();
    await page.locator('[role=row][tabindex="0"]').focus();
    await page.keyboard.press('End');
    await flows.row('file 099999').waitFor();
    expect(await page.locator('[role=row]').count()).toBeLessThan(60);
  });
});

describe('two-factor set-up', () => {
  it('by choice: ready, scan, confirm, prove, recovery codes; the next login asks for the code', async () => {
    await flows.open();
    await flows.signIn('carol', password);
    await flows.startSetup();
    const secret = await flows.scanQr();
    expect((await textOf(page.locator('.secret'))).replaceAll(' ', '')).toBe(secret);
    const codes = await flows.finishSetup(() => new Authenticator(secret).now());
    expect(codes).toHaveLength(10);
    expect(await page.getByRole('button', { name: 'Done' }).isDisabled()).toBe(true);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('carol-recovery-codes.txt');
    await flows.leaveSetup();
    await page.getByText('10 recovery codes left').waitFor();
    node.users.set('carol', { ...requireUser('carol'), asks: 'totp' });
    await flows.signOut();
    await flows.signIn('carol', password, () => new Authenticator(secret).now());
  });

  it('blurs a picture whose time is up, and shows a new one', async () => {
    await page.clock.install();
    await flows.open('/setup');
    await flows.submitPassword('carol', password);
    await flows.showQr();
    const first = await textOf(page.locator('.secret'));
    await page.clock.runFor(31_000);
    await page.getByRole('main').getByText('This code has run out').waitFor();
    expect(await page.getByRole('button', { name: 'Confirm' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Show a new code' }).click();
    await flows.qr().waitFor();
    expect(await textOf(page.locator('.secret'))).not.toBe(first);
  });

  it('says what is wrong with a code, and starts again after too many', async () => {
    await flows.open('/setup');
    await flows.submitPassword('carol', password);
    await flows.showQr();
    await page.getByRole('button', { name: 'Confirm' }).click();
    for (let left = 4; left >= 0; left -= 1) {
      await page.getByLabel('Verification code').fill('000000');
      await page.getByRole('button', { name: 'Finish' }).click();
      if (left > 0) await page.getByText(left === 1 ? '1 try left' : `${left} tries left`).waitFor();
    }
    await page.getByText('Too many wrong codes, so nothing was saved').waitFor();
    expect(await seen(page.getByRole('button', { name: 'Ready to scan' }))).toBe(true);
  });

  it('forced: nothing else can be reached before it is done', async () => {
    await flows.open('/files/Projects');
    await flows.submitPassword('dave', password);
    await page.getByText('Your administrator asks you to do this once').waitFor();
    await flows.open('/options');
    await page.getByText('Your administrator asks you to do this once').waitFor();
    await flows.showQr();
    const secret = await flows.scanQr();
    await flows.finishSetup(() => new Authenticator(secret).now());
    await flows.leaveSetup();
    expect(await seen(flows.row('offer.pdf'))).toBe(true);
  });

  it('is not offered where registration is off', async () => {
    await flows.open('/options');
    await flows.signIn('frank', password);
    await page.getByText('Your administrator decides when you can set it up').waitFor();
    expect(await page.getByRole('button', { name: /Set up two-factor/ }).count()).toBe(0);
  });
});

describe('language and theme', () => {
  it('follow the browser, and the reader’s own choice after that', async () => {
    const german = await browser.visit({ locale: 'de-DE' });
    await german.goto(baseUrl);
    await german.getByLabel('Benutzername').fill('carol');
    await german.getByLabel('Passwort', { exact: true }).fill(password);
    await german.getByRole('button', { name: 'Anmelden' }).click();
    await german.getByRole('gridcell', { name: '1,2 MB' }).waitFor();
    expect(await german.locator('html').getAttribute('lang')).toBe('de');
    await german.goto(`${baseUrl}/options`);
    await german.getByLabel('English').check();
    await german.getByRole('heading', { name: 'User options' }).waitFor();
    await german.getByLabel('Dark').check();
    await german.reload();
    await german.getByRole('heading', { name: 'User options' }).waitFor();
    expect(await german.locator('html').getAttribute('data-theme')).toBe('dark');
    expect(await german.evaluate('getComputedStyle(document.documentElement).backgroundColor')).toBe(
      'rgb(16, 20, 26)',
    );
  });
});

describe('the first visit', () => {
  it('loads at most 60 KiB of JavaScript, compressed', async () => {
    const scripts: Promise<Buffer>[] = [];
    page.on('response', (response) => {
      if (response.url().endsWith('.js')) scripts.push(response.body());
    });
    await flows.open();
    await flows.heading('Sign in').waitFor();
    const bytes = (await Promise.all(scripts)).map((body) => gzipSync(body).length);
    expect(bytes.length).toBeGreaterThan(0);
    expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(60 * 1024);
  });
});

function requireUser(name: string) {
  const user = node.users.get(name);
  if (user === undefined) throw new Error(`no user ${name}`);
  return user;
}
