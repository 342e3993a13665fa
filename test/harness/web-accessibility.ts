import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { desktop, phone } from './web-browser.ts';

/** What every page must stand, in the state it is in: the checks leave it as they found it, on a desktop. */

/** axe finds nothing, in both themes, on desktop and phone. */
export async function expectNoViolations(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const found: string[] = [];
  for (const viewport of [desktop, phone])
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults;
      for (const { id, nodes } of violations)
        found.push(`${colorScheme} ${viewport.width}: ${id} at ${nodes.map(({ html }) => html).join(' , ')}`);
    }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  await page.setViewportSize(desktop);
  expect(found).toEqual([]);
}

/** WCAG 2.2, 1.4.10 and 1.4.4: the narrowest window, and a desktop's at 200 % zoom, which halves its CSS pixels. */
const narrow = { '320 px': { width: 320, height: 640 }, '200 %': { width: 640, height: 400 } };

/** Elements that reach out of the window sideways and can't be scrolled into it by themselves. */
const findCutOff = `(() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => {
    for (let at = element; at !== null; at = at.parentElement)
      if (/auto|scroll|hidden|clip/.test(getComputedStyle(at).overflowX) && at !== document.documentElement) return true;
    return false;
  };
  const found = [];
  if (document.documentElement.scrollWidth > width) found.push('the page itself scrolls sideways');
  for (const element of document.querySelectorAll('button, input, a, p, h1, h2, dialog, section, li, progress, img, code')) {
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if ((box.right > width + 1 || box.left < -1) && !scrolls(element.parentElement)) found.push(element.outerHTML.slice(0, 120));
  }
  return found;
})()`;

/** Nothing is cut off sideways at 320 px, nor at 200 % zoom. */
export async function expectNothingCutOff(page: Page): Promise<void> {
  const found: Record<string, unknown> = {};
  for (const [name, viewport] of Object.entries(narrow)) {
    await page.setViewportSize(viewport);
    found[name] = await page.evaluate(findCutOff);
  }
  await page.setViewportSize(desktop);
  expect(found).toEqual({ '320 px': [], '200 %': [] });
}
