import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BrowserContextOptions, Locator } from 'playwright-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { phone } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import {
  closed,
  fill,
  flows,
  focused,
  onDisk,
  open,
  page,
  product,
  setUpDesk,
  visit,
  where,
} from '#test/harness/web-desk.ts';

/** Finding one's way: places that are as they were left, links that lead somewhere, lists that can be used anywhere. */

const onPhone: BrowserContextOptions = { viewport: phone, hasTouch: true, isMobile: true };
setUpDesk();

const numbered = (count: number, ending = '.txt'): string[] =>
  Array.from({ length: count }, (_, index) => `row ${String(index).padStart(4, '0')}${ending}`);
const list = (): Locator => page.locator('.file-body');
const scrolled = (): Promise<number> =>
  list().evaluate((element) => (element as unknown as { scrollTop: number }).scrollTop);
async function scrollTo(pixels: number): Promise<void> {
  await list().evaluate((element, top) => {
    (element as unknown as { scrollTop: number }).scrollTop = top;
  }, pixels);
  await expect.poll(scrolled).toBe(pixels);
}

describe('a place', () => {
  it('is scrolled as it was when a preview is closed, by its button and by going back', async () => {
    await fill('scroll', numbered(300));
    await open('/files/scroll');
    await flows.row('row 0000.txt').waitFor();
    await scrollTo(5000);
    for (const close of [
      () => page.keyboard.press('Escape'),
      () => page.goBack(),
      () => page.getByRole('dialog').getByRole('button', { name: 'Close' }).click(),
    ]) {
      await flows.row('row 0130.txt').getByRole('link', { name: 'row 0130.txt' }).click();
      await page.getByRole('dialog', { name: 'row 0130.txt' }).waitFor();
      await close();
      await closed();
      expect(await scrolled()).toBe(5000);
      await expect.poll(focused).toBe('row 0130.txt');
    }
  });

  it('keeps its scroll position, filter, order and row over going away and back, and over a reload', async () => {
    await fill('kept', [...numbered(300), 'row 0155/inner.txt', 'other/']);
    await open('/files/kept');
    await page.getByRole('button', { name: 'Name' }).click();
    await expect
      .poll(async () => (await flows.names()).slice(0, 3))
      .toEqual(['row 0155', 'other', 'row 0299.txt']);
    await scrollTo(3000);
    await flows.row('row 0223.txt').click();
    await page.getByRole('button', { name: /^Account of/ }).click();
    await page.getByRole('menuitem', { name: 'User options' }).click();
    await flows.heading('User options').waitFor();
    await page.goBack();
    await flows.row('row 0223.txt').waitFor();
    expect(await scrolled()).toBe(3000);
    await expect.poll(focused).toBe('row 0223.txt');
    await page.reload();
    await flows.row('row 0223.txt').waitFor();
    await expect.poll(scrolled).toBe(3000);
    await expect.poll(focused).toBe('row 0223.txt');
    // A filter, the same way; a place that is gone to anew begins at its beginning.
    const filter = page.getByLabel('Filter this folder');
    await filter.fill('0155');
    await flows.openFolder('row 0155');
    await flows.row('inner.txt').waitFor();
    expect(await filter.inputValue()).toBe('');
    await page.goBack();
    await flows.row('row 0155.txt').waitFor();
    expect(await filter.inputValue()).toBe('0155');
    await page.reload();
    await flows.row('row 0155.txt').waitFor();
    expect(await filter.inputValue()).toBe('0155');
    expect(await flows.names()).toEqual(['row 0155', 'row 0155.txt']);
    await page.getByRole('navigation', { name: 'Folder path' }).getByRole('link', { name: 'Home' }).click();
    await flows.openFolder('kept');
    await flows.row('row 0299.txt').waitFor();
    expect([await filter.inputValue(), await scrolled()]).toEqual(['', 0]);
  });

  it('that the next person comes to shows nothing of how the one before left it', async () => {
    await fill('mine', numbered(50));
    await mkdir(join(product.site.files.files, 'carol', 'mine'), { recursive: true });
    for (const name of numbered(50))
      await writeFile(join(product.site.files.files, 'carol', 'mine', name), '');
    await open('/files/mine');
    await page.getByLabel('Filter this folder').fill('0007');
    await flows.row('row 0007.txt').waitFor();
    await flows.signOut();
    await flows.signIn('carol', product.password('carol'));
    await flows.row('row 0001.txt').waitFor();
    expect(await page.getByLabel('Filter this folder').inputValue()).toBe('');
    expect(await page.evaluate('JSON.stringify(sessionStorage)')).not.toContain('row 0007');
  });
});

