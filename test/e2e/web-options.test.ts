import { describe, expect, it } from 'vitest';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { expectNoViolations, expectNothingCutOff } from '#test/harness/web-accessibility.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import { patienceMs } from '#test/harness/patience.ts';
import { browser, flows, page, product, setUpDesk } from '#test/harness/web-desk.ts';

/** What people change about their own account in a real Chromium, on the real processes. */

setUpDesk({
  moreUsers: [
    buildDemoUser('olga', { isEnrolled: true, requiredOn: ['https'] }),
    buildDemoUser('lea', { isEnrolled: true, requiredOn: ['https', 'sftp'] }),
    buildDemoUser('otto'),
  ],
});

async function signIn(user: string, password = product.password(user)): Promise<void> {
  await flows.open('/options');
  const isEnrolled = user === 'olga' || user === 'lea';
  const code = isEnrolled ? () => product.authenticator(user).next() : undefined;
  await flows.signIn(user, password, code);
  await flows.heading('User options').waitFor();
}

describe('a password', () => {
  it('is changed with the present one; other windows are signed out and the old one is dead', async () => {
    const other = await browser.visit({ ignoreHTTPSErrors: true });
    other.setDefaultTimeout(patienceMs);
    const otherFlows = new WebFlows(other, product.site.https);
    await otherFlows.open();
    await otherFlows.signIn('otto', product.password('otto'));

    await signIn('otto');
    await page.getByRole('button', { name: 'Change password' }).click();
    const submit = page.locator('form').getByRole('button', { name: 'Change password' });
    const type = async (next: string, again: string, present: string): Promise<void> => {
      await page.getByLabel('New password', { exact: true }).fill(next);
      await page.getByLabel('New password, once more').fill(again);
      await page.getByLabel('Present password').fill(present);
      await submit.click();
    };
    const right = product.password('otto');
    await type('short', 'short', right);
    await page.getByText('The new password needs at least 12 characters.').waitFor();
    await type('a new long password', 'a new wrong password', right);
    await page.getByText('The new password is not the same in both fields.').waitFor();
    await expectNoViolations(page);
    await expectNothingCutOff(page);
    await type('a new long password', 'a new long password', 'not it');
    await page.getByText('That is not your present password.').waitFor();
    await type('a new long password', 'a new long password', right);
    await page.getByText('Password changed.').waitFor();

    await other.reload();
    await otherFlows.heading('Sign in').waitFor();
    await other.context().close();
    await flows.signOut();
    await flows.submitPassword('otto', right);
    await page.getByText('User name and password don’t match.').waitFor();
    await flows.signIn('otto', 'a new long password');
    expect(await flows.heading('Sign in').count()).toBe(0);
  });
});

describe('recovery codes', () => {
  it('are made anew with password and a fresh code; the old ones stop working', async () => {
    await signIn('olga');
    await page.getByRole('button', { name: 'Make new codes' }).click();
    await page.getByLabel('Present password').fill(product.password('olga'));
    await page.getByLabel('Verification code').fill('000000');
    await page.locator('form').getByRole('button', { name: 'Make new codes' }).click();
    await page.getByText('That code is not right.').waitFor();
    await page.getByLabel('Verification code').fill(await product.authenticator('olga').next());
    await page.locator('form').getByRole('button', { name: 'Make new codes' }).click();
    const codes = page.locator('.recovery-codes li');
    await codes.first().waitFor();
    const [first = ''] = await codes.allTextContents();
    expect(await codes.count()).toBe(10);
    await expectNothingCutOff(page);
    await page.getByLabel('I have stored them').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByText('10 recovery codes left').waitFor();
    await flows.signOut();
    await flows.submitPassword('olga', product.password('olga'));
    await page.getByRole('button', { name: 'Use a recovery code' }).click();
    await flows.submitCode(first);
    await page.getByRole('button', { name: 'Account of olga' }).waitFor();
    // Who came in this way is told where to go on.
    await page.getByText('You signed in with a recovery code; 9 are left.').waitFor();
    await expectNothingCutOff(page);
    await page.getByText('9 recovery codes left').waitFor();
    await page.getByText('With your phone at hand, make new ones here.').waitFor();
    await expectNoViolations(page);
    await flows.signOut();
    await flows.signIn('olga', product.password('olga'), () => product.authenticator('olga').next());
    expect(await page.getByText('You signed in with').count()).toBe(0);
  });

  it('that are given by the administrator lead on to another phone', async () => {
    const reason = ['--re-enrol', '--reason', 'lost phone'];
    const output = await product.sallyport('two-factor', 'bypass-code', 'olga', ...reason);
    const [given = ''] = output.split('\n');
    await flows.open();
    await flows.submitPassword('olga', product.password('olga'));
    await page.getByRole('button', { name: /Use a .*code/ }).click();
    await flows.submitCode(given);
    await page.getByText('You can set up another phone now.').waitFor();
    await page.getByRole('button', { name: 'User options' }).click();
    await page.getByRole('button', { name: 'Set up another phone' }).click();
    await flows.heading('Set up two-factor authentication').waitFor();
    expect(await page.locator('[data-view=notice]').count()).toBe(0);
  });
});

