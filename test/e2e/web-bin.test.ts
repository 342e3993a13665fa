import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import {
  closed,
  dialog,
  fill,
  flows,
  onDisk,
  onDiskOf,
  open,
  page,
  product,
  put,
  setUpDesk,
  where,
} from '#test/harness/web-desk.ts';

/** What was deleted or replaced on the web comes back: in a real Chromium, on the real processes. */

setUpDesk({ moreUsers: [buildDemoUser('rita')] });

const read = async (...names: string[]): Promise<string> => (await readFile(onDisk(...names))).toString();
const row = (name: string) => page.locator('.bin-row').filter({ has: page.getByText(name, { exact: true }) });
async function openBin(): Promise<void> {
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('menuitem', { name: 'Deleted files' }).click();
  await flows.heading('Deleted files').waitFor();
}

describe('what was deleted', () => {
  it('comes back by one click, a folder with all that was in it', async () => {
    await fill('undo', ['plan.dat', 'house/cellar/pipes.dat']);
    await open('/files/undo');
    for (const name of ['plan.dat', 'house']) {
      await flows.chooseAction(name, 'Delete');
      await dialog().getByText('For 7 days it can be brought back from “Deleted files”.').waitFor();
      await dialog().getByRole('button', { name: 'Delete' }).click();
      await closed();
      expect(await readdir(onDisk('undo'))).not.toContain(name);
      await page.getByRole('button', { name: 'Undo' }).click();
      await page.getByText('Everything is back where it was.').waitFor();
      await expect.poll(() => flows.names()).toContain(name);
    }
    expect(await read('undo', 'plan.dat')).toBe('plan.dat');
    expect(await read('undo', 'house', 'cellar', 'pipes.dat')).toBe('house/cellar/pipes.dat');
  });

  it('is listed with its place, in every window, and comes back beside what has its name by now', async () => {
    await fill('again', ['plan.dat', 'other.dat']);
    await open('/files/again');
    await flows.remove('plan.dat');
    await flows.remove('other.dat');
    await put(['again', 'plan.dat'], 'the new one');
    await openBin();
    expect(where()).toBe('/bin');
    await row('plan.dat').getByText('Home / again').waitFor();
    const beside = await page.context().newPage();
    await beside.goto(page.url());
    await beside.getByRole('button', { name: 'Restore other.dat' }).click();
    await beside.getByText('other.dat is back where it was.').waitFor();
    await page.bringToFront();
    // Gone from here too, or said.
    await page.getByRole('button', { name: 'Restore plan.dat' }).click();
    await dialog().getByText('Home / again / plan.dat').waitFor();
    await dialog().getByRole('button', { name: 'Keep both' }).click();
    await closed();
    await page.getByText('plan.dat is back where it was.').waitFor();
    await expect.poll(() => row('other.dat').count()).toBe(0);
    expect((await readdir(onDisk('again'))).toSorted()).toEqual([
      'other.dat',
      'plan (restored).dat',
      'plan.dat',
    ]);
    expect(await read('again', 'plan (restored).dat')).toBe('again/plan.dat'.slice('again/'.length));
    await page.goBack();
    await expect.poll(() => flows.names()).toEqual(['other.dat', 'plan (restored).dat', 'plan.dat']);
  });

  it('is gone for good when it is said so here, after a question that names it', async () => {
    await fill('good', ['a.dat', 'b.dat']);
    await open('/files/good');
    await flows.remove('a.dat');
    await flows.remove('b.dat');
    await openBin();
    await row('a.dat').getByRole('checkbox').check();
    await page.getByRole('button', { name: 'Delete for good' }).click();
    await dialog().getByText('Home / good / a.dat').waitFor();
    await page.goBack();
    await closed();
    expect(where()).toBe('/bin');
    await page.getByRole('button', { name: 'Delete for good' }).click();
    await dialog().getByRole('button', { name: 'Delete for good' }).click();
    await page.getByText('a.dat is deleted for good.').waitFor();
    await expect.poll(() => row('a.dat').count()).toBe(0);
    await row('b.dat').waitFor();
    await page.getByRole('button', { name: 'Delete all for good' }).click();
    await dialog().getByRole('button', { name: 'Delete for good' }).click();
    await flows.heading('Nothing deleted').waitFor();
  });
});

describe('what an upload replaced', () => {
  it('is there still, and comes back beside the new one', async () => {
    await fill('swap', ['plan.dat']);
    await open('/files/swap');
    await flows.upload([{ name: 'plan.dat', content: 'the new plan' }]);
    await page.getByRole('button', { name: 'Replace' }).click();
    await page.locator('.upload-done').waitFor();
    await page.getByText('1 upload finished', { exact: false }).first().waitFor({ state: 'attached' });
    expect(await read('swap', 'plan.dat')).toBe('the new plan');
    await openBin();
    await row('plan.dat').getByText('Replaced', { exact: false }).waitFor();
    await page.getByRole('button', { name: 'Restore plan.dat' }).click();
    await dialog().getByRole('button', { name: 'Keep both' }).click();
    await closed();
    await page.getByText('plan.dat is back where it was.').waitFor();
    expect(await read('swap', 'plan (restored).dat')).toBe('plan.dat');
    expect(await read('swap', 'plan.dat')).toBe('the new plan');
  });
});

describe('where nothing comes back', () => {
  const allow = (verbs: string, more = ''): Promise<string> =>
    product.sallyport('users', 'set', 'rita', `files=[{path: /, root: rita, allow: [${verbs}]${more}}]`);

  it('the question says so when nothing is kept, and a lost right is told', async () => {
    await put(['kept.dat'], 'kept', 'rita');
    await put(['lost.dat'], 'lost', 'rita');
    await open('/', 'rita');
    await flows.remove('kept.dat');
    await allow('list, read, delete', ', bin: off');
    await page.reload();
    await flows.chooseAction('lost.dat', 'Delete');
    await dialog().getByText('It can’t be brought back.').waitFor();
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText('lost.dat deleted.').waitFor();
    expect(await page.getByRole('button', { name: 'Undo' }).count()).toBe(0);
    await allow('list, read');
    await openBin();
    await page.getByRole('button', { name: 'Restore kept.dat' }).click();
    await page.getByText('You may not do this here.').waitFor();
    expect(await readdir(onDiskOf('rita'))).toEqual([]);
  });

  it('main is away: the page says so and shows the list when it is back', async () => {
    await fill('away', ['a.dat']);
    await open('/files/away');
    await flows.remove('a.dat');
    await openBin();
    const start = await product.holdMain();
    // A call that is out waits a minute for main; who asks anew is told at once.
    await page.reload();
    await flows.heading('Back in a moment').waitFor();
    await start();
    await page.getByRole('button', { name: 'Try now' }).click();
    await row('a.dat').waitFor();
    await page.getByRole('button', { name: 'Restore a.dat' }).click();
    await page.getByText('a.dat is back where it was.').waitFor();
    expect(await read('away', 'a.dat')).toBe('a.dat');
  });
});