describe('the order of names', () => {
  it('is the reader’s own for any number of them, and the same in the folder picker', async () => {
    await fill('order', ['Folder 10/', 'folder 9/', 'Ähre 2', 'apple 10', 'Apple 9', 'zebra']);
    const script = [
      'import sys',
      'for i in range(5300):',
      ' open(sys.argv[1] + "/" + ("Scan" if i % 2 else "scan") + " " + str(i) + ".pdf", "w").close()',
    ].join('\n');
    await runProgram('python3', ['-c', script, onDisk('order')]);
    await open('/files/order');
    await page.getByText('5,306 items', { exact: true }).waitFor();
    const first = ['folder 9', 'Folder 10', 'Ähre 2', 'Apple 9', 'apple 10', 'scan 0.pdf', 'Scan 1.pdf'];
    expect((await flows.names()).slice(0, first.length)).toEqual(first);
    await page.locator('[role=row][tabindex="0"]').focus();
    await page.keyboard.press('End');
    await flows.row('zebra').waitFor();
    expect((await flows.names()).slice(-3)).toEqual(['scan 5298.pdf', 'Scan 5299.pdf', 'zebra']);
    await flows.chooseAction('zebra', 'Move');
    await expect
      .poll(() => page.locator('.picker-list button').allTextContents())
      .toEqual(['folder 9', 'Folder 10']);
  });

  it('or of sizes or times is remembered in this browser', async () => {
    await fill('sizes', ['a', 'bbb', 'cc']);
    await open('/files/sizes');
    await flows.row('a').waitFor();
    await page.getByRole('button', { name: 'Size' }).click();
    await expect.poll(() => flows.names()).toEqual(['bbb', 'cc', 'a']);
    const other = await page.context().newPage();
    const elsewhere = new WebFlows(other, product.site.https);
    await elsewhere.open('/files/sizes');
    await elsewhere.row('a').waitFor();
    expect(await elsewhere.names()).toEqual(['bbb', 'cc', 'a']);
  });
});

describe('a link to a file', () => {
  it('is what “copy link address” gives, and leads through the sign-in to its folder, with the file marked', async () => {
    await fill('linked', [...numbered(200), 'a plan.pdf', 'row 0150.pdf']);
    await open('/files/linked');
    const link = flows.row('a plan.pdf').getByRole('link', { name: 'a plan.pdf' });
    const address = new URL((await link.getAttribute('href')) ?? '', product.site.https);
    expect(decodeURIComponent(address.pathname)).toBe('/files/linked/a plan.pdf');
    // A click on it still saves the file.
    expect((await flows.saved(() => link.click())).toString()).toBe('a plan.pdf');
    for (const options of [{}, onPhone]) {
      await visit(options);
      await open('/files/linked/row 0150.pdf');
      const row = flows.row('row 0150.pdf');
      await row.waitFor();
      await expect.poll(() => row.getAttribute('aria-selected')).toBe('true');
      await expect.poll(focused).toBe('row 0150.pdf');
      await expect.poll(where).toBe('/files/linked');
      expect(await row.getByRole('link').isVisible()).toBe(true);
      await page.reload();
      await row.waitFor();
      await expect.poll(focused).toBe('row 0150.pdf');
    }
  });

  it('that can be shown shows it; going back from that stays in its folder', async () => {
    await fill('shown', ['plan.txt', 'other.txt']);
    await open('/files/shown/plan.txt');
    await page.getByRole('dialog', { name: 'plan.txt' }).waitFor();
    await page.goBack();
    await closed();
    expect(where()).toBe('/files/shown');
    await expect.poll(focused).toBe('plan.txt');
  });

  it('that is gone says so', async () => {
    await fill('shown', ['plan.txt']);
    await open('/files/shown/gone.txt');
    expect(await flows.heading('This folder is gone').waitFor()).toBeUndefined();
  });
});

describe('a new name', () => {
  beforeEach(async () => {
    await fill('names', ['one.txt', 'two.txt']);
    await open('/');
    await flows.openFolder('names');
    await flows.row('one.txt').click();
    await page.locator('[role=row]:focus', { hasText: 'one.txt' }).waitFor();
    await page.keyboard.press('F2');
  });
  const onPage = (name: string): Promise<void> => flows.row(name).waitFor();
  const onDiskNow = (): Promise<string[]> => readdir(onDisk('names')).then((names) => names.toSorted());

  it('is taken when one clicks elsewhere, and the keyboard is where one clicked', async () => {
    await page.getByLabel('New name for one.txt').fill('  uno.txt ');
    await flows.row('two.txt').click();
    await onPage('uno.txt');
    expect(await onDiskNow()).toEqual(['two.txt', 'uno.txt']);
    await expect.poll(focused).toBe('two.txt');
  });

  it('is taken with Enter, without the blanks around it', async () => {
    await page.getByLabel('New name for one.txt').fill(' uno.txt ');
    await page.keyboard.press('Enter');
    await onPage('uno.txt');
    expect(await onDiskNow()).toEqual(['two.txt', 'uno.txt']);
    await expect.poll(focused).toBe('uno.txt');
  });

  it('that is taken already is said, and given up by clicking elsewhere again', async () => {
    await page.getByLabel('New name for one.txt').fill('two.txt');
    await page.locator('.file-foot').click();
    await page.getByText('two.txt already exists here.').waitFor();
    await page.locator('.file-foot').click();
    await onPage('one.txt');
    expect(await onDiskNow()).toEqual(['one.txt', 'two.txt']);
  });

  it('is not taken by going back or with Escape', async () => {
    await page.getByLabel('New name for one.txt').fill('uno.txt');
    await page.keyboard.press('Escape');
    await onPage('one.txt');
    await page.keyboard.press('F2');
    await page.getByLabel('New name for one.txt').fill('uno.txt');
    await page.goBack();
    await page.getByLabel('New name for one.txt').waitFor({ state: 'detached' });
    await page.goForward();
    await onPage('one.txt');
    expect(await onDiskNow()).toEqual(['one.txt', 'two.txt']);
  });
});

