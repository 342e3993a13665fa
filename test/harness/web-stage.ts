import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { de } from '#dmz/web/i18n/de.ts';
import { en, type Catalogue } from '#dmz/web/i18n/en.ts';
import type { Language } from '#dmz/web/i18n/language.ts';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import type { FakeNode } from '#test/dmz/web/fake-node.ts';
import { aliceSecret, password, resetSite } from '#test/dmz/web/fake-site.ts';
import { desktop, phone, type WebBrowser } from './web-browser.ts';
import type { Scene } from './web-scenes.ts';
import { patienceMs } from './patience.ts';

/** The page's own constructor, for code that runs in it; this side of the tests has no DOM types. */
declare const DataTransfer: new () => { readonly items: { add(file: File): void } };

/** What a person does on the way to a scene, in the words of any language. */
export class Stage {
  readonly page: Page;
  readonly node: FakeNode;
  readonly words: Catalogue;
  readonly isPhone: boolean;
  readonly #props: Props;

  constructor(page: Page, node: FakeNode, words: Catalogue, isPhone: boolean, props: Props) {
    this.page = page;
    this.node = node;
    this.words = words;
    this.isPhone = isPhone;
    this.#props = props;
  }

  // — what is to be seen —

  /** A part of the client by its `data-view`. */
  async see(view: string): Promise<void> {
    await this.page.locator(`[data-view="${view}"]`).filter({ visible: true }).first().waitFor();
  }

  async text(text: string | RegExp, how: 'whole' | 'part' = 'whole'): Promise<void> {
    await this.page
      .getByText(text, { exact: how === 'whole' })
      .filter({ visible: true })
      .first()
      .waitFor();
  }

  async alert(): Promise<void> {
    await this.page.getByRole('alert').first().waitFor();
  }

  async listed(name: string): Promise<void> {
    await this.#row(name).waitFor();
  }

  #row(name: string): Locator {
    return this.page.getByRole('row').filter({ has: this.page.getByRole('link', { name, exact: true }) });
  }

  // — signing in and out —

  async submitPassword(username: string, typed = password): Promise<void> {
    await this.page.getByLabel(this.words.signIn.username).fill(username);
    await this.page.getByLabel(this.words.signIn.password, { exact: true }).fill(typed);
    await this.press(this.words.signIn.submit);
  }

  async typeCode(code: string): Promise<void> {
    await this.page.locator('input[name=code]').fill(code);
  }

  async signIn(username: string): Promise<void> {
    await this.submitPassword(username);
    if (username === 'alice') {
      await this.text(this.words.code.fromApp);
      await this.typeCode(new Authenticator(aliceSecret).now());
      await this.press(this.words.code.submit);
    }
    await this.page.locator('.app, [data-view=two-factor-setup]').first().waitFor();
  }

  async signInByRecovery(): Promise<void> {
    await this.submitPassword('alice');
    await this.press(this.words.code.useRecovery);
    await this.typeCode('ABCD-EFGH-JKLM-NPQR');
    await this.press(this.words.code.submit);
  }

  async signOut(): Promise<void> {
    await this.page.locator('.account-button').click();
    await this.item(this.words.header.signOut);
    await this.see('sign-in');
  }

  /** The same person in another window of the same browser. */
  async openBeside(): Promise<Stage> {
    const page = await this.page.context().newPage();
    await page.goto(this.page.url());
    return new Stage(page, this.node, this.words, this.isPhone, this.#props);
  }

  // — buttons, menus, files —

  async press(label: string): Promise<void> {
    await this.page
      .getByRole('button', { name: label, exact: true })
      .filter({ visible: true })
      .last()
      .click();
  }

  async item(label: string): Promise<void> {
    await this.page.getByRole('menuitem', { name: label, exact: true }).click();
  }

  async choose(name: string, action: string): Promise<void> {
    await this.press(this.words.files.more(name));
    await this.item(action);
  }

  async select(name: string): Promise<void> {
    await this.page.getByLabel(this.words.files.select(name), { exact: true }).check();
    await this.page.mouse.move(0, 0);
  }

  /** Into a folder, without waiting for what is in it. */
  async enter(name: string): Promise<void> {
    await this.#row(name).getByRole('link', { name, exact: true }).click();
  }

  dialogButton(name: string): Locator {
    return this.page.getByRole('dialog').getByRole('button', { name, exact: true });
  }

  async addFolder(): Promise<void> {
    if (this.isPhone) {
      await this.press(this.words.files.add);
      await this.item(this.words.files.newFolder);
    } else await this.press(this.words.files.newFolder);
  }

  async upload(...names: string[]): Promise<void> {
    await this.listed('offer.pdf');
    await this.page.locator('main ~ input[type=file]:not([webkitdirectory])').setInputFiles(
      names.map((name) => ({
        name,
        mimeType: 'application/octet-stream',
        buffer: Buffer.alloc(120_000),
      })),
    );
  }

  /** A file from the desktop, held over the page. */
  async holdOver(selector: string): Promise<void> {
    await this.listed('offer.pdf');
    const data = await this.page.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(['a'], 'a.txt'));
      return transfer;
    });
    for (const type of ['dragenter', 'dragover'])
      await this.page.locator(selector).dispatchEvent(type, { dataTransfer: data });
  }

  // — account and set-up —

  /** Password and code, then the form's own button. */
  async stepUp(submit: string): Promise<void> {
    const form = this.page.locator('.step-up');
    await form.getByLabel(this.words.stepUp.password).fill(password);
    if ((await form.locator('input[name=code]').count()) > 0) await this.typeCode('123456');
    await form.getByRole('button', { name: submit }).click();
  }

  async finishSetup(): Promise<void> {
    await this.press(this.words.setup.readySubmit);
    const secret = (await this.page.locator('.secret').textContent()) ?? '';
    await this.press(this.words.setup.confirm);
    await this.typeCode(new Authenticator(secret.replaceAll(' ', '')).now());
    await this.press(this.words.setup.proveSubmit);
  }

  // — what goes wrong behind the page —

  holdListings(): void {
    this.node.listingGate = this.#props.hold();
  }

  /** For good, in this window. */
  async holdAccount(): Promise<void> {
    await this.page.route('**/api/me', () => undefined);
  }

  holdUploads(): void {
    this.node.uploadGate = this.#props.hold();
  }

  holdDownloads(): void {
    this.node.downloadGate = this.#props.hold();
  }

  async failListing(status: number): Promise<void> {
    await this.listed(this.page.url().includes('Projects') ? '2026' : 'offer.pdf');
    this.node.nextListingStatus = status;
    await this.page.reload();
  }
}

