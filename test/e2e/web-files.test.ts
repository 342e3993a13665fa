import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { expectNoViolations, expectNothingCutOff } from '#test/harness/web-accessibility.ts';
import { phone } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import { patienceMs } from '#test/harness/patience.ts';
import {
  browser,
  closed,
  fill,
  flows,
  onDisk,
  open,
  page,
  product,
  put,
  setUpDesk,
} from '#test/harness/web-desk.ts';

/** What people do with their files in a real Chromium, on the real processes. */

setUpDesk();

async function select(...names: string[]): Promise<void> {
  for (const name of names) await page.getByRole('checkbox', { name: `Select ${name}`, exact: true }).check();
}

/** One red pixel. */
const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==',
  'base64',
);

describe('a preview', () => {
  it('shows pictures and texts one after the other, and never runs what is in them', async () => {
    await put(['look', 'a red.png'], png);
    await put(['look', 'b notes.txt'], '<script>document.title = "run"</script>\nsecond line');
    await put(['look', 'c page.html'], '<h1>not shown</h1>');
    await open('/files/look');
    await flows.row('a red.png').getByRole('link', { name: 'a red.png' }).click();
    const dialog = page.getByRole('dialog', { name: 'a red.png' });
    await expect
      .poll(() =>
        dialog.getByRole('img').evaluate((image) => (image as { naturalWidth?: number }).naturalWidth),
      )
      .toBe(1);
    await expectNoViolations(page);
    await expectNothingCutOff(page);
    await page.keyboard.press('ArrowRight');
    await page.getByRole('dialog', { name: 'b notes.txt' }).getByText('second line').waitFor();
    expect(await page.title()).not.toBe('run');
    expect(await page.getByRole('button', { name: 'Next' }).isDisabled()).toBe(true);
    const saved = await flows.saved(() =>
      page.getByRole('dialog').getByRole('button', { name: 'Download' }).click(),
    );
    expect(saved.toString()).toContain('second line');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    // A page is bytes to save.
    expect((await flows.download('c page.html')).toString()).toBe('<h1>not shown</h1>');
  });

  it('reads texts of older programs, and says in a sentence what can not be shown', async () => {
    await put(['letters', 'a latin.txt'], Buffer.from('Größe: 5 µm', 'latin1'));
    await put(['letters', 'b windows.csv'], Buffer.from([0x80, 0x20, 0x93, 0x61, 0x94]));
    const wide = Buffer.from('\ufeffÜbersicht 請求書', 'utf16le');
    await put(['letters', 'c wide.txt'], wide);
    await put(['letters', 'd plain.txt'], 'Übersicht – 請求書');
    await put(['letters', 'e program.log'], Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 0, 1, 0xff]));
    await put(['letters', 'f torn.png'], png.subarray(0, 20));
    await put(['letters', 'g whole.png'], png);
    await open('/files/letters');
    await flows.row('a latin.txt').getByRole('link', { name: 'a latin.txt' }).click();
    const dialog = page.getByRole('dialog');
    for (const text of ['Größe: 5 µm', '€ “a”', 'Übersicht 請求書', 'Übersicht – 請求書']) {
      await expect.poll(() => dialog.locator('pre').textContent()).toBe(text);
      await page.keyboard.press('ArrowRight');
    }
    await dialog.getByText('This is not a text that can be shown.').waitFor();
    await page.keyboard.press('ArrowRight');
    await dialog.getByText('This picture can’t be shown.').waitFor();
    expect(await dialog.getByRole('img').count()).toBe(0);
    await expectNoViolations(page);
    await page.keyboard.press('ArrowRight');
    await dialog.getByRole('img').waitFor();
    expect(await dialog.getByText('can’t be shown').count()).toBe(0);
  });
});

