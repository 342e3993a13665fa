import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { patienceMs } from './patience.ts';
import { type Product, startProduct } from './product.ts';
import { startWebBrowser, type WebBrowser } from './web-browser.ts';
import { WebFlows } from './web-flows.ts';

/**
 * One product and one browser for a file of tests, and for each test a visitor of its own. A file of tests has this
 * module to itself, so what stands here is that file's: `page` and `flows` are those of the test that runs.
 */

export let product: Product;
export let browser: WebBrowser;
export let page: Page;
export let flows: WebFlows;

/** Once in a file, before its tests. */
export function setUpDesk(
  options: Parameters<typeof startProduct>[0] & {
    /** `by-test`: each test lets in its own. */
    readonly visitor?: BrowserContextOptions | 'by-test';
  } = {},
): void {
  const { visitor = {}, ...site } = options;
  beforeAll(async () => {
    [product, browser] = await Promise.all([startProduct(site), startWebBrowser()]);
  });
  afterAll(async () => {
    await browser.close();
    await product.close();
  });
  if (visitor !== 'by-test') beforeEach(() => visit(visitor));
  afterEach(async () => {
    await browser.leave();
    const complaints = browser.complaints.splice(0);
    if (complaints.length > 0) throw new Error(`the page complained: ${complaints.join(' | ')}`);
  });
}

/** The visitor that the test is about from now on. */
export async function visit(options: BrowserContextOptions = {}): Promise<void> {
  ({ page, flows } = await visitBeside(options));
}

/** Another visitor at the same time. */
export async function visitBeside(
  options: BrowserContextOptions = {},
): Promise<{ page: Page; flows: WebFlows }> {
  const opened = await browser.visit({ ignoreHTTPSErrors: true, ...options });
  opened.setDefaultTimeout(patienceMs);
  return { page: opened, flows: new WebFlows(opened, product.site.https) };
}

/** Signed in, at an address of the client. */
export async function open(path: string, user = 'frank'): Promise<void> {
  await flows.open(path);
  await flows.signIn(user, product.password(user));
}

/** The path that the address bar shows. */
export const where = (): string => decodeURIComponent(new URL(page.url()).pathname);
export const dialog = (): Locator => page.getByRole('dialog');
export async function closed(): Promise<void> {
  await page.locator('dialog').waitFor({ state: 'detached' });
}
/** Name of the row that the keyboard is on. */
export const focused = (): Promise<unknown> =>
  page.evaluate('document.activeElement.querySelector(".name")?.textContent');

/** Where main keeps what somebody has. */
export const onDiskOf = (user: string, ...names: string[]): string =>
  join(product.site.files.files, user, ...names);
export const onDisk = (...names: string[]): string => onDiskOf('frank', ...names);
export async function put(names: readonly string[], content: string | Buffer, user = 'frank'): Promise<void> {
  await mkdir(onDiskOf(user, ...names.slice(0, -1)), { recursive: true });
  await writeFile(onDiskOf(user, ...names), content);
}
/** Exactly these below `folder`, each file with its path as content; a name that ends in a slash is a folder. */
export async function fill(folder: string, paths: readonly string[]): Promise<void> {
  await rm(onDisk(folder), { recursive: true, force: true });
  await mkdir(onDisk(folder), { recursive: true });
  for (const path of paths)
    await (path.endsWith('/')
      ? mkdir(onDisk(folder, path), { recursive: true })
      : mkdir(dirname(onDisk(folder, path)), { recursive: true }).then(() =>
          writeFile(onDisk(folder, path), path),
        ));
}
