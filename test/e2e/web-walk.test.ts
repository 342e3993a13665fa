import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patienceMs } from '#test/harness/patience.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';
import { buildRandom } from '#test/harness/random.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { WebFlows } from '#test/harness/web-flows.ts';

/**
 * A person who opens, goes back and forth, asks, cancels, confirms, reloads and changes windows without any plan, in
 * folders full of namesakes. After every step main's disk is what it was, but for what the page had said in full that it
 * would change.
 *
 * What is done follows from the seed: WALK_SEED=… vitest run test/e2e/web-walk.test.ts
 */

const stepCount = 200;
const fixedSeed = 20_261_129;
/** 200 steps with up to a few dozen questions to the page each; on a machine that does much else at the same time. */
const walkMs = 1_200_000;

const folderNames = ['archive', '2026', 'drafts'];
const fileNames = ['note.dat', 'plan.dat', 'contract.dat'];

let product: Product;
let browser: WebBrowser;

beforeAll(async () => {
  [product, browser] = await Promise.all([startProduct(), startWebBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await product.close();
});

/** Path of everything of this person → content; of a folder, nothing. */
type Tree = ReadonlyMap<string, string | undefined>;
/** What the page says it will do, as what becomes of a tree. */
type Claim = (tree: Tree) => Tree;

const root = (): string => join(product.site.files.files, 'frank');

async function readTree(folder = ''): Promise<Map<string, string | undefined>> {
  const tree = new Map<string, string | undefined>();
  for (const entry of await readdir(join(root(), folder), { withFileTypes: true })) {
    const path = joined(folder, entry.name);
    if (entry.isDirectory()) {
      tree.set(path, undefined);
      for (const [inner, content] of await readTree(path)) tree.set(inner, content);
    } else tree.set(path, await readFile(join(root(), path), 'utf8'));
  }
  return new Map([...tree].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Two floors of the same names: whoever mixes up folders finds a namesake to harm. */
async function plant(): Promise<void> {
  for (const folder of [
    'walk',
    ...folderNames.flatMap((a) => [`walk/${a}`, ...folderNames.map((b) => `walk/${a}/${b}`)]),
  ]) {
    await mkdir(join(root(), folder), { recursive: true });
    for (const name of fileNames) await writeFile(join(root(), folder, name), `${folder}/${name}`);
  }
}

const sorted = (tree: Map<string, string | undefined>): Tree =>
  new Map([...tree].toSorted(([a], [b]) => (a < b ? -1 : 1)));
const isWithin = (path: string, above: string): boolean => path === above || path.startsWith(`${above}/`);
const removal =
  (...paths: readonly string[]): Claim =>
  (tree) =>
    new Map([...tree].filter(([path]) => !paths.some((above) => isWithin(path, above))));
const creation =
  (made: string, content?: string): Claim =>
  (tree) =>
    sorted(new Map([...tree, [made, content]]));
const transfer =
  (from: string, to: string, keeps: boolean): Claim =>
  (tree) => {
    const moved = new Map(tree);
    for (const [path, content] of tree) {
      if (!isWithin(path, from)) continue;
      if (!keeps) moved.delete(path);
      moved.set(to + path.slice(from.length), content);
    }
    return sorted(moved);
  };
const joined = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`);
function findDifferent(a: Tree, b: Tree): string[] {
  const paths = [...new Set([...a.keys(), ...b.keys()])];
  return paths.filter((path) => a.has(path) !== b.has(path) || a.get(path) !== b.get(path));
}

/** What was refused changed nothing; of several, those before the one that was refused are done. */
function findUnclaimed(before: Tree, claimed: Tree, now: Tree): string[] {
  return findDifferent(before, now).filter((path) => findDifferent(claimed, now).includes(path));
}
/** `Home / walk / archive` → `walk/archive` */
const pathIn = (text: string): string => text.split(' / ').slice(1).join('/');

/**
 * In the page itself, where it is exact: how many calls are out, and a gate that keeps them in. (What a test hears of
 * requests from outside, it hears later.)
 */
const watchCalls = `{
  const calls = { out: 0, gate: undefined };
  globalThis.calls = calls;
  const { fetch } = globalThis;
  globalThis.fetch = async (...call) => {
    calls.out += 1;
    try {
      await calls.gate;
      const answer = await fetch(...call);
      await answer.clone().arrayBuffer();
      return answer;
    } finally {
      calls.out -= 1;
    }
  };
}`;
/** What an answer leads to is drawn, and asked, by the second frame. */
const callsOut =
  'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(calls.out))))';

/** One window, and what is under way in it. */
class Walker {
  readonly page: Page;
  readonly #flows: WebFlows;

  constructor(page: Page) {
    this.page = page;
    this.#flows = new WebFlows(page, product.site.https);
  }

  async open(signsIn: boolean): Promise<void> {
    await this.#flows.open('/files/walk');
    if (signsIn) await this.#flows.signIn('frank', product.password('frank'));
    await this.settle();
  }

  /** This window comes before the other, whose page then draws once a second. What is old in it is read again. */
  async look(): Promise<void> {
    await this.page.bringToFront();
    await this.settle();
  }

  get dialog(): Locator {
    return this.page.getByRole('dialog');
  }

  /** In one look: between two the dialog may close. */
  async view(): Promise<string | undefined> {
    return this.page.evaluate('document.querySelector("dialog")?.dataset.view');
  }

  /** The page shows a folder, or says why it can't, and nothing is being asked or changed, nor about to be. */
  async settle(): Promise<void> {
    await waitUntil(async () => {
      await this.page.locator('.file-grid, .blank').first().waitFor();
      return (await this.page.evaluate(callsOut)) === 0;
    }, patienceMs);
  }

  place(): string {
    return decodeURIComponent(new URL(this.page.url()).pathname.replace(/^\/files\/?/, ''));
  }

  /** Where the page says it is. */
  async shownPath(): Promise<string> {
    const names = await this.page.locator('.breadcrumbs li').allTextContents();
    return names.slice(1).join('/');
  }

  async rows(kind: 'folder' | 'any'): Promise<string[]> {
    return this.page
      .locator(kind === 'folder' ? '.file-row-folder .name' : '.file-row .name')
      .allTextContents();
  }

  async mark(): Promise<{ at: number; cover: boolean }> {
    return (await this.page.evaluate('history.state')) as { at: number; cover: boolean };
  }

  async menu(name: string, action: string): Promise<boolean> {
    await this.page.getByRole('button', { name: `Actions for ${name}`, exact: true }).click();
    const item = this.page.getByRole('menuitem', { name: action, exact: true });
    await this.page.getByRole('menuitem').first().waitFor();
    if ((await item.count()) > 0) {
      await item.click();
      return true;
    }
    await this.page.keyboard.press('Escape');
    return false;
  }

  /** Meanwhile nothing reaches the server. */
  async withoutAnswer(act: () => Promise<unknown>): Promise<void> {
    await this.page.evaluate('void (calls.gate = new Promise((open) => (calls.open = open)))');
    await act();
    await this.page.locator('dialog').waitFor({ state: 'detached' });
    await this.page.evaluate('calls.gate = calls.open()');
  }

  /** The paths a question names. */
  async named(): Promise<string[]> {
    return (await this.dialog.locator('.dialog-places .full-path').allTextContents()).map(pathIn);
  }

  /** A failure or objection is on the screen. */
  async complains(): Promise<boolean> {
    return (
      (await this.page
        .locator('.notice-failure, dialog [role=alert], .rename-error, .upload-failed')
        .count()) > 0
    );
  }

  /** Resolves when all that it led to is on the screen. */
  async step(random: Random, number: number): Promise<Step | undefined> {
    await this.clearMessages();
    const done = await walk(this, random, number);
    await this.settle();
    return done;
  }

  async clearMessages(): Promise<void> {
    for (const label of ['Dismiss', 'Clear list']) {
      const button = this.page.getByRole('button', { name: label });
      if ((await button.count()) > 0 && (await this.view()) === undefined) await button.first().click();
    }
  }
}

/** What a step did, for the report of a failure, and what it claimed to change. */
interface Step {
  readonly did: string;
  readonly claim?: Claim;
}
type Random = (below: number) => number;

async function walk(walker: Walker, random: Random, step: number): Promise<Step | undefined> {
  const pick = <T>(from: readonly T[]): T | undefined => from[random(from.length)];
  const view = await walker.view();
  if (view !== undefined) return answer(walker, view, random, pick);
  const { at, cover } = await walker.mark();
  const action = pick([
    'enter',
    'enter',
    'up',
    'back',
    'forward',
    'reload',
    'delete',
    'delete',
    'move',
    'copy',
    'rename',
    'new-folder',
    'drop',
  ] as const);
  const path = await walker.shownPath();
  const rows = await walker.rows('any');
  switch (action) {
    case 'enter': {
      const name = pick(await walker.rows('folder'));
      if (name === undefined) return undefined;
      await walker.page.locator('.file-row-folder').getByRole('link', { name, exact: true }).click();
      await expect.poll(() => walker.place()).toBe(joined(path, name));
      return { did: `entered ${name}` };
    }
    case 'up': {
      const crumb = pick(path.split('/').slice(0, -1));
      if (crumb === undefined) return undefined;
      // The path gives way to what can be done with a selection.
      const clear = walker.page.getByRole('button', { name: 'Clear selection' });
      if (await clear.isVisible()) await clear.click();
      await walker.page
        .locator('.breadcrumbs')
        .getByRole('link', { name: crumb, exact: true })
        .first()
        .click();
      return { did: `went up to ${crumb}` };
    }
    case 'back': {
      const steps = cover ? 2 : 1;
      // One step more would be the page before this client.
      if (at - steps < 0) return undefined;
      await walker.page.goBack();
      await expect.poll(async () => (await walker.mark()).at).toBe(at - steps);
      return { did: 'went back' };
    }
    case 'forward':
      await walker.page.goForward();
      return { did: 'went forward' };
    case 'reload':
      await walker.page.reload();
      return { did: 'reloaded' };
    case 'delete': {
      const name = pick(rows);
      if (name === undefined) return undefined;
      if (random(3) > 0) return { did: `asked to delete ${name}: ${await walker.menu(name, 'Delete')}` };
      // Several at once.
      await walker.page.getByRole('checkbox', { name: 'Select all' }).check();
      await walker.page.getByRole('toolbar').getByRole('button', { name: 'Delete' }).click();
      return { did: 'asked to delete all' };
    }
    case 'move':
    case 'copy': {
      const name = pick(rows);
      if (name === undefined) return undefined;
      const label = action === 'move' ? 'Move' : 'Copy';
      return { did: `asked to ${action} ${name}: ${await walker.menu(name, label)}` };
    }
    case 'rename': {
      const name = pick(rows);
      if (name === undefined || !(await walker.menu(name, 'Rename'))) return undefined;
      const isFolder = (await walker.rows('folder')).includes(name);
      const next = random(2) === 0 ? (pick(isFolder ? folderNames : fileNames) ?? '') : `${name} ${step}`;
      await walker.page.getByLabel(`New name for ${name}`, { exact: true }).fill(next);
      if (random(4) === 0) {
        await walker.page.keyboard.press('Escape');
        return { did: `did not rename ${name}` };
      }
      await walker.page.keyboard.press('Enter');
      const field = walker.page.locator('.rename');
      await expect
        .poll(async () => (await field.count()) === 0 || (await walker.complains()), { timeout: patienceMs })
        .toBe(true);
      if ((await field.count()) > 0) {
        await walker.page.keyboard.press('Escape');
        return { did: `was refused ${joined(path, next)}` };
      }
      return {
        did: `renamed ${joined(path, name)} to ${next}`,
        claim: transfer(joined(path, name), joined(path, next), false),
      };
    }
    case 'new-folder': {
      const button = walker.page.getByRole('button', { name: 'New folder' });
      if (!(await button.isVisible())) return undefined;
      await button.click();
      return { did: 'asked for a new folder' };
    }
    case 'drop': {
      if (!(await walker.page.getByRole('button', { name: 'Upload', exact: true }).isVisible()))
        return undefined;
      const name = `dropped ${step}.dat`;
      await new WebFlows(walker.page, product.site.https).drop([{ name, content: name }]);
      await walker.page.locator('.upload-done, .upload-failed').first().waitFor();
      return { did: `dropped ${joined(path, name)}`, claim: creation(joined(path, name), name) };
    }
    case undefined:
      return undefined;
  }
}

/** A question is open: answered, given up, or left by going back. */
async function answer(
  walker: Walker,
  view: string,
  random: Random,
  pick: <T>(from: readonly T[]) => T | undefined,
): Promise<Step> {
  const before = walker.place();
  const leave = async (): Promise<Step> => {
    if (random(2) === 0) await walker.page.keyboard.press('Escape');
    else await walker.page.goBack();
    await walker.page.locator('dialog').waitFor({ state: 'detached' });
    expect(walker.place()).toBe(before);
    return { did: `left the question ${view}` };
  };
  if (random(3) === 0) return leave();
  switch (view) {
    case 'delete': {
      const paths = await walker.named();
      const submit = walker.dialog.getByRole('button', { name: 'Delete', exact: true });
      // Gone before the answer came: the question is, not what was asked.
      if (random(3) === 0) await walker.withoutAnswer(() => submit.click().then(() => walker.page.goBack()));
      else await submit.click();
      await walker.page.locator('dialog').waitFor({ state: 'detached' });
      return { did: `deleted ${paths.join(', ')}`, claim: removal(...paths) };
    }
    case 'new-folder': {
      const parent = pathIn((await walker.dialog.locator('.full-path').textContent()) ?? '');
      const name = pick(folderNames) ?? '';
      await walker.dialog.getByRole('textbox').fill(name);
      await walker.dialog.getByRole('button', { name: 'Create' }).click();
      await expect
        .poll(async () => (await walker.view()) === undefined || (await walker.complains()), {
          timeout: patienceMs,
        })
        .toBe(true);
      if ((await walker.view()) !== undefined) return leave();
      return { did: `made ${joined(parent, name)}`, claim: creation(joined(parent, name)) };
    }
    case 'move': {
      const target = walker.dialog.locator('.picker-path button');
      const inner = walker.dialog.locator('.picker-list button:enabled');
      await walker.dialog.locator('.picker-list:not([aria-busy=true])').waitFor();
      // Into a folder of those shown, out of this one, or here.
      const way = random(4);
      if (way === 0 && (await inner.count()) > 0) {
        await inner.nth(random(await inner.count())).click();
        return { did: 'chose a folder to move to' };
      }
      if (way === 1 && (await target.count()) > 2) {
        await target.nth((await target.count()) - 2).click();
        return { did: 'went up in the picker' };
      }
      const submit = walker.dialog.getByRole('button', { name: / here$/ });
      if (await submit.isDisabled()) return leave();
      const keeps = ((await submit.textContent()) ?? '').startsWith('Copy');
      const [from] = await walker.named();
      const into = (await target.allTextContents()).slice(1).join('/');
      const to = [into, from?.split('/').at(-1) ?? ''].filter((part) => part !== '').join('/');
      await submit.click();
      await expect
        .poll(async () => (await walker.view()) ?? '', { timeout: patienceMs })
        .not.toMatch(/^move$|^move-working$/);
      if ((await walker.view()) === 'move-conflict') {
        expect(pathIn((await walker.dialog.locator('.dialog-place .full-path').textContent()) ?? '')).toBe(
          to,
        );
        await walker.dialog.getByRole('button', { name: 'Skip' }).click();
        await walker.page.locator('dialog').waitFor({ state: 'detached' });
        return { did: `left ${to} as it was` };
      }
      return {
        did: `${keeps ? 'copied' : 'moved'} ${from ?? ''} to ${to}`,
        claim: transfer(from ?? '', to, keeps),
      };
    }
    default:
      return leave();
  }
}

async function check(seed: number): Promise<Readonly<Record<string, number>>> {
  await plant();
  const random = buildRandom(seed);
  const first = await browser.visit({ ignoreHTTPSErrors: true, reducedMotion: 'reduce' });
  await first.context().addInitScript(watchCalls);
  const walkers = [first, await first.context().newPage()].map((page) => {
    page.setDefaultTimeout(patienceMs);
    return new Walker(page);
  });
  for (const [index, walker] of walkers.entries()) await walker.open(index === 0);
  await walkers[0]?.look();
  const counts = { changes: 0, steps: 0 };
  const story: string[] = [];
  let tree: Tree = await readTree();
  let at = 0;
  // What can't be done where one is just then is no step.
  for (let step = 0; counts.steps < stepCount && step < 2 * stepCount; step += 1) {
    const isElsewhere = random(8) === 0;
    if (isElsewhere) at = 1 - at;
    const walker = walkers[at];
    if (walker === undefined) break;
    if (isElsewhere) await walker.look();
    const done = await walker.step(random, step).catch(async (cause: unknown) => {
      const shown = await walker.page.evaluate('document.body.innerText + calls.out');
      throw new Error(`stuck after seed ${seed}\n${story.slice(-12).join('\n')}\n${String(shown)}`, {
        cause,
      });
    });
    if (done === undefined) continue;
    story.push(`${step} in window ${at}: ${done.did}`);
    counts.steps += 1;
    const now = sorted(await readTree());
    const claimed = done.claim?.(tree) ?? tree;
    const what = `seed ${seed}\n${story.slice(-12).join('\n')}`;
    const isRefused = done.claim !== undefined && (await walker.complains());
    expect(isRefused ? findUnclaimed(tree, claimed, now) : findDifferent(claimed, now), what).toEqual([]);
    if (done.claim !== undefined && !isRefused) counts.changes += 1;
    tree = now;
    if (tree.size < 12) {
      await plant();
      tree = sorted(await readTree());
    }
  }
  await first.context().close();
  return counts;
}

describe('a walk without a plan, in two windows', () => {
  const seeds = [
    fixedSeed,
    ...(process.env['WALK_SEED'] === undefined ? [] : [Number(process.env['WALK_SEED'])]),
  ];
  for (const seed of seeds) {
    it(
      `changes nothing on main's disk but what the page said in full (seed ${seed})`,
      { timeout: walkMs },
      async () => {
        const counts = await check(seed);
        process.stdout.write(`walk ${seed}: ${JSON.stringify(counts)}\n`);
        expect(browser.complaints.splice(0)).toEqual([]);
        expect(counts['changes']).toBeGreaterThan(10);
      },
    );
  }
});