describe('moving and copying', () => {
  it('goes to a folder chosen in a dialog', async () => {
    await put(['work', 'one.txt'], 'one');
    await put(['work', 'two.txt'], 'two');
    await put(['work', 'archive', 'old', 'x'], '');
    await open('/files/work');
    await select('one.txt', 'two.txt');
    await page.getByRole('toolbar').getByRole('button', { name: 'Move' }).click();
    const dialog = page.getByRole('dialog', { name: 'Move 2 items' });
    expect(await dialog.getByRole('button', { name: 'Move here' }).isDisabled()).toBe(true);
    await expectNoViolations(page);
    await expectNothingCutOff(page);
    await dialog.getByRole('button', { name: 'archive' }).click();
    await dialog.getByRole('button', { name: 'old' }).click();
    await dialog.getByText('No folders in here.').waitFor();
    await dialog.getByRole('button', { name: 'Move here' }).click();
    await page.getByText('2 items moved to old.').waitFor();
    expect((await readdir(onDisk('work', 'archive', 'old'))).sort()).toEqual(['one.txt', 'two.txt', 'x']);
    expect(await readdir(onDisk('work'))).toEqual(['archive']);
  });

  it('asks about names that are taken: keep both, replace, skip, and for all', async () => {
    for (const name of ['a', 'b', 'c', 'd']) {
      await put(['clash', name], `new ${name}`);
      await put(['clash', 'there', name], `old ${name}`);
    }
    await open('/files/clash');
    await select('a', 'b', 'c', 'd');
    await page.getByRole('toolbar').getByRole('button', { name: 'Copy' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'there' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Copy here' }).click();
    const answer = async (name: string, choice: string): Promise<void> => {
      await page.getByRole('dialog').getByText(`${name} already exists there.`).waitFor();
      await page.getByRole('dialog').getByRole('button', { name: choice }).click();
    };
    await answer('a', 'Keep both');
    await answer('b', 'Replace');
    await page.getByRole('dialog').getByText('c already exists there.').waitFor();
    await page.getByRole('dialog').getByLabel('For all').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Skip' }).click();
    await page.getByText('2 items copied to there.').waitFor();
    const content = async (name: string): Promise<string> =>
      (await readFile(onDisk('clash', 'there', name))).toString();
    expect(await Promise.all(['a', 'a (2)', 'b', 'c', 'd'].map(content))).toEqual([
      'old a',
      'new a',
      'new b',
      'old c',
      'old d',
    ]);
    expect((await readdir(onDisk('clash'))).sort()).toEqual(['a', 'b', 'c', 'd', 'there']);
  });

  it('happens by dragging rows onto a folder', async () => {
    await put(['drag', 'me.txt'], 'dragged');
    await put(['drag', 'too.txt'], 'dragged too');
    await put(['drag', 'into', 'x'], '');
    await open('/files/drag');
    await select('me.txt', 'too.txt');
    await flows.row('me.txt').dragTo(flows.row('into'));
    await page.getByText('2 items moved to into.').waitFor();
    expect((await readdir(onDisk('drag', 'into'))).sort()).toEqual(['me.txt', 'too.txt', 'x']);
  });
});

describe('a selection', () => {
  it('is downloaded as one archive', async () => {
    await put(['pack', 'a.txt'], 'a');
    await put(['pack', 'sub', 'b.txt'], 'b');
    await put(['pack', 'not.txt'], 'not');
    await open('/files/pack');
    await select('a.txt', 'sub');
    const zip = await flows.saved(() =>
      page.getByRole('toolbar').getByRole('button', { name: 'Download' }).click(),
    );
    const file = join(product.folder, 'pack.zip');
    await writeFile(file, zip);
    const { stdout } = await runProgram('python3', ['-m', 'zipfile', '-l', file]);
    expect(stdout).toContain('a.txt');
    expect(stdout).toContain('sub/b.txt');
    expect(stdout).not.toContain('not.txt');
  });
});

describe('a list that changes while somebody is at it', () => {
  it('moves no row between the press of a button and its release, so that no click is lost', async () => {
    await fill('busy', ['b.dat', 'd.dat']);
    await open('/files/busy');
    // Comes to lie above the row, as soon as the list has been read again.
    const { promise: pressed, resolve: press } = Promise.withResolvers<void>();
    await page.route('**/api/files/busy/?*', (route) => pressed.then(() => route.continue()));
    const reread = page.waitForResponse('**/api/files/busy/?*');
    await flows.upload([{ name: 'a.dat', content: 'a' }]);
    await page.locator('.upload-done').waitFor();
    await page.getByRole('button', { name: 'Actions for d.dat' }).hover();
    await page.mouse.down();
    press();
    await reread.then((answer) => answer.finished());
    await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');
    await page.mouse.up();
    await page.getByRole('menuitem', { name: 'Delete' }).waitFor();
    await expect.poll(() => flows.names()).toEqual(['a.dat', 'b.dat', 'd.dat']);
    // An open menu stays open, and keeps the keyboard.
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByText('Home / busy / d.dat').waitFor();
  });

  it('does not take the Escape of an open menu, wherever the focus is', async () => {
    await fill('escape', ['b.dat', 'd.dat']);
    await open('/files/escape');
    const menu = page.getByRole('menuitem', { name: 'Delete' });
    for (let time = 0; time < 3; time += 1) {
      await page.getByRole('button', { name: 'Actions for d.dat' }).click();
      await menu.waitFor();
      await flows.row('b.dat', 'text').focus();
      await page.keyboard.press('Escape');
      await menu.waitFor({ state: 'detached' });
    }
    expect(await flows.names()).toEqual(['b.dat', 'd.dat']);
  });

  it('leaves the keyboard in the menu that was opened before an answer came', async () => {
    await fill('late', ['b.dat', 'd.dat']);
    await open('/files/late');
    await flows.chooseAction('b.dat', 'Delete');
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    await page.route('**/api/files/**', (route) => answered.then(() => route.continue()));
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.goBack();
    await closed();
    await page.getByRole('button', { name: 'Actions for d.dat' }).click();
    await page.getByRole('menuitem', { name: 'Delete' }).waitFor();
    answer();
    await flows.row('b.dat', 'text').waitFor({ state: 'detached' });
    await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe('Download');
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByText('Home / late / d.dat').waitFor();
  });
});

describe('files from outside', () => {
  it('arrive by pasting, and by dropping a folder with all that is in it, empty folders too', async () => {
    await put(['outside', 'before.txt'], 'x');
    const photos = join(product.folder, 'photos');
    await mkdir(join(photos, 'day 1', 'nothing'), { recursive: true });
    await writeFile(join(photos, 'cover.txt'), 'cover');
    await writeFile(join(photos, 'day 1', 'sun.txt'), 'sun');
    await open('/files/outside');
    await flows.row('before.txt').waitFor();
    await flows.paste([{ name: 'pasted.txt', content: 'pasted' }]);
    await flows.row('pasted.txt').waitFor();
    await flows.dropFromDisk([photos]);
    await flows.row('photos').waitFor();
    await page.getByRole('heading', { name: 'Uploads 3 of 3', exact: true }).waitFor();
    await expect.poll(() => readdir(onDisk('outside', 'photos', 'day 1'))).toEqual(['nothing', 'sun.txt']);
    expect((await readFile(onDisk('outside', 'pasted.txt'))).toString()).toBe('pasted');
    expect((await readFile(onDisk('outside', 'photos', 'cover.txt'))).toString()).toBe('cover');
    expect((await readFile(onDisk('outside', 'photos', 'day 1', 'sun.txt'))).toString()).toBe('sun');
    await expectNothingCutOff(page);
  });

  it('that are all there already are asked about once: for all', async () => {
    for (const name of ['a.txt', 'b.txt']) await put(['again', name], 'old');
    await open('/files/again');
    await flows.row('b.txt').waitFor();
    await flows.upload(['a.txt', 'b.txt', 'c.txt'].map((name) => ({ name, content: 'new' })));
    await flows.row('c.txt').waitFor();
    await page.getByLabel('For all').first().check();
    await page.getByRole('button', { name: 'Skip' }).first().click();
    await expect.poll(() => page.getByText('Skipped').count()).toBe(2);
    const content = async (name: string): Promise<string> =>
      (await readFile(onDisk('again', name))).toString();
    expect(await Promise.all(['a.txt', 'b.txt', 'c.txt'].map(content))).toEqual(['old', 'old', 'new']);
  });
});

describe('two files that want one name', () => {
  it('are asked about with size and date of both, by an upload and by a move', async () => {
    const dated = new Date('2019-05-06T12:00:00Z');
    await put(['both', 'plan.txt'], 'an older plan');
    await put(['both', 'new', 'plan.txt'], 'x'.repeat(1500));
    for (const names of [['plan.txt'], ['new', 'plan.txt']])
      await utimes(onDisk('both', ...names), dated, dated);
    await open('/files/both');
    await flows.row('plan.txt').waitFor();
    await flows.upload([{ name: 'plan.txt', content: 'a plan' }]);
    const facts = page.locator('.conflict-facts div');
    await expect.poll(() => facts.allTextContents()).toHaveLength(2);
    expect(await facts.allTextContents()).toEqual([
      'There already13 B · 6 May 2019',
      expect.stringMatching(/^To go there6 B · today/),
    ]);
    await page.getByRole('button', { name: 'Skip' }).click();
    await flows.openFolder('new');
    await flows.chooseAction('plan.txt', 'Move');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'both' }).click();
    await dialog.getByRole('button', { name: 'Move here' }).click();
    await expect
      .poll(() => facts.allTextContents())
      .toEqual(['There already13 B · 6 May 2019', 'To go there1.5 kB · 6 May 2019']);
    await expectNoViolations(page);
    await expectNothingCutOff(page);
    await dialog.getByRole('button', { name: 'Replace' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect((await readFile(onDisk('both', 'plan.txt'))).length).toBe(1500);
  });
});

describe('on a phone', () => {
  it('a long press selects, the actions lie at the bottom, and the round button adds', async () => {
    await put(['touch', 'one.txt'], '1');
    await put(['touch', 'two.txt'], '2');
    await put(['touch', 'three.txt'], '3');
    const hand = await browser.visit({
      ignoreHTTPSErrors: true,
      viewport: phone,
      hasTouch: true,
      isMobile: true,
    });
    hand.setDefaultTimeout(patienceMs);
    const touch = new WebFlows(hand, product.site.https);
    await touch.open('/files/touch');
    await touch.signIn('frank', product.password('frank'));
    await touch.longPress(touch.row('one.txt'));
    await hand.getByText('1 selected').first().waitFor();
    await touch.row('two.txt').tap();
    await hand.getByText('2 selected').first().waitFor();
    const bar = hand.getByRole('toolbar');
    const box = await bar.boundingBox();
    expect((box?.y ?? 0) + (box?.height ?? 0)).toBeGreaterThan(phone.height - 20);
    await bar.getByRole('button', { name: 'Delete' }).tap();
    await hand.getByRole('dialog').getByRole('button', { name: 'Delete' }).tap();
    await touch.row('one.txt').waitFor({ state: 'detached' });
    expect(await readdir(onDisk('touch'))).toEqual(['three.txt']);
    await hand.getByRole('button', { name: 'Add files or a folder' }).tap();
    await hand.getByRole('menuitem', { name: 'New folder' }).tap();
    await hand.getByLabel('Name of the folder').fill('made');
    await hand.getByRole('button', { name: 'Create' }).tap();
    await touch.row('made').waitFor();
    await touch.row('made').tap();
    await touch.heading('Nothing here yet').waitFor();
    await hand.context().close();
  });
});

describe('what another program put there and nothing here may be called', () => {
  it('is counted and named in its folder, and told before the folder is deleted', async () => {
    await put(['odd', 'plain.txt'], 'plain');
    await put(['odd', 'aux.h'], 'device');
    await put(['odd', 'line\nbreak.txt'], 'line');
    await put(['odd', 'below', 'com1.log'], 'device');
    await put(['only odd', 'nul'], 'device');
    await open('/files/odd');
    await page.getByRole('button', { name: '2 more items can’t be shown' }).click();
    const names = page.getByRole('dialog', { name: '2 items can’t be shown' });
    expect((await names.locator('li').allTextContents()).toSorted()).toEqual([
      'aux.h',
      'line\\u000abreak.txt',
    ]);
    await expectNoViolations(page);
    await page.keyboard.press('Escape');
    await flows.open('/files');
    await flows.chooseAction('odd', 'Delete');
    const question = page.getByRole('dialog');
    await question
      .getByText('There are also 3 items in it that can’t be shown here. They are deleted too.')
      .waitFor();
    await question.getByRole('button', { name: 'Delete' }).click();
    await flows.row('odd').waitFor({ state: 'detached' });
    await flows.openFolder('only odd');
    await flows.heading('Nothing here yet').waitFor();
    await page.getByRole('button', { name: '1 more item can’t be shown' }).waitFor();
  });
});

describe('a folder of 100,000 entries', () => {
  it('opens, filters and scrolls; the longest pauses are reported', async () => {
    const count = 100_000;
    await mkdir(onDisk('many'), { recursive: true });
    const script =
      'import sys\nfor i in range(int(sys.argv[2])): open(f"{sys.argv[1]}/file {i:06d}.bin","w").close()';
    await runProgram('python3', ['-c', script, onDisk('many'), String(count)]);
    await page.addInitScript(
      'globalThis.pauses = []; new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) globalThis.pauses.push(duration); }).observe({ type: "longtask" });',
    );
    const pauses = async (what: string): Promise<string> => {
      const all = (await page.evaluate('globalThis.pauses.splice(0)')) as number[];
      const longest = Math.round(Math.max(0, ...all));
      return `${what}: ${all.length} tasks over 50 ms, longest ${longest} ms`;
    };
    const report: string[] = [];
    await open('/files/many');
    await page.getByText('100,000 items', { exact: true }).waitFor();
    report.push(await pauses('open'));
    const filter = page.getByLabel('Filter this folder');
    await filter.fill('99999');
    await page.getByText('1 item', { exact: true }).waitFor();
    await filter.fill('');
    await page.getByText('100,000 items', { exact: true }).waitFor();
    report.push(await pauses('filter'));
    const list = page.locator('.file-body');
    for (let step = 0; step < 60; step += 1) {
      await list.evaluate((element, by) => {
        (element as unknown as { scrollTop: number }).scrollTop += by;
      }, 65_000);
    }
    await page.locator('[role=row][tabindex="0"]').focus();
    await page.keyboard.press('End');
    await flows.row('file 099999.bin').waitFor();
    report.push(await pauses('scroll'));
    process.stdout.write(`100,000 entries — ${report.join(' · ')}\n`);
    expect((await flows.names()).length).toBeLessThan(100);
  });
});
