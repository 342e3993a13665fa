import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { expectNothingCutOff } from '#test/harness/web-accessibility.ts';
import {
  flows,
  onDisk,
  onDiskOf,
  open,
  page,
  product,
  put,
  setUpDesk,
  visitBeside,
} from '#test/harness/web-desk.ts';

/** What the web client shows when nothing is there, or something is full, forbidden, slow, broken or away: on the real processes. */

const mainProgram = fileURLToPath(new URL('../harness/broken-disk-main.ts', import.meta.url));
const people = ['nina', 'quinn', 'vera'];
setUpDesk({ mainProgram, moreUsers: people.map((name) => buildDemoUser(name)) });

const uploadLine = (name: string) => page.locator('.upload', { hasText: name });

describe('a place with nothing in it', () => {
  it('says on the first visit what it is and how to fill it, and in a folder that it is empty', async () => {
    await open('/', 'nina');
    await flows.heading('Your files will live here').waitFor();
    await page.getByText('Drop files here, or use Upload.').waitFor();
    await expectNothingCutOff(page);
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Upload files' }).click(),
    ]);
    await chooser.setFiles({ name: 'first.txt', mimeType: 'text/plain', buffer: Buffer.from('first') });
    await flows.row('first.txt').waitFor();
    expect((await readFile(onDiskOf('nina', 'first.txt'))).toString()).toBe('first');
    await flows.createFolder('empty');
    await flows.openFolder('empty');
    await flows.heading('Nothing here yet').waitFor();
    await page.getByText('Drop files here, or use Upload.').waitFor();
    await expectNothingCutOff(page);
  });

  it('says of a filter that nothing has it in its name, and shows all again by a click', async () => {
    await put(['filtered', 'offer.pdf'], 'x');
    await open('/files/filtered');
    await flows.row('offer.pdf').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('zzz');
    await flows.heading('No match in this folder').waitFor();
    await page.getByText('Nothing here has “zzz” in its name.').waitFor();
    await expectNothingCutOff(page);
    await page.getByRole('main').getByRole('button', { name: 'Clear filter' }).click();
    await expect.poll(() => flows.names()).toEqual(['offer.pdf']);
  });
});

describe('what a person may not do', () => {
  const allow = (verbs: string, more = ''): Promise<string> =>
    product.sallyport('users', 'set', 'vera', `files=[{path: /, root: vera, allow: [${verbs}]}${more}]`);
  const actions = async (name: string): Promise<string[]> => {
    await flows
      .row(name)
      .getByRole('button', { name: `Actions for ${name}` })
      .click();
    await page.getByRole('menuitem').first().waitFor();
    const items = await page.getByRole('menuitem').allTextContents();
    await page.keyboard.press('Escape');
    return items;
  };
  const button = (name: string): Promise<number> => page.getByRole('button', { name, exact: true }).count();

  it('is not offered: neither in menus and bars nor by key, paste or drop', async () => {
    await put(['read.txt'], 'read me', 'vera');
    await mkdir(onDiskOf('vera-inbox'), { recursive: true });
    await allow('list, read', ', {path: /inbox, root: vera-inbox, allow: [list, write]}');
    await open('/', 'vera');
    await flows.row('read.txt').waitFor();
    expect(await actions('read.txt')).toEqual(['Open', 'Download', 'Copy']);
    expect(await actions('inbox')).toEqual(['Open']);
    expect([await button('Upload'), await button('Upload folder'), await button('New folder')]).toEqual([
      0, 0, 0,
    ]);
    await page.getByRole('checkbox', { name: 'Select read.txt' }).check();
    const bar = page.getByRole('toolbar').getByRole('button');
    expect(await bar.allTextContents()).toEqual(['', 'Download', 'Copy']);
    await flows.row('read.txt').focus();
    for (const key of ['F2', 'Delete']) await page.keyboard.press(key);
    expect(await page.getByRole('dialog').count()).toBe(0);
    expect(await page.getByLabel(/^New name/).count()).toBe(0);
    await flows.drop([{ name: 'dropped.txt', content: 'x' }]);
    await flows.paste([{ name: 'pasted.txt', content: 'x' }]);
    expect(await page.getByRole('region', { name: 'Uploads' }).count()).toBe(0);

    // Into the box, but never over what lies in it.
    await put(['taken.txt'], 'theirs', 'vera-inbox');
    await page.keyboard.press('Escape');
    await flows.openFolder('inbox');
    await flows.row('taken.txt', 'text').waitFor();
    await flows.upload([{ name: 'taken.txt', content: 'mine' }]);
    await uploadLine('taken.txt').getByRole('button', { name: 'Keep both' }).waitFor();
    expect(await button('Replace')).toBe(0);
    await page.getByRole('button', { name: 'Keep both' }).click();
    await flows.row('taken (2).txt', 'text').waitFor();
    expect((await readFile(onDiskOf('vera-inbox', 'taken.txt'))).toString()).toBe('theirs');
  });

  it('is told of a folder that may not be listed; a drop box takes files all the same', async () => {
    await mkdir(onDiskOf('vera-box'), { recursive: true });
    await allow(
      'list',
      ', {path: /box, root: vera-box, allow: [write]}, {path: /shut, root: vera-box, allow: [read]}',
    );
    await open('/', 'vera');
    await flows.openFolder('shut');
    await flows.heading('You can’t see this folder').waitFor();
    await page.getByText('You may not list what is in here. Ask your administrator if you should.').waitFor();
    expect(await button('Upload')).toBe(0);
    await expectNothingCutOff(page);
    await page.getByRole('link', { name: 'Go to Home' }).click();
    await flows.openFolder('box');
    await page.getByText('You can put files in here, but you may not list what is in it.').waitFor();
    await flows.upload([{ name: 'posted.txt', content: 'posted' }]);
    await page.getByRole('heading', { name: 'Uploads 1 of 1', exact: true }).waitFor();
    expect((await readFile(onDiskOf('vera-box', 'posted.txt'))).toString()).toBe('posted');
    await flows.upload([{ name: 'posted.txt', content: 'again' }]);
    await uploadLine('posted.txt').getByText('You may not do this here.').waitFor();
    expect((await readFile(onDiskOf('vera-box', 'posted.txt'))).toString()).toBe('posted');
  });

  it('is refused with a reference when it was just taken away, and is then no longer offered', async () => {
    await allow('list, read, write');
    await open('/', 'vera');
    await page.getByRole('button', { name: 'Upload', exact: true }).waitFor();
    await allow('list, read');
    await flows.upload([{ name: 'late.txt', content: 'x' }]);
    await uploadLine('late.txt')
      .getByText(/^You may not do this here\. .* Reference \S+/)
      .waitFor();
    await expect.poll(() => button('Upload')).toBe(0);
  });
});

