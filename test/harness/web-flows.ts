import type { JSHandle, Locator, Page } from 'playwright-core';
import { readQrCode, secretOfUri } from './qr-code.ts';

/** The page's own things, for code that runs in it; this side of the tests has no DOM types. */
declare const DataTransfer: new () => { readonly items: { add(file: File): void } };
declare const ClipboardEvent: new (type: string, init: { clipboardData: object; bubbles: boolean }) => Event;

/**
 * What a person does with the web client, in English, by what they see: labels, roles and words. Knows a page and an
 * address and nothing about the server behind it, so the same flows run against a stand-in and the real processes.
 */
export class WebFlows {
  readonly page: Page;
  readonly baseUrl: string;

  constructor(page: Page, baseUrl: string) {
    this.page = page;
    this.baseUrl = baseUrl;
  }

  async open(path = '/'): Promise<void> {
    await this.page.goto(new URL(path, this.baseUrl).href);
  }

  // — signing in —

  async submitPassword(username: string, password: string): Promise<void> {
    await this.page.getByLabel('User name').fill(username);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.page.getByRole('button', { name: 'Sign in', exact: true }).click();
  }

  async submitCode(code: string): Promise<void> {
    await this.page.getByRole('textbox', { name: /code/ }).fill(code);
    await this.page.getByRole('button', { name: 'Continue' }).click();
  }

  /** Through both steps, up to the files. */
  async signIn(username: string, password: string, code?: () => string | Promise<string>): Promise<void> {
    await this.submitPassword(username, password);
    if (code !== undefined) {
      await this.heading('Enter your code').waitFor();
      await this.submitCode(await code());
    }
    await this.page.getByRole('button', { name: `Account of ${username}` }).waitFor();
  }

  async signOut(): Promise<void> {
    await this.page.getByRole('button', { name: /^Account of/ }).click();
    await this.page.getByRole('menuitem', { name: 'Sign out' }).click();
    await this.heading('Sign in').waitFor();
  }

  heading(name: string | RegExp): Locator {
    return this.page.getByRole('heading', { name });
  }

  alert(): Locator {
    return this.page.getByRole('alert');
  }

  // — files —

  /** `text`: the row of a file that may not be opened. */
  row(name: string, as: 'link' | 'text' = 'link'): Locator {
    const label =
      as === 'link'
        ? this.page.getByRole('link', { name, exact: true })
        : this.page.locator('.name').getByText(name, { exact: true });
    return this.page.getByRole('row').filter({ has: label });
  }

  /** Names on the screen, in order. */
  names(): Promise<string[]> {
    return this.page.locator('[role=row] .name').allTextContents();
  }

  async openFolder(name: string): Promise<void> {
    await this.row(name).getByRole('link', { name, exact: true }).click();
    await this.page
      .getByRole('navigation', { name: 'Folder path' })
      .locator('[aria-current=page]', { hasText: name })
      .waitFor();
  }

  async upload(files: readonly { name: string; content: string | Buffer }[]): Promise<void> {
    await this.page.locator('main ~ input[type=file]:not([webkitdirectory])').setInputFiles(
      files.map(({ name, content }) => ({
        name,
        mimeType: 'application/octet-stream',
        buffer: Buffer.from(content),
      })),
    );
  }

  /** Drops files onto the list, as from the desktop. `ontoFolder`: onto that row. */
  async drop(files: readonly { name: string; content: string }[], ontoFolder?: string): Promise<void> {
    const target = ontoFolder === undefined ? this.page.locator('#content') : this.row(ontoFolder);
    await this.dropOn(target, files);
  }

  async dropOn(target: Locator, files: readonly { name: string; content: string }[]): Promise<void> {
    const data = await this.#transfer(files);
    for (const type of ['dragenter', 'dragover', 'drop'])
      await target.dispatchEvent(type, { dataTransfer: data });
  }

  /** Drops files and folders of this machine onto the list, as the desktop does it. */
  async dropFromDisk(files: readonly string[]): Promise<void> {
    const box = await this.page.locator('#content').boundingBox();
    if (box === null) throw new Error('nowhere to drop');
    const desktop = await this.page.context().newCDPSession(this.page);
    const data = { items: [], files: [...files], dragOperationsMask: 1 };
    const [x, y] = [box.x + box.width / 2, box.y + box.height - 40];
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
      await desktop.send('Input.dispatchDragEvent', { type, x, y, data });
    await desktop.detach();
  }

