import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildWebClient, startFakeSite } from '#test/dmz/web/fake-site.ts';
import { listFiles, readText } from '#test/repo/source-tree.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { scenes } from '#test/harness/web-scenes.ts';
import { ScenePlayer } from '#test/harness/web-stage.ts';

/**
 * Every scene of the web client, on a desktop in English and on a phone in German (whose words are the longest): axe
 * finds nothing in either theme, and nothing is cut off sideways in the narrowest window.
 */

/** WCAG 2.2, 1.4.10: what must do without scrolling sideways. */
const narrow = { width: 320, height: 640 };

let browser: WebBrowser;
let players: readonly ScenePlayer[];
let stop: () => Promise<void>;

beforeAll(async () => {
  browser = await startWebBrowser();
  // Each device has a server of its own, so that both play at once.
  const dist = await buildWebClient();
  const sites = [await startFakeSite(dist), await startFakeSite(dist)] as const;
  players = [
    new ScenePlayer(browser, sites[0], 'desktop', 'en'),
    new ScenePlayer(browser, sites[1], 'phone', 'de'),
  ];
  stop = async () => {
    await browser.close();
    await Promise.all(sites.map(({ node }) => node.stop()));
  };
});
afterAll(() => stop());

/** What axe finds in both themes. The dark one differs in colours only, so only those are looked at again. */
async function findViolations(page: Page): Promise<string[]> {
  const found: string[] = [];
  await page.evaluate(axe.source);
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

/** Everything visible that reaches over the window's sides, or over those of a box that hides what reaches over. */
const findCutOff = `(() => {
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
    if (!scrolls && (left < -1 || right > innerWidth + 1)) cut.push('over the side: ' + describe(element));
    const { overflowX, textOverflow } = getComputedStyle(element);
    if (overflowX === 'hidden' && textOverflow !== 'ellipsis' && element.scrollWidth > element.clientWidth + 1)
      cut.push('hidden: ' + describe(element));
  }
  return cut;
})()`;

describe('every scene', () => {
  for (const [name, scene] of Object.entries(scenes))
    it(`${name}: accessible in both themes, whole in a narrow window`, async () => {
      const played = await Promise.all(
        players
          .filter((player) => player.plays(scene))
          .map(async (player) => {
            const page = await player.play(scene);
            const violations = await findViolations(page);
            const before = page.viewportSize();
            if (player.device === 'desktop' || before === null) return { violations, cutOff: [] };
            await page.setViewportSize(narrow);
            const cutOff = (await page.evaluate(findCutOff)) as string[];
            await page.setViewportSize(before);
            return { violations, cutOff };
          }),
      );
      expect(played.flatMap(({ violations }) => violations)).toEqual([]);
      expect(played.flatMap(({ cutOff }) => cutOff)).toEqual([]);
      // Such as violations of its content security policy.
      expect(browser.complaints.splice(0)).toEqual([]);
    });
});

describe('the catalogue of scenes', () => {
  const sources = listFiles().filter((file) => /^dmz\/web\/(pages|components)\/.*\.tsx$/.test(file));
  /** The `data-view`s a source gives to what it renders. */
  const viewsIn = (source: string): string[] =>
    [...source.matchAll(/\b(?:data-)?view=(?:("[^"]+")|\{([^}]+)\})/g)].flatMap(([, literal, expression]) =>
      literal === undefined
        ? [...(expression ?? '').matchAll(/[?:]\s*'([^']+)'/g)].map((match) => match[1] ?? '')
        : [literal.slice(1, -1)],
    );

  it('shows every page, dialog and panel there is', () => {
    const shown = new Set(Object.values(scenes).flatMap((scene) => scene.shows));
    const missing = sources.flatMap((file) =>
      viewsIn(readText(file))
        .filter((view) => !shown.has(view))
        .map((view) => `${view} of ${file}`),
    );
    expect(
      missing,
      'nobody looks at these: add a scene that shows them to test/harness/web-scenes.ts',
    ).toEqual([]);
  });

  it('knows every component that is a page, a dialog or a panel of its own', () => {
    const nameless = sources.filter((file) => {
      const source = readText(file);
      return /<(main|dialog|section|form)\b|\bpopover=|role="(dialog|status|menu)"/.test(source)
        ? !/\b(data-)?view=/.test(source)
        : false;
    });
    expect(nameless, 'give what it renders a data-view, and show it in test/harness/web-scenes.ts').toEqual(
      [],
    );
  });

  it('shows nothing that is no longer there', () => {
    const there = new Set(sources.flatMap((file) => viewsIn(readText(file))));
    const stale = Object.entries(scenes).filter(([, scene]) => scene.shows.some((view) => !there.has(view)));
    expect(stale.map(([name]) => name)).toEqual([]);
  });
});
