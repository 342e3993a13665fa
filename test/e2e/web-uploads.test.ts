import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { expectNoViolations } from '#test/harness/web-accessibility.ts';
import { phone } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';
import { patienceMs } from '#test/harness/patience.ts';
import { browser, onDisk, product, setUpDesk } from '#test/harness/web-desk.ts';

/** Uploads from a real Chromium into the real processes. */

setUpDesk({ visitor: 'by-test' });
const smallCount = 500;
const largeBytes = 2 * 1024 ** 3;

async function signIn(page: Page, user = 'frank'): Promise<WebFlows> {
  page.setDefaultTimeout(patienceMs);
  const flows = new WebFlows(page, product.site.https);
  await flows.open();
  await flows.signIn(user, product.password(user));
  return flows;
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 4 * 1024 * 1024 })) hash.update(chunk);
  return hash.digest('hex');
}

/** Mostly holes, so that it costs no disk, with other bytes every few megabytes, so that a shift would show. */
async function writeLargeFile(file: string): Promise<void> {
  const handle = await open(file, 'w');
  await handle.truncate(largeBytes);
  for (let offset = 0; offset < largeBytes; offset += 16 * 1024 * 1024)
    await handle.write(randomBytes(4096), 0, 4096, offset + (offset % 977));
  await handle.close();
}

/** What the panel says is safe, 0…100. */
async function shownPercent(page: Page, name: string): Promise<number> {
  const bar = page.getByRole('progressbar', { name });
  return Number((await bar.getAttribute('aria-valuenow')) ?? 0);
}

/** What main's disk has of the one unfinished upload, 0…100, rounded up. */
async function diskPercent(): Promise<number> {
  const staging = join(product.site.files.files, '.sallyport-staging');
  const part = (await readdir(staging)).find((name) => name.endsWith('.part'));
  if (part === undefined) return 100;
  const handle = await open(join(staging, part));
  const { size } = await handle.stat();
  await handle.close();
  return Math.ceil((size / largeBytes) * 100);
}

async function waitForPercent(page: Page, name: string, percent: number): Promise<void> {
  await expect
    .poll(() => shownPercent(page, name), { timeout: patienceMs, interval: 50 })
    .toBeGreaterThanOrEqual(percent);
}

describe('a file', () => {
  it('keeps its date, whichever way its size has it go', async () => {
    const dates: Record<string, Date> = {
      'small.txt': new Date('2020-02-03T04:05:06Z'),
      'old.txt': new Date('1968-07-01T00:00:00Z'),
      'in pieces.bin': new Date('2020-02-03T04:05:06Z'),
    };
    for (const [name, date] of Object.entries(dates)) {
      const file = join(product.folder, name);
      await writeFile(file, name === 'in pieces.bin' ? randomBytes(30_000_000) : 'four');
      await utimes(file, date, date);
    }
    const page = await browser.visit({ ignoreHTTPSErrors: true });
    const flows = await signIn(page);
    await page
      .locator('main ~ input[type=file]:not([webkitdirectory])')
      .setInputFiles(Object.keys(dates).map((name) => join(product.folder, name)));
    for (const name of Object.keys(dates)) await flows.row(name).waitFor();
    for (const [name, date] of Object.entries(dates))
      expect([name, (await stat(onDisk(name))).mtime]).toEqual([name, date]);
    await page.context().close();
  });
});

