import { mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { aliceSecret, fillFolders, password, startFakeSite } from '#test/dmz/web/fake-site.ts';
import { desktop, phone, startWebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';

/** Pictures of every page, on desktop and phone, light and dark, into `screens/`: for looking at them. */

const folder = fileURLToPath(new URL('../screens/', import.meta.url));
const only = process.argv[2];
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
const { node, baseUrl } = await startFakeSite();
const browser = await startWebBrowser();

for (const [device, viewport] of Object.entries({ desktop, phone }))
  for (const colorScheme of ['light', 'dark'] as const)
    await takeAll(`${device}-${colorScheme}`, {
      viewport,
      colorScheme,
      hasTouch: device === 'phone',
      isMobile: device === 'phone',
    });

await browser.close();
await node.stop();
for (const complaint of browser.complaints) process.stderr.write(`${complaint}\n`);

async function takeAll(
  variant: string,
  options: {
    viewport: { width: number; height: number };
    colorScheme: 'light' | 'dark';
    hasTouch: boolean;
    isMobile: boolean;
  },
): Promise<void> {
  if (only !== undefined && !variant.includes(only)) return;
  const scenes: Record<string, (flows: WebFlows, page: Page) => Promise<void>> = {
    'sign-in': async (flows) => {
      await flows.open();
      await flows.heading('Sign in').waitFor();
    },
    'sign-in-refused': async (flows) => {
      await flows.open();
      await flows.submitPassword('alice', 'wrong');
      await flows.alert().waitFor();
    },
    'second-factor': async (flows) => {
      await flows.open();
      await flows.submitPassword('alice', password);
      await flows.heading('Enter your code').waitFor();
    },
    'second-factor-mail-wrong': async (flows) => {
      await flows.open();
      await flows.submitPassword('bob', password);
      await flows.heading('Enter your code').waitFor();
      await flows.submitCode('123456');
      await flows.alert().waitFor();
    },
    files: async (flows) => {
      await signIn(flows, '/');
      await flows.row('offer.pdf').waitFor();
    },
    'files-selected': async (flows, page) => {
      await signIn(flows, '/');
      await flows.row('offer.pdf').getByRole('checkbox').check();
      await flows.row('notes.txt').getByRole('checkbox').check();
      await page.mouse.move(0, 0);
    },
    'files-menu': async (flows) => {
      await signIn(flows, '/');
      await flows
        .row('offer.pdf')
        .getByRole('button', { name: /Actions/ })
        .click();
    },
    'files-deep': async (flows) => {
      await signIn(flows, '/files/Projects/2026');
      await flows.row('plan.pdf').waitFor();
    },
    'files-empty': async (flows) => {
      await signIn(flows, '/files/Invoices');
      await flows.heading('Nothing here yet').waitFor();
    },
    'files-gone': async (flows) => {
      await signIn(flows, '/files/nowhere');
      await flows.heading('This folder is gone').waitFor();
    },
    'files-broken': async (flows) => {
      node.nextListingStatus = 500;
      await signIn(flows, '/');
      await flows.heading('This folder can’t be shown').waitFor();
    },
    'files-rename': async (flows) => {
      await signIn(flows, '/');
      await flows.chooseAction('offer.pdf', 'Rename');
    },
    'files-delete': async (flows, page) => {
      await signIn(flows, '/');
      await flows.chooseAction('Invoices', 'Delete');
      await page.getByRole('dialog').waitFor();
    },
    'files-new-folder': async (flows, page) => {
      await signIn(flows, '/');
      if (options.isMobile) {
        await page.getByRole('button', { name: 'Add files or a folder' }).click();
        await page.getByRole('menuitem', { name: 'New folder' }).click();
      } else await page.getByRole('button', { name: 'New folder' }).click();
      await page.getByLabel('Name of the folder').fill('Invoices');
      await page.getByRole('button', { name: 'Create' }).click();
      await flows.alert().waitFor();
    },
    'files-uploads': async (flows, page) => {
      await signIn(flows, '/');
      let open = (): void => undefined;
      node.uploadGate = new Promise((resolve) => {
        open = resolve;
      });
      await flows.upload([
        { name: 'offer.pdf', content: 'newer' },
        { name: 'tender.zip', content: Buffer.alloc(1_800_000) },
        { name: 'report.docx', content: Buffer.alloc(120_000) },
        { name: 'letter.docx', content: Buffer.alloc(120_000) },
        { name: 'picture.png', content: Buffer.alloc(120_000) },
      ]);
      await page.getByText('Replace').waitFor();
      await page.waitForTimeout(900);
      setTimeout(open, 3000);
    },
    'files-unfinished': async (flows, page) => {
      node.uploads = [
        {
          id: 'x',
          path: '/Projects/film.mov',
          length: 4_800_000_000,
          offset: 2_900_000_000,
          overwrite: false,
          mtime: '2026-01-01T00:00:00Z',
          expires: '2030-01-01T00:00:00Z',
        },
      ];
      await signIn(flows, '/');
      await page.getByText('Choose the same file').waitFor();
      node.uploads = [];
    },
    'files-move': async (flows, page) => {
      await signIn(flows, '/');
      await flows.chooseAction('offer.pdf', 'Move');
      await page.getByRole('dialog').getByRole('button', { name: 'Projects' }).click();
      await page.getByRole('dialog').getByRole('button', { name: '2026' }).waitFor();
    },
    'files-preview': async (flows, page) => {
      await signIn(flows, '/');
      await flows.chooseAction('notes.txt', 'Open');
      await page.getByRole('dialog').getByText('content of').waitFor();
    },
    'files-keyboard': async (flows, page) => {
      await signIn(flows, '/');
      await flows.row('offer.pdf').waitFor();
      await page.keyboard.press('?');
      await page.getByRole('dialog').waitFor();
    },
    'files-loading': async (flows, page) => {
      let open = (): void => undefined;
      node.listingGate = new Promise((resolve) => {
        open = resolve;
      });
      await signIn(flows, '/');
      await page.locator('.skeleton-row').first().waitFor();
      setTimeout(open, 3000);
    },
    options: async (flows) => {
      await signIn(flows, '/options', 'carol');
      await flows.heading('User options').waitFor();
    },
    'options-password': async (flows, page) => {
      await signIn(flows, '/options');
      await page.getByRole('button', { name: 'Change password' }).click();
      await page.getByLabel('New password', { exact: true }).fill('seven words in one row');
      await page.getByLabel('Present password').scrollIntoViewIfNeeded();
    },
    'session-end': async (flows, page) => {
      await page.clock.install();
      await signIn(flows, '/', 'carol');
      await page.clock.fastForward('13:30');
      await page.getByText('Stay signed in').waitFor();
    },
    'options-enrolled': async (flows) => {
      await signIn(flows, '/options');
      await flows.heading('User options').waitFor();
    },
    'setup-forced': async (flows) => {
      await flows.open();
      await flows.submitPassword('dave', password);
      await flows.heading('Set up two-factor').waitFor();
    },
    'setup-scan': async (flows) => {
      await flows.open('/setup');
      await flows.submitPassword('carol', password);
      await flows.showQr();
    },
    'setup-expired': async (flows, page) => {
      await page.clock.install();
      await flows.open('/setup');
      await flows.submitPassword('carol', password);
      await flows.showQr();
      await page.clock.runFor(31_000);
      await page.getByRole('button', { name: 'Show a new code' }).waitFor();
    },
    'setup-prove': async (flows, page) => {
      await flows.open('/setup');
      await flows.submitPassword('carol', password);
      await flows.showQr();
      await page.getByRole('button', { name: 'Confirm' }).click();
      await page.getByLabel('Verification code').fill('000000');
      await page.getByRole('button', { name: 'Finish' }).click();
      await flows.alert().waitFor();
    },
    'setup-codes': async (flows) => {
      await flows.open('/setup');
      await flows.submitPassword('carol', password);
      await flows.showQr();
      const secret = await flows.scanQr();
      await flows.finishSetup(() => new Authenticator(secret).now());
      const carol = node.users.get('carol');
      if (carol !== undefined) delete carol.totpSecret;
    },
    'signed-out': async (flows) => {
      await signIn(flows, '/');
      await flows.signOut();
    },
    expired: async (flows) => {
      await signIn(flows, '/');
      node.endAllSessions();
      await flows.openFolder('Projects').catch(() => undefined);
      await flows.heading('Sign in').waitFor();
    },
    unavailable: async (flows, page) => {
      await signIn(flows, '/');
      node.outageRetryAfter = 30;
      await page.reload();
      await flows.heading('Back in a moment').waitFor();
    },
    german: async (_flows, page) => {
      const german = new WebFlows(page, baseUrl);
      await german.open();
      await page.evaluate(() => localStorage.setItem('sallyport.language', 'de'));
      await page.reload();
      await page.getByLabel('Benutzername').fill('carol');
      await page.getByLabel('Passwort', { exact: true }).fill(password);
      await page.getByRole('button', { name: 'Anmelden' }).click();
      await german.row('offer.pdf').waitFor();
    },
  };
  for (const [name, play] of Object.entries(scenes)) {
    node.outageRetryAfter = undefined;
    node.uploadGate = undefined;
    node.listingGate = undefined;
    fillFolders(node);
    for (const user of node.users.values()) user.usedCodes.clear();
    const page = await browser.visit(options);
    page.setDefaultTimeout(10_000);
    try {
      await play(new WebFlows(page, baseUrl), page);
    } catch (error) {
      process.stderr.write(`${variant} ${name}: ${String(error)}\n`);
    }
    // Settings are longer than a screen.
    await page.screenshot({ path: `${folder}${name}-${variant}.png`, fullPage: name.startsWith('options') });
    await page.context().close();
  }
}

async function signIn(flows: WebFlows, path: string, username = 'alice'): Promise<void> {
  await flows.open(path);
  const authenticator = new Authenticator(aliceSecret);
  await flows.signIn(username, password, username === 'alice' ? () => authenticator.now() : undefined);
}
