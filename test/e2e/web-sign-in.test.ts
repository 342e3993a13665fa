import { beforeEach, describe, expect, it } from 'vitest';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { phone } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import { flows, page, product, setUpDesk, visit } from '#test/harness/web-desk.ts';

/** A sign-in that is interrupted, in a real Chromium, on the real processes. */

setUpDesk({ visitor: 'by-test' });

describe('a page that is loaded again at the code step', () => {
  beforeEach(() => visit());

  it('goes on there, with the tries that are left, up to the folder in the address', async () => {
    await flows.open('/files/later');
    await flows.submitPassword('alice', product.password('alice'));
    await flows.heading('Enter your code').waitFor();
    await flows.submitCode('000000');
    await page.getByText('4 tries left').waitFor();
    await page.reload();
    await flows.heading('Enter your code').waitFor();
    await page.getByText('4 tries left').waitFor();
    await page.getByText('alice').waitFor();
    await flows.submitCode(await product.authenticator('alice').next());
    await page.getByRole('button', { name: 'Account of alice' }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/files/later');
  });

  it('takes the code that was mailed before, and sends no second one', async () => {
    const mailbox = new Mailbox(product.site.files.mail, 'bob@example.com');
    await flows.open();
    await flows.submitPassword('bob', product.password('bob'));
    // The mail may be there before the answer that brings the half session's cookie.
    await flows.heading('Enter your code').waitFor();
    const code = await mailbox.code(1);
    await page.reload();
    await page.getByText('b…@').waitFor();
    await flows.submitCode(code);
    await page.getByRole('button', { name: 'Account of bob' }).waitFor();
    expect(mailbox.codes()).toEqual([code]);
  });

  it('asks for the password when the half session is over, and another window follows the one that got through', async () => {
    await flows.open();
    await flows.submitPassword('alice', product.password('alice'));
    await flows.heading('Enter your code').waitFor();
    const beside = await page.context().newPage();
    await new WebFlows(beside, product.site.https).open();
    await beside.getByRole('heading', { name: 'Enter your code' }).waitFor();
    await flows.submitCode(await product.authenticator('alice').next());
    await page.getByRole('button', { name: 'Account of alice' }).waitFor();
    await beside.getByRole('button', { name: 'Account of alice' }).waitFor();
    await flows.signOut();
    await flows.submitPassword('alice', product.password('alice'));
    await page.getByRole('button', { name: 'Back' }).click();
    await flows.heading('Sign in').waitFor();
    await page.reload();
    await flows.heading('Sign in').waitFor();
    expect(await page.getByRole('textbox', { name: /code/ }).count()).toBe(0);
  });
});

describe('a page that is loaded again in the middle of a set-up', () => {
  beforeEach(() => visit({ viewport: phone }));

  it('goes on with the code of the app that was set up already, and asks before it forgets the recovery codes', async () => {
    await flows.open();
    await flows.submitPassword('dave', product.password('dave'));
    await flows.showQr();
    const app = new Authenticator(await flows.scanQr());
    await page.getByRole('button', { name: 'Confirm' }).click();
    await page.getByLabel('Verification code').waitFor();
    await page.reload();
    await page.getByLabel('Verification code').fill(app.now());
    await page.getByRole('button', { name: 'Finish' }).click();
    await page.locator('.recovery-codes li').first().waitFor();
    const asked = page.waitForEvent('dialog');
    // Not `page.reload()`: it would wait for the page that never comes.
    const leaving = page.evaluate('location.reload()').catch(() => undefined);
    const dialog = await asked;
    expect(dialog.type()).toBe('beforeunload');
    await dialog.dismiss();
    await leaving;
    expect(await page.locator('.recovery-codes li').count()).toBe(10);
    await flows.leaveSetup();
  });
});
