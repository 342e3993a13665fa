import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { askSallyport } from '#test/harness/clients/sallyport.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { setAutoEnable, startProduct, type Product } from '#test/harness/product.ts';
import { oathtoolCode, readQrCode, secretOfUri } from '#test/harness/qr-code.ts';
import { expectNothingCutOff } from '#test/harness/web-accessibility.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import { patienceMs } from '#test/harness/patience.ts';

/**
 * The scenarios an admin and a user play together, with everything real: both nodes as processes, Chromium, an SMTP
 * server, and an authenticator that knows only what it read from the screen.
 */

let product: Product;
let browser: WebBrowser;

const people = [
  // Whose factor the admin requires only after the set-up.
  buildDemoUser('grace', { registration: true }),
  buildDemoUser('heidi', { registration: true }),
];

beforeAll(async () => {
  [product, browser] = await Promise.all([startProduct({ moreUsers: people }), startWebBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await product.close();
});
afterEach(() => {
  const complaints = browser.complaints.splice(0);
  if (complaints.length > 0) throw new Error(`the page complained: ${complaints.join(' | ')}`);
});

/** A person at their own browser, who has looked up their password. */
async function visit(): Promise<{ page: Page; flows: WebFlows }> {
  const page = await browser.visit({ ignoreHTTPSErrors: true });
  page.setDefaultTimeout(patienceMs);
  const flows = new WebFlows(page, product.site.https);
  await flows.open();
  return { page, flows };
}

const clipboardOf = (page: Page): Promise<string> =>
  page.evaluate('navigator.clipboard.readText()') as Promise<string>;

/** Copies, saves and prints the recovery codes on the screen. */
async function takeAlong(flows: WebFlows, codes: readonly string[]): Promise<void> {
  const { page } = flows;
  await page.getByRole('button', { name: 'Copy', exact: true }).click();
  await expect.poll(() => clipboardOf(page)).toBe(codes.join('\n'));
  const file = await flows.saved(() => page.getByRole('button', { name: 'Download' }).click());
  expect(file.toString()).toContain(`\n${codes.join('\n')}\n`);
  await page.evaluate('window.print = () => { window.isPrinted = true; }');
  await page.getByRole('button', { name: 'Print' }).click();
  expect(await page.evaluate('window.isPrinted')).toBe(true);
  await page.emulateMedia({ media: 'print' });
  expect(await page.getByText(codes[9] ?? '').isVisible()).toBe(true);
  expect(await page.getByRole('button', { name: 'Print' }).isVisible()).toBe(false);
  expect(await page.evaluate('getComputedStyle(document.querySelector(".recovery-codes li")).color')).toBe(
    'rgb(0, 0, 0)',
  );
  await page.emulateMedia({ media: 'screen' });
}

/** From "Ready to scan" to the files, with an authenticator of its own that is handed back. */
async function setUp(flows: WebFlows): Promise<{ app: Authenticator; recovery: string[]; uri: string }> {
  const { page } = flows;
  const ring = page.getByRole('timer');
  const first = await ring.textContent();
  await expect.poll(() => ring.textContent(), { timeout: patienceMs }).not.toBe(first);
  const uri = await flows.scanScreen();
  const shown = (await page.locator('.secret').textContent()) ?? '';
  expect(shown.replaceAll(' ', '')).toBe(secretOfUri(uri));
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy key' }).click();
  await expect.poll(() => clipboardOf(page)).toBe(secretOfUri(uri));
  const app = new Authenticator(secretOfUri(uri));
  const recovery = await flows.finishSetup(() => app.next());
  expect(await page.getByRole('button', { name: 'Done' }).isDisabled()).toBe(true);
  await takeAlong(flows, recovery);
  await flows.leaveSetup();
  return { app, recovery, uri };
}

describe('auto_enable is on and nothing is required', () => {
  let app: Authenticator;
  let recovery: string[];

  it('asks the code from the next sign-in on, once the user has set it up', async () => {
    const { page, flows } = await visit();
    await flows.signIn('carol', product.password('carol'));
    await flows.startSetup();
    const made = await setUp(flows);
    ({ app, recovery } = made);
    expect(recovery).toHaveLength(10);
    expect(made.uri).toContain('carol');
    await page.getByText('A code is asked for: this website, SFTP').waitFor();
    await flows.signOut();

    await flows.submitPassword('carol', product.password('carol'));
    await page.getByText('From your authenticator app').waitFor();
    await flows.submitCode(await app.next());
    await page.getByRole('button', { name: 'Account of carol' }).waitFor();
    await flows.signOut();
  });

  it('says whether a code was wrong or used, and takes a recovery code in its place, once', async () => {
    const { page, flows } = await visit();
    await flows.submitPassword('carol', product.password('carol'));
    await flows.submitCode('000000');
    await page.getByText('That code is not right').waitFor();
    await page.getByText('4 tries left').waitFor();
    await page.getByRole('button', { name: 'Use a recovery code' }).click();
    await flows.submitCode(recovery[0] ?? '');
    await page.getByRole('button', { name: 'Account of carol' }).waitFor();
    await flows.signOut();

    await flows.submitPassword('carol', product.password('carol'));
    await page.getByRole('button', { name: 'Use a recovery code' }).click();
    await flows.submitCode(recovery[0] ?? '');
    await page.getByText('That code is already used. Each code works once.').waitFor();
    await page.getByRole('button', { name: 'Use your authenticator app' }).click();
    const code = await app.next();
    await flows.submitCode(code);
    await page.getByRole('button', { name: 'Account of carol' }).waitFor();
    await flows.signOut();

    await flows.submitPassword('carol', product.password('carol'));
    await flows.submitCode(code);
    await page.getByText(/already used\. Wait for the next one \(\d+ s\)/).waitFor();
    expect(await page.getByText('4 tries left').isVisible()).toBe(true);
  });
});

describe('a set-up that takes too long, or goes wrong', () => {
  it('hides the picture when its time is up, saves nothing after too many wrong codes, and starts again', async () => {
    const { page, flows } = await visit();
    await page.clock.install();
    await flows.open('/setup');
    await flows.submitPassword('heidi', product.password('heidi'));
    await expectNothingCutOff(page);
    await flows.showQr();
    const first = await flows.scanScreen();
    const heard = await flows.listen();
    await page.clock.runFor(31_000);
    await page.getByRole('main').getByText('This code has run out').waitFor();
    expect(await heard()).toEqual([
      '20 seconds left',
      '10 seconds left',
      '5 seconds left',
      'This code has run out.',
    ]);
    expect(await page.getByRole('button', { name: 'Confirm' }).count()).toBe(0);
    await expect(readQrCode(await page.screenshot())).rejects.toThrow('no QR code');
    await page.getByRole('button', { name: 'Show a new code' }).click();
    await flows.qr().waitFor();
    expect(await flows.scanScreen()).not.toBe(first);
    await expectNothingCutOff(page);

    await page.getByRole('button', { name: 'Confirm' }).click();
    for (let left = 4; left >= 0; left -= 1) {
      await page.getByLabel('Verification code').fill('000000');
      await page.getByRole('button', { name: 'Finish' }).click();
      if (left > 0) await page.getByText(left === 1 ? '1 try left' : `${left} tries left`).waitFor();
      if (left === 4) await expectNothingCutOff(page);
    }
    await page.getByText('Too many wrong codes, so nothing was saved').waitFor();

    await flows.showQr();
    const uri = await flows.scanScreen();
    await flows.finishSetup(() => new Authenticator(secretOfUri(uri)).now());
    await expectNothingCutOff(page);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('heidi-recovery-codes.txt');
    await flows.leaveSetup();
    await page.getByText('10 recovery codes left').waitFor();
    await page.context().close();
  });
});

describe('a user who lost the phone', () => {
  it('types the code from the administrator and moves to another phone, with new recovery codes', async () => {
    const { page, flows } = await visit();
    const made = await askSallyport(product.site.files.main.socket, [
      'two-factor',
      'bypass-code',
      'alice',
      '--re-enrol',
      '--reason',
      'seen in person',
    ]);
    await flows.signIn('alice', product.password('alice'), async () => {
      await page.getByRole('button', { name: 'Use a recovery code' }).click();
      return String(made['code']).toLowerCase();
    });
    await flows.open('/options');
    await page.getByText('the old phone’s codes then stop working').waitFor();
    await page.getByRole('button', { name: 'Set up another phone' }).click();
    await flows.showQr();
    const { app, recovery } = await setUp(flows);
    expect(recovery).toHaveLength(10);
    await expect.poll(() => page.getByRole('button', { name: 'Set up another phone' }).count()).toBe(0);
    await flows.signOut();
    await flows.submitPassword('alice', product.password('alice'));
    await flows.submitCode(await product.authenticator('alice').next());
    await page.getByText('That code is not right').waitFor();
    await flows.submitCode(await app.next());
    await page.getByRole('button', { name: 'Account of alice' }).waitFor();
  });
});

describe('a user of whom a factor will be required', () => {
  it('is reminded after the sign-in, with the day, in the language of the page', async () => {
    const day = new Date(Date.now() + 30 * 24 * 3_600_000).toISOString().slice(0, 10);
    await askSallyport(product.site.files.main.socket, [
      'users',
      'set',
      'frank',
      'two_factor.required_on=[https]',
      `two_factor.required_from=${day}`,
    ]);
    const { page, flows } = await visit();
    await flows.signIn('frank', product.password('frank'));
    await page.getByText(/^From .* on, signing in needs a code from your phone\. Ask/).waitFor();
    const german = await browser.visit({ ignoreHTTPSErrors: true, locale: 'de-DE' });
    await german.goto(product.site.https);
    await german.getByLabel('Benutzername').fill('frank');
    await german.getByLabel('Passwort', { exact: true }).fill(product.password('frank'));
    await german.getByRole('button', { name: 'Anmelden', exact: true }).click();
    const reminder = german.getByText(/^Ab .* brauchen Sie zum Anmelden einen Code/);
    await reminder.waitFor();
    expect(await reminder.textContent()).toContain(day.slice(0, 4));
  });
});

describe('a user whose set-up is forced', () => {
  it('reaches nothing but the set-up page before it is done, and everything after it', async () => {
    const target = product.sftp('dave', { password: product.password('dave') });
    const before = await runOpenSshSftp(target, ['ls']);
    expect(before.status).not.toBe(0);
    expect(before.stderr).toContain(`Sign in at ${product.site.https}`);

    const { page, flows } = await visit();
    await flows.submitPassword('dave', product.password('dave'));
    await flows.heading('Set up two-factor authentication').waitFor();
    await page.getByText('Your administrator asks you to do this once').waitFor();
    await flows.open('/files');
    await flows.heading('Set up two-factor authentication').waitFor();
    expect((await page.request.get(`${product.site.https}/api/files/`)).status()).toBe(403);

    await flows.showQr();
    const { app } = await setUp(flows);
    expect((await page.request.get(`${product.site.https}/api/files/`)).status()).toBe(200);
    await flows.signOut();

    await flows.signIn('dave', product.password('dave'), () => app.next());
    const after = await runOpenSshSftp({ ...target, code: await app.next() }, ['ls']);
    expect(after.status, after.stderr).toBe(0);
    expect(after.prompts).toHaveLength(2);
  });
});

describe('auto_enable is off', () => {
  let bob: { page: Page; flows: WebFlows };
  let mailbox: Mailbox;
  beforeAll(async () => {
    await setAutoEnable(product, false);
    mailbox = new Mailbox(product.site.files.mail, 'bob@example.com');
  });

  it('mails a code to a user of whom one is required, and says where it went', async () => {
    bob = await visit();
    await bob.flows.submitPassword('bob', product.password('bob'));
    await bob.page.getByText('We sent it to b…@example.com').waitFor();
    expect(await mailbox.code(1)).toMatch(/^\d{6}$/);
    expect(await bob.page.getByRole('button', { name: /^Send a new code \(in/ }).isDisabled()).toBe(true);
  });

  it('keeps sign-ins as they are after a set-up that nobody required, until the admin requires it', async () => {
    const { page, flows } = await visit();
    await flows.signIn('grace', product.password('grace'));
    await flows.startSetup();
    const { app } = await setUp(flows);
    await page.getByText('A code is not asked for yet. Your administrator switches that on.').waitFor();
    await flows.signOut();
    await flows.signIn('grace', product.password('grace'));
    await flows.signOut();

    const socket = product.site.files.main.socket;
    await askSallyport(socket, ['users', 'set', 'grace', 'two_factor.required_on=[https, sftp]']);
    await flows.submitPassword('grace', product.password('grace'));
    await page.getByText('From your authenticator app').waitFor();
    await flows.submitCode(await app.next());
    await page.getByRole('button', { name: 'Account of grace' }).waitFor();
    await expect
      .poll(() => product.audit().filter((one) => one['user'] === 'grace' && one['method'] === 'totp'), {
        timeout: patienceMs,
      })
      .toHaveLength(1);
  });

  it('mails another code when asked, which makes the first one worthless', async () => {
    const { page, flows } = bob;
    await page.getByRole('button', { name: 'Send a new code', exact: true }).click();
    await page.getByText('A new code is on its way').waitFor();
    const [first, second] = [await mailbox.code(1), await mailbox.code(2)];
    expect(second).not.toBe(first);
    await flows.submitCode(first);
    await page.getByText(/That code is (not right|already used)/).waitFor();
    await flows.submitCode(second);
    await page.getByRole('button', { name: 'Account of bob' }).waitFor();
  });

  it('mails nothing more once that user has set up an authenticator, and asks for its code', async () => {
    const { page, flows } = bob;
    await flows.startSetup();
    const uri = await flows.scanScreen();
    // An independent authenticator, on nothing but the picture.
    await flows.finishSetup(() => oathtoolCode(secretOfUri(uri)));
    await flows.leaveSetup();
    await flows.signOut();

    await flows.submitPassword('bob', product.password('bob'));
    await page.getByText('From your authenticator app').waitFor();
    const soon = new Date(Date.now() + 30_000).toISOString().replace('T', ' ').slice(0, 19);
    await flows.submitCode(await oathtoolCode(secretOfUri(uri), `${soon} UTC`));
    await page.getByRole('button', { name: 'Account of bob' }).waitFor();
    expect(mailbox.codes()).toHaveLength(2);
    expect(mailbox.about(/Two-factor authentication was set up/)).toHaveLength(1);
  });
});