describe('a name that nothing here may have', () => {
  it('is offered another one, which may be typed, and what is skipped is not sent', async () => {
    const page = await browser.visit({
      ignoreHTTPSErrors: true,
      viewport: phone,
      hasTouch: true,
      isMobile: true,
    });
    const flows = await signIn(page);
    await flows.upload([{ name: 'con.txt', content: 'device' }]);
    await page.getByText('This name can’t be used here.').waitFor();
    const field = page.getByLabel('Upload under the name');
    expect(await field.inputValue()).toBe('_con.txt');
    await field.fill('aux');
    await page.getByRole('button', { name: 'Use this name' }).tap();
    await page.getByRole('alert').getByText('That name is not allowed.').waitFor();
    await expectNoViolations(page);
    await field.fill('contract.txt');
    await page.getByRole('button', { name: 'Use this name' }).tap();
    await flows.row('contract.txt').waitFor();
    expect((await readFile(onDisk('contract.txt'))).toString()).toBe('device');
    await flows.upload([{ name: 'prn', content: 'x' }]);
    await page.getByRole('button', { name: 'Skip' }).tap();
    await page.getByText('Skipped').waitFor();
    await page.context().close();
  });

  it('is replaced in all of a folder at once, with the folder’s own', async () => {
    const folder = join(product.folder, 'aux.');
    await mkdir(folder);
    for (const name of ['one.txt', 'line\nbreak.txt', 'ends. ']) await writeFile(join(folder, name), name);
    const page = await browser.visit({ ignoreHTTPSErrors: true });
    const flows = await signIn(page);
    await page.locator('main ~ input[webkitdirectory]').setInputFiles(folder);
    await page.getByText('Upload to _aux under the name').first().waitFor();
    await page.getByLabel('For all').first().check();
    await page.getByRole('button', { name: 'Use this name' }).first().click();
    await page.getByRole('heading', { name: 'Uploads 3 of 3', exact: true }).waitFor();
    expect((await readdir(onDisk('_aux'))).toSorted()).toEqual(['ends', 'line_break.txt', 'one.txt']);
    await flows.row('_aux').waitFor();
    await page.context().close();
  });
});

describe('a folder', () => {
  it(`of ${smallCount} files arrives whole, with its folders`, async () => {
    const folder = join(product.folder, 'camera');
    const hashes = new Map<string, string>();
    for (let index = 0; index < smallCount; index += 1) {
      const names = ['camera', `day ${index % 7}`, `picture ${index}.bin`];
      const bytes = randomBytes(2_000 + index * 37);
      await mkdir(join(product.folder, ...names.slice(0, -1)), { recursive: true });
      await writeFile(join(product.folder, ...names), bytes);
      hashes.set(names.join('/'), createHash('sha256').update(bytes).digest('hex'));
    }
    const page = await browser.visit({ ignoreHTTPSErrors: true });
    const flows = await signIn(page);
    await page.locator('main ~ input[webkitdirectory]').setInputFiles(folder);
    await page.getByText(`${smallCount} of ${smallCount}`).waitFor();
    await flows.row('camera').waitFor();
    for (const [path, hash] of hashes) expect([path, await hashOf(onDisk(path))]).toEqual([path, hash]);
    await page.context().close();
  });
});

describe('one large file', () => {
  it('is paused, cut off, reloaded, and goes on in another browser start after the same file is chosen', async () => {
    const local = join(product.folder, 'large.bin');
    await writeLargeFile(local);
    const profile = join(product.folder, 'profile');
    const wire = await Wire.to(Number(new URL(product.site.https).port));
    const first = await browser.startProfile(profile, {
      // By its own name, so that the page's origin is the right one.
      args: [`--host-resolver-rules=MAP localhost:${wire.farPort} 127.0.0.1:${wire.port}`],
    });
    const { page } = first;
    const flows = await signIn(page);
    const picker = page.locator('main ~ input[type=file]:not([webkitdirectory])');
    await picker.setInputFiles(local);

    // Paused: it stands still, and what is shown is never more than what main has.
    await waitForPercent(page, 'large.bin', 5);
    expect(await shownPercent(page, 'large.bin')).toBeLessThanOrEqual(await diskPercent());
    await page.getByText(/^[\d.]+ \wB of 2\.1 GB · [\d.]+ \wB\/s · .* left$/).waitFor();
    await page.getByRole('button', { name: 'Pause large.bin' }).click();
    await page.getByText('Paused').waitFor();
    const atPause = await shownPercent(page, 'large.bin');
    await page.getByRole('button', { name: 'Resume large.bin' }).click();
    await waitForPercent(page, 'large.bin', Math.max(15, atPause));

    // The network is gone and comes back: nobody presses anything.
    wire.cut();
    await page.getByText('Connection lost. Trying again…').waitFor();
    wire.mend();
    await waitForPercent(page, 'large.bin', 30);
    expect(await shownPercent(page, 'large.bin')).toBeLessThanOrEqual(await diskPercent());

    // Main is killed in the middle of it: a pause.
    await product.killMain();
    await waitForPercent(page, 'large.bin', 45);

    // The page is loaded anew: the panel knows how far it got, and wants the same file.
    page.once('dialog', (dialog) => void dialog.accept());
    await page.reload();
    await page.getByText(/% is stored\. Choose the same file to go on/).waitFor();
    const atReload = await shownPercent(page, 'large.bin');
    expect(atReload).toBeGreaterThanOrEqual(45);
    const other = join(product.folder, 'other.bin');
    await writeFile(other, 'something else');
    const chooser = page.getByLabel('Choose the file for large.bin');
    await chooser.setInputFiles(other);
    await page.getByText('That is another file, or it was changed.').waitFor();
    await chooser.setInputFiles(local);
    await waitForPercent(page, 'large.bin', Math.max(60, atReload));

    // Another start of the browser, another sign-in: dropping the file where it was is enough.
    await page.getByRole('button', { name: 'Pause large.bin' }).click();
    await flows.signOut();
    await first.close();
    await wire.close();
    const second = await browser.startProfile(profile);
    await signIn(second.page);
    await second.page.getByText(/% is stored\. Choose the same file to go on/).waitFor();
    expect(await shownPercent(second.page, 'large.bin')).toBeGreaterThanOrEqual(60);
    const twin = join(product.folder, 'twin', 'large.bin');
    await makeTwin(local, twin);
    await second.page.getByLabel('Choose the file for large.bin').setInputFiles(twin);
    await second.page.getByText('That is another file, or it was changed.').waitFor();
    await second.page.locator('main ~ input[type=file]:not([webkitdirectory])').setInputFiles(local);
    await second.page.getByRole('heading', { name: 'Uploads 1 of 1', exact: true }).waitFor();
    expect(await hashOf(onDisk('large.bin'))).toBe(await hashOf(local));
    await second.close();
  });
});