describe('the keyboard', () => {
  it('clears the selection from the toolbar too, and typed letters lead to the next name', async () => {
    await fill('keys', ['alpha.txt', 'beta.txt', 'Birne.txt', 'über.txt', 'zeta.txt']);
    await open('/files/keys');
    await flows.row('alpha.txt').click();
    await page.getByRole('toolbar').getByRole('button', { name: 'Move' }).focus();
    await page.keyboard.press('Escape');
    await page.getByRole('toolbar').waitFor({ state: 'detached' });
    await expect.poll(focused).toBe('alpha.txt');
    await page.keyboard.type('b');
    await expect.poll(focused).toBe('beta.txt');
    await page.keyboard.type('i');
    await expect.poll(focused).toBe('Birne.txt');
  });
});

describe('dropping on the path', () => {
  it('moves rows there, and uploads files there', async () => {
    await fill('way', ['deep/er/me.txt']);
    await open('/files/way');
    await flows.openFolder('deep');
    await flows.openFolder('er');
    const crumb = (name: string): Locator =>
      page.getByRole('navigation', { name: 'Folder path' }).getByRole('link', { name, exact: true });
    await flows.row('me.txt').dragTo(crumb('way'));
    await page.getByText('me.txt moved to way.').waitFor();
    expect(await readdir(onDisk('way'))).toEqual(['deep', 'me.txt']);
    await flows.dropOn(crumb('deep'), [{ name: 'new.txt', content: 'new' }]);
    await page.getByRole('heading', { name: 'Uploads 1 of 1', exact: true }).waitFor();
    expect(await readdir(onDisk('way', 'deep'))).toEqual(['er', 'new.txt']);
  });
});

describe('a small window', () => {
  it('of 320 × 256 pixels can be used: the list has room, and every row’s menu is within reach', async () => {
    await fill('small', numbered(12));
    await visit({ viewport: { width: 320, height: 256 } });
    await open('/files/small');
    await flows.row('row 0000.txt').waitFor();
    await page.getByRole('checkbox', { name: 'Select row 0000.txt' }).check();
    await page.getByRole('toolbar').waitFor();
    expect(
      await list().evaluate((element) => (element as unknown as { clientHeight: number }).clientHeight),
    ).toBeGreaterThan(100);
    await page.getByRole('toolbar').getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('row 0000.txt deleted.').waitFor();
    await page.locator('[role=row][tabindex="0"]').focus();
    await page.keyboard.press('End');
    await flows.chooseAction('row 0011.txt', 'Delete');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('row 0011.txt deleted.').waitFor();
    const width = await page.evaluate('document.documentElement.scrollWidth');
    expect(width).toBe(320);
  });
});

describe('on a phone', () => {
  it('the round button never lies over a row’s menu', async () => {
    await fill('round', numbered(40));
    await visit(onPhone);
    await open('/files/round');
    const add = page.getByRole('button', { name: 'Add files or a folder' });
    for (const end of ['first', 'last'] as const) {
      if (end === 'last') {
        await list().evaluate((element) => {
          const scroller = element as unknown as { scrollTop: number; scrollHeight: number };
          scroller.scrollTop = scroller.scrollHeight;
        });
        await flows.row('row 0039.txt').waitFor();
      } else await flows.row('row 0000.txt').waitFor();
      const [round, body] = await Promise.all([add.boundingBox(), list().boundingBox()]);
      expect(round?.y ?? 0).toBeGreaterThanOrEqual((body?.y ?? 0) + (body?.height ?? 0));
    }
    await flows.row('row 0039.txt').getByRole('button', { name: 'Actions for row 0039.txt' }).tap();
    await page.getByRole('menuitem', { name: 'Delete' }).waitFor();
  });
});

describe('translation by the browser', () => {
  it('leaves names, paths and codes as they are', async () => {
    await fill('words', ['archive/contract.txt']);
    await open('/files/words/archive');
    await flows.row('contract.txt').waitFor();
    const translated = (what: Locator): Promise<unknown> =>
      what.evaluate((element) => (element as unknown as { translate: boolean }).translate);
    const path = page.getByRole('navigation', { name: 'Folder path' });
    expect(await translated(path.getByText('Home'))).toBe(true);
    expect(await translated(path.getByText('archive'))).toBe(false);
    expect(await translated(page.getByRole('link', { name: 'contract.txt' }))).toBe(false);
    expect(await translated(page.locator('.account-name'))).toBe(false);
    await flows.chooseAction('contract.txt', 'Delete');
    expect(await translated(page.getByText('Home / words / archive / contract.txt'))).toBe(false);
    expect(await translated(page.getByRole('dialog').getByText('For 7 days it can be brought back'))).toBe(
      true,
    );
  });
});