describe('sessions', () => {
  it('are listed, and another one is ended from here', async () => {
    const userAgent = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0';
    const other = await browser.visit({ ignoreHTTPSErrors: true, userAgent });
    other.setDefaultTimeout(patienceMs);
    const otherFlows = new WebFlows(other, product.site.https);
    await otherFlows.open();
    await otherFlows.signIn('frank', product.password('frank'));
    await signIn('frank');
    const list = page.locator('section', {
      has: page.getByRole('heading', { name: 'Where you are signed in' }),
    });
    await list.getByText('This one').waitFor();
    expect(await list.locator('li').count()).toBe(2);
    await list.locator('li', { hasText: 'This one' }).getByText('Chrome on Linux').waitFor();
    await list
      .locator('li', { hasText: 'Firefox on Windows' })
      .getByText('This website, from 127.0.0.1')
      .waitFor();
    await expectNoViolations(page);
    await expectNothingCutOff(page);
    await list
      .locator('li')
      .filter({ hasNotText: 'This one' })
      .getByRole('button', { name: 'Sign out' })
      .click();
    await expect.poll(() => list.locator('li').count()).toBe(1);
    await other.reload();
    await otherFlows.heading('Sign in').waitFor();
    await other.context().close();
  });
});

describe('what SFTP may do without a new code', () => {
  it('is listed with where it came from, and ended from here', async () => {
    const target = product.sftp('lea', { password: product.password('lea') });
    const code = await product.authenticator('lea').next();
    expect((await runOpenSshSftp({ ...target, code }, ['ls'])).prompts).toHaveLength(2);
    expect((await runOpenSshSftp(target, ['ls'])).prompts).toHaveLength(1);
    await signIn('lea');
    const lease = page.locator('li', { hasText: 'SFTP without a new code, from 127.0.0.1' });
    await lease.getByText(/OpenSSH.* · Until /).waitFor();
    await lease.getByRole('button', { name: 'End', exact: true }).click();
    await lease.waitFor({ state: 'detached' });
    expect((await runOpenSshSftp(target, ['ls'])).prompts[1]).toContain('Verification code');
  });
});

describe('the end of a session', () => {
  it('is announced two minutes before, and put off by a click', async () => {
    await page.clock.install();
    await signIn('frank');
    // Its last answer counts as use: nothing of the page may still be on its way.
    await page.getByText('This one').waitFor();
    await page.waitForLoadState('networkidle');
    await page.clock.fastForward('12:50');
    const warning = page.locator('.session-end');
    expect(await warning.count()).toBe(0);
    await page.clock.fastForward('00:20');
    await warning.getByText('You will be signed out in 2 min.').waitFor();
    await expectNoViolations(page);
    await expectNothingCutOff(page);
    await page.getByRole('button', { name: 'Stay signed in' }).click();
    await warning.waitFor({ state: 'detached' });
  });
});

describe('SSH keys and two-factor set-up', () => {
  it('are not offered where the administrator keeps them', async () => {
    await signIn('frank');
    await flows.heading('Where you are signed in').waitFor();
    await page.getByText('Your administrator decides when you can set it up').waitFor();
    expect(await page.getByRole('button', { name: /Set up two-factor/ }).count()).toBe(0);
    expect(await flows.heading('SSH keys').count()).toBe(0);
  });
});