describe('a quota that is used up', () => {
  it('refuses with what to do and a reference, keeps everything, and goes on when room was made', async () => {
    await product.sallyport('users', 'set', 'quinn', 'quota=10MB');
    const old = randomBytes(6_000_000);
    const large = randomBytes(9_000_000);
    await open('/', 'quinn');
    await flows.upload([{ name: 'old.bin', content: old }]);
    await flows.row('old.bin').waitFor();
    await flows.upload([
      { name: 'large.bin', content: large },
      { name: 'small.bin', content: randomBytes(5_000_000) },
    ]);
    for (const name of ['large.bin', 'small.bin'])
      await uploadLine(name)
        .getByText(/^There is no room left\. Delete something for good.* Reference \S+/)
        .waitFor();
    await expectNothingCutOff(page);
    expect(await readdir(onDiskOf('quinn'))).toEqual(['old.bin']);
    expect(old.equals(await readFile(onDiskOf('quinn', 'old.bin')))).toBe(true);
    await flows.remove('old.bin');
    // What is in the bin has its room still. The line says so from before: what counts is the answer.
    const answer = page.waitForResponse((response) => new URL(response.url()).pathname === '/api/uploads');
    await page.getByRole('button', { name: 'Try large.bin again' }).click();
    expect((await answer).status()).toBe(507);
    await uploadLine('large.bin')
      .getByText(/^There is no room left/)
      .waitFor();
    await page.getByRole('button', { name: /^Account of/ }).click();
    await page.getByRole('menuitem', { name: 'Deleted files' }).click();
    await page.getByRole('button', { name: 'Delete all for good' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Delete for good' }).click();
    await page.getByText(/deleted for good/).waitFor();
    await page.goBack();
    await page.getByRole('button', { name: 'Try large.bin again' }).click();
    await flows.row('large.bin').waitFor();
    expect(large.equals(await readFile(onDiskOf('quinn', 'large.bin')))).toBe(true);
    await flows.open('/options');
    await page.getByText('9.0 MB of 10.0 MB used').waitFor();
  });
});

describe('a folder', () => {
  it('that the disk can’t read says so with a reference, and is read again by a click', async () => {
    await put(['unreadable', 'saved.txt'], 'x');
    const broken = join(product.site.files.main.config, '..', 'disk-error');
    await writeFile(broken, '');
    await open('/files/unreadable');
    await flows.heading('This folder can’t be shown').waitFor();
    await flows
      .alert()
      .getByText(/^Reference \S+/)
      .waitFor();
    await expectNothingCutOff(page);
    await page.getByRole('button', { name: 'Try again' }).click();
    await flows.heading('This folder can’t be shown').waitFor();
    // The disk was mended.
    await rm(broken);
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(() => flows.names()).toEqual(['saved.txt']);
  });

  it('that takes longer shows grey rows, a quick one does not', async () => {
    await put(['slow', 'a.txt'], 'x');
    await open('/');
    await flows.row('slow').waitFor();
    let answer = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route('**/api/files/slow/**', async (route) => {
      await held;
      await route.continue();
    });
    const loading = page.getByRole('status', { name: 'Loading' });
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 60_000);
    await flows.row('slow').getByRole('link', { name: 'slow' }).click();
    await page.clock.runFor(140);
    expect(await loading.locator('.skeleton-row').count()).toBe(0);
    const rowsLater = async (): Promise<number> => {
      await page.clock.runFor(50);
      return loading.locator('.skeleton-row').count();
    };
    await expect.poll(rowsLater).toBe(8);
    answer();
    await page.clock.resume();
    await flows.row('a.txt').waitFor();
    expect(await loading.count()).toBe(0);
  });
});

describe('a browser without a connection', () => {
  it('says so, and goes on by itself with the folder, and with uploads, when it is back', async () => {
    await put(['way', 'a.txt'], 'x');
    await open('/');
    await flows.row('way').waitFor();
    await page.context().setOffline(true);
    await flows.row('way').getByRole('link', { name: 'way' }).click();
    await flows.heading('This folder can’t be shown').waitFor();
    await flows.alert().getByText('The server can’t be reached just now.').waitFor();
    await expectNothingCutOff(page);
    await page.context().setOffline(false);
    await flows.row('a.txt').waitFor();
    await page.context().setOffline(true);
    await flows.upload([{ name: 'begun.txt', content: 'begun' }]);
    await page.getByText('Connection lost. Trying again…').waitFor();
    await page.context().setOffline(false);
    await flows.row('begun.txt').waitFor();
    expect((await readFile(onDisk('way', 'begun.txt'))).toString()).toBe('begun');
  });
});

describe('while main is down', () => {
  it('every page says that files are safe, counts down, and comes back by itself, signing in included', async () => {
    await put(['safe', 'a.txt'], 'x');
    await open('/files/safe');
    await flows.row('a.txt').waitFor();
    const other = await visitBeside();
    await other.flows.open();
    // A page that comes up while main is away shows nothing but that.
    await other.page.getByLabel('User name').waitFor();
    const letMainStart = await product.holdMain();
    await page.reload();
    await other.flows.submitPassword('nina', product.password('nina'));
    for (const down of [other.page, page]) {
      const safe = down.getByText(
        'Your files are safe. The server inside is not answering; it may be restarting.',
      );
      await safe.waitFor();
      await down.getByText(/^This page tries again in \d s\.$/).waitFor();
      await expectNothingCutOff(down);
    }
    await flows.heading('Back in a moment').waitFor();
    expect(await flows.row('a.txt').count()).toBe(0);
    await letMainStart();
    await flows.row('a.txt').waitFor();
    await other.page.getByRole('button', { name: 'Account of nina' }).waitFor();
    await other.page.context().close();
  });
});

describe('who can’t see the page', () => {
  it('hears how uploads ended', async () => {
    await mkdir(onDisk('minutes'), { recursive: true });
    await open('/files');
    await page.getByRole('grid').waitFor();
    const heard = await flows.listen();
    const files = Array.from({ length: 12 }, (_, index) => ({ name: `heard ${index}.txt`, content: 'x' }));
    await flows.upload([...files, { name: 'nul.txt', content: 'x' }, { name: 'minutes', content: 'x' }]);
    await expect.poll(heard).toContain('12 uploads finished, 2 need an answer.');
    await uploadLine('nul.txt').getByRole('button', { name: 'Skip' }).click();
    // There is a folder of that name.
    await uploadLine('minutes').getByRole('button', { name: 'Replace' }).click();
    await expect.poll(heard).toContain('12 uploads finished, 1 failed.');
    await uploadLine('minutes')
      .getByText(/Reference \S+/)
      .waitFor();
  });
});
