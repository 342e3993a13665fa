import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { expectNoViolations, expectNothingCutOff } from '#test/harness/web-accessibility.ts';
import { desktop, phone } from '#test/harness/web-browser.ts';
import { flows, onDisk, open, page, product, setUpDesk, visit } from '#test/harness/web-desk.ts';

/** Downloads in a real Chromium, on the real processes: what comes, and what is said when nothing can come. */

setUpDesk({ visitor: 'by-test' });

/** So many files, made at once. */
async function putMany(folder: string, count: number, nameOf: string): Promise<void> {
  await mkdir(onDisk(folder), { recursive: true });
  const script =
    'import sys\nfor i in range(int(sys.argv[2])): open(f"{sys.argv[1]}/" + sys.argv[3].replace("#", str(i)),"w").close()';
  await runProgram('python3', ['-c', script, onDisk(folder), String(count), nameOf]);
}

/** As Python's zipfile, an implementation that is not ours, reads it. */
async function namesIn(zip: Buffer): Promise<string[]> {
  const file = join(product.folder, 'read.zip');
  await writeFile(file, zip);
  const script =
    'import sys,json,zipfile\nz=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None\nprint(json.dumps(z.namelist()))';
  const { stdout } = await runProgram('python3', ['-c', script, file]);
  return JSON.parse(stdout) as string[];
}

const devices = {
  desktop: { viewport: desktop },
  phone: { viewport: phone, hasTouch: true, isMobile: true },
} as const;

for (const [device, options] of Object.entries(devices))
  describe(`on a ${device}`, () => {
    beforeEach(() => visit(options));
    const told = (): Promise<string | null> => page.locator('[data-view=notice] p').textContent();

    it('a folder of more files than one download may have says so, and what to do', async () => {
      await putMany(join('big', 'all of it'), 66_000, 'file #.bin');
      await open('/files/big');
      await flows.chooseAction('all of it', 'Download');
      await expect
        .poll(told)
        .toContain(
          'That is more than 50,000 files, too many for one download. Open the folder and choose fewer',
        );
      await expectNoViolations(page);
      await expectNothingCutOff(page);
    });

    it('thousands of selected files with long Japanese names come in one archive', async () => {
      await putMany('請求書', 2500, '二〇二六年度請求書の写し（確認済み） 第#号.txt');
      await writeFile(onDisk('請求書', '00 別の書類.txt'), 'not this one');
      await open('/files/請求書');
      await page.getByText('2,501 items', { exact: true }).waitFor();
      await page.getByLabel('Select all').first().check();
      await page.getByLabel('Select 00 別の書類.txt').uncheck();
      const zip = await flows.saved(() =>
        page.getByRole('toolbar').getByRole('button', { name: 'Download' }).click(),
      );
      const names = await namesIn(zip);
      expect(names).toHaveLength(2500);
      expect(names).toContain('二〇二六年度請求書の写し（確認済み） 第2499号.txt');
      expect(names).not.toContain('00 別の書類.txt');
    });

    it('a single file comes as it is, and what is gone by now is said and no longer listed', async () => {
      await mkdir(onDisk('single', 'empty'), { recursive: true });
      await writeFile(onDisk('single', 'offer 50 %.txt'), 'the offer');
      await writeFile(onDisk('single', 'lost.bin'), 'x');
      await open('/files/single');
      expect((await flows.download('offer 50 %.txt')).toString()).toBe('the offer');
      await flows.chooseAction('empty', 'Download');
      await expect.poll(told).toContain('There are no files in there to download.');
      // Once it is gone any look at the folder takes its row away.
      await flows.openActions('lost.bin');
      await rm(onDisk('single', 'lost.bin'));
      await page.getByRole('menuitem', { name: 'Download', exact: true }).click();
      await expect.poll(told).toContain('That is no longer here. The list has been refreshed.');
      await flows.row('lost.bin').waitFor({ state: 'detached' });
    });
  });