  /** A finger held on something until the page has noticed. */
  async longPress(target: Locator): Promise<void> {
    const box = await target.boundingBox();
    if (box === null) throw new Error('nothing to press');
    const finger = await this.page.context().newCDPSession(this.page);
    const touchPoints = [{ x: box.x + box.width / 2, y: box.y + box.height / 2 }];
    await finger.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints });
    await this.page.getByRole('toolbar').waitFor();
    await finger.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    await finger.detach();
  }

  /** Pastes files, as copied on the desktop. */
  async paste(files: readonly { name: string; content: string }[], into = 'body'): Promise<void> {
    await this.page.locator(into).evaluate(
      (target: EventTarget, clipboardData) => {
        target.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
      },
      await this.#transfer(files),
    );
  }

  #transfer(files: readonly { name: string; content: string }[]): Promise<JSHandle<object>> {
    return this.page.evaluateHandle((list) => {
      const transfer = new DataTransfer();
      for (const { name, content } of list) transfer.items.add(new File([content], name));
      return transfer;
    }, files);
  }

  /** What a screen reader says from now on, besides what has the focus. */
  async listen(): Promise<() => Promise<string[]>> {
    await this.page.evaluate(`{
      const region = document.querySelector('.visually-hidden[aria-live=polite]');
      globalThis.heard = [];
      new MutationObserver(() => globalThis.heard.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
    }`);
    return () => this.page.evaluate('globalThis.heard');
  }

  async download(name: string): Promise<Buffer> {
    return this.saved(() => this.chooseAction(name, 'Download'));
  }

  /** What the browser saves because of `act`. */
  async saved(act: () => Promise<void>): Promise<Buffer> {
    const [download] = await Promise.all([this.page.waitForEvent('download'), act()]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }

  async createFolder(name: string): Promise<void> {
    await this.page.getByRole('button', { name: 'New folder' }).click();
    await this.page.getByLabel('Name of the folder').fill(name);
    await this.page.getByRole('button', { name: 'Create' }).click();
    await this.row(name).waitFor();
  }

  async chooseAction(
    name: string,
    action: 'Open' | 'Download' | 'Rename' | 'Move' | 'Copy' | 'Delete',
  ): Promise<void> {
    await this.openActions(name);
    await this.page.getByRole('menuitem', { name: action, exact: true }).click();
  }

  openActions(name: string): Promise<void> {
    return this.row(name)
      .getByRole('button', { name: `Actions for ${name}` })
      .click();
  }

  async rename(from: string, to: string): Promise<void> {
    await this.chooseAction(from, 'Rename');
    const field = this.page.getByLabel(`New name for ${from}`);
    await field.fill(to);
    await field.press('Enter');
    await this.row(to).waitFor();
  }

  async remove(name: string): Promise<void> {
    await this.chooseAction(name, 'Delete');
    await this.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await this.row(name).waitFor({ state: 'detached' });
  }

  // — two-factor set-up —

  /** From User options up to the picture. */
  async startSetup(): Promise<void> {
    await this.open('/options');
    await this.page.getByRole('button', { name: 'Set up two-factor authentication' }).click();
    await this.showQr();
  }

  async showQr(): Promise<void> {
    await this.page.getByRole('button', { name: 'Ready to scan' }).click();
    await this.qr().waitFor();
  }

  qr(): Locator {
    return this.page.getByRole('img', { name: 'QR code for your authenticator app' });
  }

  /** The secret as a phone would get it: from the picture on the screen. */
  async scanQr(): Promise<string> {
    return secretOfUri(await this.scanScreen());
  }

  /** What a phone reads that is held before the whole screen. */
  async scanScreen(): Promise<string> {
    // Drawn, not only loaded: the screen is what counts.
    await this.qr().scrollIntoViewIfNeeded();
    return readQrCode(await this.page.screenshot());
  }

  /** Confirm, prove; resolves with the recovery codes on the screen. */
  async finishSetup(code: () => string | Promise<string>): Promise<string[]> {
    await this.page.getByRole('button', { name: 'Confirm' }).click();
    await this.page.getByLabel('Verification code').fill(await code());
    await this.page.getByRole('button', { name: 'Finish' }).click();
    const codes = this.page.locator('.recovery-codes li');
    await codes.first().waitFor();
    return codes.allTextContents();
  }

  async leaveSetup(): Promise<void> {
    await this.page.getByLabel('I have stored them').check();
    await this.page.getByRole('button', { name: 'Done' }).click();
    await this.page.getByRole('button', { name: /^Account of/ }).waitFor();
  }
}
