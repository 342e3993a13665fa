import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { closed, dialog, fill, flows, onDisk, open, page, setUpDesk, where } from '#test/harness/web-desk.ts';

/**
 * Between a question and its answer the page may go elsewhere, where the same name is another thing: what is done is what
 * was asked about. In a real Chromium, on the real processes.
 */

setUpDesk();

async function listed(folder: string): Promise<string[]> {
  const found = await readdir(onDisk(folder), { recursive: true });
  return found.toSorted();
}

const twins = ['archive/contract.pdf', '2026/archive/', '2026/note.txt'];

describe('going back in the browser', () => {
  it('closes the question and stays in its folder; nothing of another folder is touched by the answer', async () => {
    await fill('wf', twins);
    await open('/files/wf');
    await flows.openFolder('2026');
    await flows.chooseAction('archive', 'Delete');
    await dialog().getByText('Home / wf / 2026 / archive').waitFor();
    await page.goBack();
    await closed();
    expect(where()).toBe('/files/wf/2026');
    await flows.row('note.txt').waitFor();
    expect(await listed('wf')).toEqual([
      '2026',
      '2026/archive',
      '2026/note.txt',
      'archive',
      'archive/contract.pdf',
    ]);
    // Asked again and answered: the one that was asked about, and only that.
    await flows.remove('archive');
    expect(await listed('wf')).toEqual(['2026', '2026/note.txt', 'archive', 'archive/contract.pdf']);
    // The answered question left nothing behind that a step back would have to pass.
    await page.goBack();
    await flows.row('archive').waitFor();
    expect(where()).toBe('/files/wf');
  });

  it('closes every dialog, and after each of them one step more leaves the folder', async () => {
    await fill('each', ['sub/a.txt', 'sub/deep/']);
    const dialogs: Readonly<Record<string, () => Promise<void>>> = {
      'New folder': () => page.getByRole('button', { name: 'New folder' }).click(),
      'Delete a.txt?': () => flows.chooseAction('a.txt', 'Delete'),
      'Move a.txt': () => flows.chooseAction('a.txt', 'Move'),
      'Copy a.txt': () => flows.chooseAction('a.txt', 'Copy'),
      'a.txt': () => flows.row('a.txt').getByRole('link', { name: 'a.txt' }).click(),
      'Keyboard shortcuts': () => page.keyboard.press('?'),
    };
    await open('/files/each');
    for (const [title, ask] of Object.entries(dialogs)) {
      for (const way of ['back', 'cancel'] as const) {
        await flows.openFolder('sub');
        await flows.row('a.txt').waitFor();
        await ask();
        await page.getByRole('dialog', { name: title, exact: true }).waitFor();
        await (way === 'back' ? page.goBack() : page.keyboard.press('Escape'));
        await closed();
        expect(where(), `${title}, ${way}`).toBe('/files/each/sub');
        await page.goBack();
        await expect.poll(where, { message: `${title}, ${way}` }).toBe('/files/each');
        await flows.row('sub').waitFor();
      }
    }
  });

  it('and on again after a question leads to where one was, with no question open', async () => {
    await fill('forth', ['sub/a.txt']);
    await open('/files/forth');
    await flows.openFolder('sub');
    await flows.chooseAction('a.txt', 'Delete');
    await dialog().waitFor();
    await page.goBack();
    await closed();
    await page.goForward();
    expect(where()).toBe('/files/forth/sub');
    expect(await dialog().count()).toBe(0);
    await page.reload();
    await flows.row('a.txt').waitFor();
    await page.goBack();
    await expect.poll(where).toBe('/files/forth');
  });
});

describe('an answer', () => {
  it('that comes while the page shows another folder means the folder of the question', async () => {
    await fill('late', ['archive/contract.pdf', 'sub/archive/old.txt', 'sub/b.txt']);
    await open('/files/late');
    await flows.openFolder('sub');
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const asked: string[] = [];
    await page.route('**/api/files/**', async (route) => {
      const method = route.request().method();
      if (method === 'GET') return route.continue();
      asked.push(`${method} ${new URL(route.request().url()).pathname}`);
      await held;
      return route.continue();
    });
    // Two at once: the second is sent when the page is already elsewhere.
    await page.getByRole('checkbox', { name: 'Select all' }).check();
    await page.getByRole('toolbar').getByRole('button', { name: 'Delete' }).click();
    await dialog().getByText('Home / late / sub / archive').waitFor();
    await dialog().getByText('Home / late / sub / b.txt').waitFor();
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await expect.poll(() => asked.length).toBe(1);
    await page.goBack();
    await closed();
    await page.goBack();
    await flows.row('archive').waitFor();
    expect(where()).toBe('/files/late');
    release();
    await page.getByText('2 items deleted.').waitFor();
    expect(asked).toEqual(['DELETE /api/files/late/sub/archive', 'DELETE /api/files/late/sub/b.txt']);
    expect(await listed('late')).toEqual(['archive', 'archive/contract.pdf', 'sub']);
    await page.unrouteAll();
  });

  it('to a choice of files goes to the folder they were chosen for', async () => {
    await fill('chosen', ['sub/']);
    await open('/files/chosen');
    await flows.openFolder('sub');
    await flows.heading('Nothing here yet').waitFor();
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Upload', exact: true }).click(),
    ]);
    await page.goBack();
    await flows.row('sub').waitFor();
    await chooser.setFiles([{ name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('a') }]);
    await page.getByRole('heading', { name: 'Uploads 1 of 1', exact: true }).waitFor();
    expect(await listed('chosen')).toEqual(['sub', 'sub/a.txt']);
  });

  it('to a name that is taken says in full which one', async () => {
    await fill('taken', ['a.txt', 'into/a.txt']);
    await open('/files/taken');
    await flows.chooseAction('a.txt', 'Move');
    await dialog().getByText('Home / taken / a.txt').waitFor();
    await dialog().getByRole('button', { name: 'into' }).click();
    await dialog().getByRole('button', { name: 'Move here' }).click();
    await dialog().getByText('Home / taken / into / a.txt').waitFor();
    await page.goBack();
    await closed();
    expect(where()).toBe('/files/taken');
    await flows.row('a.txt').waitFor();
    await flows.upload([{ name: 'a.txt', content: 'new' }]);
    await page.getByRole('region', { name: 'Uploads' }).getByText('Home / taken / a.txt').waitFor();
    expect(await listed('taken')).toEqual(['a.txt', 'into', 'into/a.txt']);
  });

  it('to a paste into an open question uploads nothing', async () => {
    await fill('paste', ['a.txt']);
    await open('/files/paste');
    await page.getByRole('button', { name: 'New folder' }).click();
    await dialog().waitFor();
    await flows.paste([{ name: 'p.txt', content: 'p' }], 'dialog input');
    await page.keyboard.press('Escape');
    await closed();
    await flows.paste([{ name: 'q.txt', content: 'q' }]);
    await flows.row('q.txt').waitFor();
    expect(await listed('paste')).toEqual(['a.txt', 'q.txt']);
  });
});