/** What a scene holds up, until the next one begins. */
class Props {
  readonly #releases: (() => void)[] = [];

  hold(): Promise<void> {
    return new Promise((resolve) => this.#releases.push(resolve));
  }

  release(): void {
    for (const release of this.#releases.splice(0)) release();
  }
}

const catalogues: Readonly<Record<Language, Catalogue>> = { en, de };
const locales: Readonly<Record<Language, string>> = { en: 'en-GB', de: 'de-DE' };

/** Plays scenes on one device and in one language. A person stays signed in from one scene to the next. */
export class ScenePlayer {
  readonly device: 'desktop' | 'phone';
  readonly #browser: WebBrowser;
  readonly #site: { readonly node: FakeNode; readonly baseUrl: string };
  readonly #language: Language;
  readonly #prepare: (page: Page) => Promise<void>;
  readonly #props = new Props();
  #window: { readonly page: Page; readonly as: string | undefined } | undefined;

  constructor(
    browser: WebBrowser,
    site: { readonly node: FakeNode; readonly baseUrl: string },
    device: 'desktop' | 'phone',
    language: Language,
    /** Of each visitor's page, before it shows anything. */
    prepare: (page: Page) => Promise<void> = () => Promise.resolve(),
  ) {
    this.#prepare = prepare;
    this.#browser = browser;
    this.#site = site;
    this.device = device;
    this.#language = language;
  }

  /** False: there is no such thing on this device. */
  plays(scene: Scene): boolean {
    return scene.only === undefined || scene.only === this.device;
  }

  /** Resolves when everything the scene shows is on the screen. */
  async play(scene: Scene): Promise<Page> {
    const { node, baseUrl } = this.#site;
    // What the last scene began must not end in this one.
    await this.#window?.page.goto('about:blank');
    this.#props.release();
    await node.settle();
    resetSite(node);
    if (this.#window?.as !== scene.as || scene.clock === true) await this.close();
    const page = this.#window?.page ?? (await this.#visit());
    await page.emulateMedia({ colorScheme: null });
    if (scene.clock === true) await page.clock.install();
    // A sign-in that the last scene left half-way would go on in this one.
    if (scene.as === undefined) await page.context().clearCookies();
    const isNew = this.#window === undefined;
    this.#window = { page, as: scene.clock === true || scene.spoils === true ? 'spoiled' : scene.as };
    const words = catalogues[this.#language];
    const stage = new Stage(page, node, words, this.device === 'phone', this.#props);
    await page.goto(new URL(scene.at ?? '/', baseUrl).href);
    if (isNew && scene.as !== undefined) await stage.signIn(scene.as);
    if (scene.as === undefined && scene.at === undefined) await stage.see('sign-in');
    await scene.play?.(stage);
    for (const view of scene.shows) await stage.see(view);
    return page;
  }

  /** What people called their files, folders and themselves in this scene; a number may be part of a date. */
  names(): string[] {
    const { folders, bin, users } = this.#site.node;
    const names = [...folders.names(), ...bin.flatMap(({ path, by }) => [...path, by]), ...users.keys()];
    return names.filter((name) => !/^\d+$/.test(name));
  }

  async close(): Promise<void> {
    await this.#window?.page.context().close();
    this.#window = undefined;
  }

  async #visit(): Promise<Page> {
    const onPhone: BrowserContextOptions = { viewport: phone, hasTouch: true, isMobile: true };
    const page = await this.#browser.visit({
      ...(this.device === 'phone' ? onPhone : { viewport: desktop }),
      locale: locales[this.#language],
      reducedMotion: 'reduce',
      serviceWorkers: 'block',
    });
    page.setDefaultTimeout(patienceMs);
    await this.#prepare(page);
    return page;
  }
}
