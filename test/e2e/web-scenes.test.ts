import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildWebClient, startFakeSite } from '#test/dmz/web/fake-site.ts';
import { listFiles, readText } from '#test/repo/source-tree.ts';
import {
  bringAxe,
  findCutOff,
  findTranslatable,
  findViolations,
  narrowest,
} from '#test/harness/web-accessibility.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';
import { scenes, type Scene } from '#test/harness/web-scenes.ts';
import { ScenePlayer } from '#test/harness/web-stage.ts';

/**
 * Every scene of the web client, on a desktop in English and on a phone in German (whose words are the longest): axe
 * finds nothing in either theme, no name of anybody's can be translated, and nothing is cut off sideways in the narrowest window.
 */

let browser: WebBrowser;
let dist: string;
let players: readonly ScenePlayer[];
let stop: () => Promise<void>;

beforeAll(async () => {
  browser = await startWebBrowser();
  // Each device has a server of its own, so that both play at once.
  dist = await buildWebClient();
  const sites = [await startFakeSite(dist), await startFakeSite(dist)] as const;
  players = [
    new ScenePlayer(browser, sites[0], 'desktop', 'en', bringAxe),
    new ScenePlayer(browser, sites[1], 'phone', 'de', bringAxe),
  ];
  stop = async () => {
    await browser.close();
    await Promise.all(sites.map(({ node }) => node.stop()));
  };
});
afterAll(() => stop());

describe('every scene', () => {
  for (const [name, scene] of Object.entries<Scene>(scenes))
    it(`${name}: accessible in both themes, whole in a narrow window, its names left alone`, async () => {
      const played = await Promise.all(
        players
          .filter((player) => player.plays(scene))
          .map(async (player) => {
            const page = await player.play(scene);
            const violations = await findViolations(page);
            violations.push(...(await findTranslatable(page, player.names())));
            const before = page.viewportSize();
            if (player.device === 'desktop' || before === null) return { violations, cutOff: [] };
            await page.setViewportSize(narrowest);
            const cutOff = await findCutOff(page);
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

describe('a private key', () => {
  it('that is pasted for a public one is not sent to anybody', async () => {
    const site = await startFakeSite(dist);
    await new ScenePlayer(browser, site, 'desktop', 'en').play(scenes['ssh-key-private']);
    expect(site.node.requests).not.toContain('POST /api/me/ssh-keys');
    await new ScenePlayer(browser, site, 'desktop', 'en').play(scenes['ssh-key-refused']);
    expect(site.node.requests).toContain('POST /api/me/ssh-keys');
    await site.node.stop();
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
    const shown = new Set(Object.values<Scene>(scenes).flatMap((scene) => scene.shows));
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
    const stale = Object.entries<Scene>(scenes).filter(([, scene]) =>
      scene.shows.some((view) => !there.has(view)),
    );
    expect(stale.map(([name]) => name)).toEqual([]);
  });
});
