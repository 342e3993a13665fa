import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';

import { patienceMs } from './patience.ts';

/** The real Chromium of the system, without a window and without calling home. */

const executablePath = '/usr/bin/chromium';
const quiet = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const desktop = { width: 1280, height: 800 };
export const phone = { width: 390, height: 844 };

export interface WebBrowser {
  /** A page of a visitor of its own: no cookies, nothing stored. Failures of the page itself end up in `complaints`. */
  visit(options?: BrowserContextOptions): Promise<Page>;
  /** A whole browser with a profile in `folder`, as one person has it: what it stores is there again the next time. */
  startProfile(
    folder: string,
    more?: { readonly args: readonly string[] },
  ): Promise<{ readonly page: Page; close(): Promise<void> }>;
  /** Uncaught errors, console errors and violations of the content security policy, Trusted Types included, of all pages. */
  readonly complaints: string[];
  /** Every visitor goes, with all their windows. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

/** A refused call (401, 503, …) is logged by Chromium as a console error; the page handled it. */
const handled = /Failed to load resource: the server responded with a status of|net::ERR_/;

/** Runs in every page before its own scripts. Chromium logs most violations by itself; this one counts them all. */
const reportViolations = `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) =>
  console.error('policy violation: ' + [violatedDirective, blockedURI, sample].join(' ')));`;

export async function startWebBrowser(): Promise<WebBrowser> {
  const home = await mkdtemp(join(tmpdir(), 'sallyport-browser-'));
  const browser = await chromium.launch({
    executablePath,
    args: quiet,
    env: { ...process.env, HOME: home },
    timeout: patienceMs,
  });
  const complaints: string[] = [];
  const contexts: BrowserContext[] = [];
  const listen = (page: Page): Page => {
    page.setDefaultTimeout(patienceMs);
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && !handled.test(message.text())) complaints.push(message.text());
    });
    return page;
  };
  const leave = async (): Promise<void> => {
    await Promise.all(contexts.splice(0).map((context) => context.close()));
  };
  return {
    complaints,
    async visit(options = {}) {
      const context = await browser.newContext({ viewport: desktop, locale: 'en-GB', ...options });
      contexts.push(context);
      await context.addInitScript(reportViolations);
      return listen(await context.newPage());
    },
    async startProfile(folder, more = { args: [] }) {
      const context = await chromium.launchPersistentContext(folder, {
        executablePath,
        args: [...quiet, ...more.args],
        env: { ...process.env, HOME: home },
        viewport: desktop,
        locale: 'en-GB',
        ignoreHTTPSErrors: true,
        timeout: patienceMs,
      });
      await context.addInitScript(reportViolations);
      return { page: listen(await context.newPage()), close: () => context.close() };
    },
    leave,
    async close() {
      await leave();
      await browser.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}
