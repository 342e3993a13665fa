import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { desktop, phone } from './web-browser.ts';

/** What every page must stand in whatever state it is in. */

/** WCAG 2.2, 1.4.10: what must do without scrolling sideways. */
export const narrowest = { width: 320, height: 640 };
/** 1.4.4: a desktop at 200 %, which halves its CSS pixels. */
const zoomed = { width: desktop.width / 2, height: desktop.height / 2 };

/** Every document of the visitor has axe from the start: what is not read again for each does not cost a second each. */
export async function bringAxe(page: Page): Promise<void> {
  await page.context().addInitScript(`if (location.protocol !== 'about:') {${axe.source}}`);
}

/** What axe finds in both themes. The dark one differs in colours only, so only those are looked at again. */
export async function findViolations(page: Page): Promise<string[]> {
  const found: string[] = [];
  if (!(await page.evaluate('"axe" in globalThis'))) await page.evaluate(axe.source);
  const run = async (colorScheme: 'light' | 'dark', options: axe.RunOptions): Promise<void> => {
    await page.emulateMedia({ colorScheme });
    const { violations } = (await page.evaluate(`axe.run(${JSON.stringify(options)})`)) as axe.AxeResults;
    for (const { id, nodes } of violations)
      found.push(`${id} (${colorScheme}) at ${nodes.map(({ html }) => html).join(' , ')}`);
  };
  await run('light', { resultTypes: ['violations'] });
  await run('dark', { resultTypes: ['violations'], runOnly: ['color-contrast', 'link-in-text-block'] });
  await page.emulateMedia({ colorScheme: null });
  return found;
}

/** `width`: the window's own; where a page is too wide, a phone's innerWidth grows with it. */
const cutOffNow = (width: number): string => `(() => {
  const cut = [];
  const describe = (element) => element.outerHTML.slice(0, 120);
  for (const element of document.querySelectorAll('body *')) {
    if (!element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest('.visually-hidden, svg, .skip-link') !== null) continue;
    const { left, right, width } = element.getBoundingClientRect();
    if (width === 0) continue;
    // What can be scrolled to, or ends in three dots on purpose with its whole text at hand, is not cut off.
    let box = element;
    let scrolls = false;
    while ((box = box.parentElement) !== null && !scrolls) {
      const { overflowX, textOverflow } = getComputedStyle(box);
      scrolls = overflowX === 'auto' || overflowX === 'scroll' || textOverflow === 'ellipsis';
    }
    if (!scrolls && (left < -1 || right > ${width} + 1)) cut.push('over the side: ' + describe(element));
    const { overflowX, textOverflow } = getComputedStyle(element);
    if (overflowX === 'hidden' && textOverflow !== 'ellipsis' && element.scrollWidth > element.clientWidth + 1)
      cut.push('hidden: ' + describe(element));
    if (element.matches('button') && element.scrollWidth > element.clientWidth + 1)
      cut.push('over its button: ' + describe(element));
  }
  return cut;
})()`;

const translatableNow = (names: readonly string[]): string => `(() => {
  const names = ${JSON.stringify(names)}.map((name) =>
    new RegExp('(?<![\\\\p{L}\\\\p{N}])' + RegExp.escape(name) + '(?![\\\\p{L}\\\\p{N}])', 'u'));
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (parentElement?.closest('[translate=no], pre') !== null || !names.some((name) => name.test(data))) continue;
    found.push('translatable: ' + data + ' in ' + parentElement.outerHTML.slice(0, 200));
  }
  return found;
})()`;

/** Names that the browser's translation would take for words. A text that is shown is its reader's to translate. */
export async function findTranslatable(page: Page, names: readonly string[]): Promise<string[]> {
  return (await page.evaluate(translatableNow(names))) as string[];
}

/** Everything visible that reaches over the window's sides, or over those of a box that hides what reaches over. */
export async function findCutOff(page: Page): Promise<string[]> {
  return (await page.evaluate(cutOffNow(page.viewportSize()?.width ?? desktop.width))) as string[];
}

/** On a desktop and on a phone. */
export async function expectNoViolations(page: Page): Promise<void> {
  const found: string[] = [];
  // A colour on its way to another has no contrast to speak of.
  await page.emulateMedia({ reducedMotion: 'reduce' });
  for (const viewport of [phone, desktop]) {
    await page.setViewportSize(viewport);
    found.push(...(await findViolations(page)));
  }
  expect(found).toEqual([]);
}

/** In the narrowest window, and at 200 % on a desktop, where it ends. */
export async function expectNothingCutOff(page: Page): Promise<void> {
  const found: string[] = [];
  for (const viewport of [narrowest, zoomed]) {
    await page.setViewportSize(viewport);
    found.push(...(await findCutOff(page)));
  }
  await page.setViewportSize(desktop);
  expect(found).toEqual([]);
}
