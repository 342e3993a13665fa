import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FakeNode } from '#test/dmz/web/fake-node.ts';
import { password, resetSite, startFakeSite } from '#test/dmz/web/fake-site.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import { patienceMs } from '#test/harness/patience.ts';

/** The web client without a mouse: the map that `?` shows is true, and dialogs can be walked through. */

let node: FakeNode;
let baseUrl: string;
let browser: WebBrowser;
let page: Page;
let flows: WebFlows;

beforeAll(async () => {
  ({ node, baseUrl } = await startFakeSite());
  browser = await startWebBrowser();
});
afterAll(async () => {
  await browser.close();
  await node.stop();
});
beforeEach(async () => {
  resetSite(node);
  page = await browser.visit();
  page.setDefaultTimeout(patience.timeout);
  flows = new WebFlows(page, baseUrl);
  await flows.open();
  await flows.signIn('carol', password);
  await flows.row('offer.pdf').waitFor();
});
afterEach(async () => {
  await page.context().close();
  const complaints = browser.complaints.splice(0);
  if (complaints.length > 0) throw new Error(`the page complained: ${complaints.join(' | ')}`);
});

/** Long enough for a loaded machine; nothing here waits for time to pass. */
const patience = { timeout: patienceMs };

/** Name of the list's row, or text of the button, that the keyboard is on. */
const focused = (): Promise<string> =>
  page.evaluate(
    '(document.activeElement.querySelector(".name") ?? document.activeElement).textContent',
  ) as Promise<string>;
const isAt = async (name: string): Promise<void> => {
  await expect.poll(focused, patience).toBe(name);
};
const selected = (count: number): Promise<void> => page.getByText(`${count} selected`).first().waitFor();
const press = async (...keys: string[]): Promise<void> => {
  for (const key of keys) await page.keyboard.press(key);
};

describe('the keyboard map', () => {
  it('is true in every line', async () => {
    await page.locator('[role=row][tabindex="0"]').focus();
    /** What the map's lines promise, by their words; each begins on the first row with nothing selected. */
    const promises: Readonly<Record<string, () => Promise<unknown>>> = {
      'Move through the list': () => press('ArrowDown', 'ArrowDown', 'ArrowUp').then(() => isAt('Projects')),
      'A page up or down': async () => {
        await page.setViewportSize({ width: 1280, height: 400 });
        await press('PageDown');
        await expect.poll(focused, patience).not.toBe('Invoices');
        // How far a page goes follows the window, a moment after it: up again takes one press or more.
        await expect.poll(() => press('PageUp').then(focused), patience).toBe('Invoices');
        await page.setViewportSize({ width: 1280, height: 800 });
      },
      'First and last': async () => {
        await press('End');
        await isAt('Übersicht.xlsx');
        await press('Home');
        await isAt('Invoices');
      },
      'Jump to a name': async () => {
        await press('n', 'o');
        await isAt('notes.txt');
      },
      'Open or download': async () => {
        await press('ArrowDown', 'Enter');
        await isAt('2026');
        await press('Backspace');
        await isAt('Invoices');
      },
      'Folder above': async () => {
        await press('Enter');
        await flows.heading('Nothing here yet').waitFor();
        await press('Backspace');
        await isAt('Invoices');
      },
      Select: () => press('Space').then(() => selected(1)),
      'Select a range': () => press('Shift+ArrowDown', 'Shift+ArrowDown').then(() => selected(3)),
      'Select all': () => press('Control+a').then(() => selected(12)),
      'Clear the selection': async () => {
        await press('Control+a', 'Escape');
        await expect.poll(() => page.getByText('12 selected').count(), patience).toBe(0);
      },
      Rename: async () => {
        await press('F2');
        await page.getByLabel('New name for Invoices').waitFor();
        await press('Escape');
      },
      Delete: async () => {
        await press('Delete');
        await flows.heading('Delete Invoices?').waitFor();
        await press('Escape');
      },
      Filter: async () => {
        await press('/');
        await expect
          .poll(() => page.evaluate('document.activeElement.ariaLabel'), patience)
          .toBe('Filter this folder');
        await press('Escape');
      },
      Upload: async () => {
        const chooser = page.waitForEvent('filechooser');
        // The watch has reached the browser once it has answered something asked after it.
        await focused();
        await press('u');
        await chooser;
      },
      'In a preview: previous and next': async () => {
        await press('End', 'ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowUp');
        await isAt('notes.txt');
        await press('Enter');
        await flows.heading('notes.txt').waitFor();
        await press('ArrowLeft');
        await flows.heading('minutes.md').waitFor();
        await press('ArrowRight');
        await flows.heading('notes.txt').waitFor();
        await press('Escape');
        await page.getByRole('dialog').waitFor({ state: 'detached' });
        await isAt('notes.txt');
      },
      'This list': () => press('?').then(() => flows.heading('Keyboard shortcuts').waitFor()),
    };
    await press('?');
    const lines = await page.locator('.keys dt').allTextContents();
    expect(lines).toEqual(Object.keys(promises));
    for (const line of lines) {
      await press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      await page.locator('[role=row][tabindex="0"]').focus();
      await press('Escape', 'Home');
      await isAt('Invoices');
      await promises[line]?.();
    }
  });
});

describe('choosing a folder', () => {
  it('takes one stop of the Tab key, arrows, Home, End, page keys, Enter and Backspace', async () => {
    for (let index = 0; index < 40; index += 1) node.folders.putFolder(['Projects', `p${index + 10}`]);
    await flows.chooseAction('offer.pdf', 'Move');
    await isAt('Invoices');
    await press('ArrowDown');
    await isAt('Projects');
    await press('Enter');
    await isAt('2026');
    await press('End');
    await isAt('p49');
    await press('Home');
    await isAt('2026');
    await press('PageDown');
    expect(['2026', 'p10', 'p49']).not.toContain(await focused());
    await press('PageUp');
    await isAt('2026');
    await press('Tab');
    await isAt('Cancel');
    await press('Shift+Tab');
    await isAt('2026');
    await press('Backspace');
    await isAt('Invoices');
    // An empty one: the focus is on its own name in the path, where the key does nothing more.
    const empty = page.getByText('No folders in here.');
    await expect.poll(() => press('Enter').then(() => empty.count()), patience).toBe(1);
    await isAt('Invoices');
    await press('Tab', 'Tab');
    await isAt('Move here');
    await press('Enter');
    await page.getByText('offer.pdf moved to Invoices.').waitFor();
    expect(node.folders.find(['Invoices', 'offer.pdf'])).toBeDefined();
  });

  it('never enters the folder that is being moved', async () => {
    await flows.chooseAction('Projects', 'Move');
    await isAt('Invoices');
    await press('ArrowDown');
    await isAt('Shared with partners');
    expect(await page.getByRole('dialog').getByRole('button', { name: 'Projects' }).isDisabled()).toBe(true);
  });
});

describe('a dialog', () => {
  it('that the browser closed by itself is closed for the page as well', async () => {
    await flows.chooseAction('offer.pdf', 'Delete');
    await page.getByRole('dialog').waitFor();
    await page.evaluate('document.querySelector("dialog").close()');
    await page.locator('dialog').waitFor({ state: 'detached' });
    await flows.chooseAction('offer.pdf', 'Move');
    const button = page.getByRole('dialog').getByRole('button', { name: 'Move here' });
    await expect.poll(() => button.isVisible()).toBe(true);
  });
});