/** The network between a browser and the door; it can be cut. */
class Wire {
  readonly port: number;
  readonly farPort: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  #isCut = false;

  private constructor(server: Server, port: number, farPort: number, sockets: Set<Socket>) {
    this.#server = server;
    this.port = port;
    this.farPort = farPort;
    this.#sockets = sockets;
  }

  static async to(farPort: number): Promise<Wire> {
    const sockets = new Set<Socket>();
    const server = createServer((near) => {
      if (wire.#isCut) {
        near.destroy();
        return;
      }
      const far = connect(farPort, '127.0.0.1');
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(one);
        one
          .on('error', () => undefined)
          .on('close', () => {
            sockets.delete(one);
            other.destroy();
          });
        one.pipe(other);
      }
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const wire = new Wire(server, address.port, farPort, sockets);
    return wire;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Same size, same time, other bytes at the end. */
async function makeTwin(of: string, file: string): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true });
  const [source, target] = [await open(of), await open(file, 'w')];
  const { mtime, atime } = await source.stat();
  await target.truncate(largeBytes);
  await target.write(Buffer.from('other'), 0, 5, largeBytes - 5);
  await Promise.all([source.close(), target.close()]);
  await utimes(file, atime, mtime);
}

describe('the panel', () => {
  it('asks before it replaces a large file that appeared meanwhile, and keeps both when told so', async () => {
    const bytes = randomBytes(9_000_000);
    const local = join(product.folder, 'meanwhile.bin');
    await writeFile(local, bytes);
    const page = await browser.visit({ ignoreHTTPSErrors: true });
    const flows = await signIn(page);
    await writeFile(onDisk('meanwhile.bin'), 'theirs');
    await page.locator('main ~ input[type=file]:not([webkitdirectory])').setInputFiles(local);
    await page.getByRole('button', { name: 'Keep both' }).click();
    await flows.row('meanwhile (2).bin').waitFor();
    expect((await readFile(onDisk('meanwhile.bin'))).toString()).toBe('theirs');
    expect(bytes.equals(await readFile(onDisk('meanwhile (2).bin')))).toBe(true);
    await page.context().close();
  });

  it('cancelling removes what was stored', async () => {
    const local = join(product.folder, 'cancelled.bin');
    await writeLargeFile(local);
    const page = await browser.visit({ ignoreHTTPSErrors: true });
    await signIn(page);
    await page.locator('main ~ input[type=file]:not([webkitdirectory])').setInputFiles(local);
    await waitForPercent(page, 'cancelled.bin', 2);
    await page.getByRole('button', { name: 'Cancel cancelled.bin' }).click();
    const staging = join(product.site.files.files, '.sallyport-staging');
    await expect
      .poll(async () => (await readdir(staging)).filter((name) => name.endsWith('.part')), {
        timeout: patienceMs,
      })
      .toEqual([]);
    await page.context().close();
  });
});
