import { mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Language } from '#dmz/web/i18n/language.ts';
import { startFakeSite } from '#test/dmz/web/fake-site.ts';
import { startWebBrowser } from '#test/harness/web-browser.ts';
import { scenes, type Scene } from '#test/harness/web-scenes.ts';
import { ScenePlayer } from '#test/harness/web-stage.ts';

/**
 * Pictures of every scene of the web client into `screens/`, for looking at them: desktop and phone, light and dark;
 * German on the phone. `npm run screens -- upload` takes those whose scene has `upload` in its name.
 */

const folder = fileURLToPath(new URL('../screens/', import.meta.url));
const only = process.argv[2] ?? '';
const sets: readonly (readonly ['desktop' | 'phone', Language, readonly ('light' | 'dark')[]])[] = [
  ['desktop', 'en', ['light', 'dark']],
  ['phone', 'en', ['light', 'dark']],
  ['phone', 'de', ['light']],
];

if (only === '') await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
const site = await startFakeSite();
const browser = await startWebBrowser();

for (const [device, language, colorSchemes] of sets) {
  const player = new ScenePlayer(browser, site, device, language);
  for (const [name, scene] of Object.entries<Scene>(scenes)) {
    if (!name.includes(only) || !player.plays(scene)) continue;
    try {
      const page = await player.play(scene);
      for (const colorScheme of colorSchemes) {
        await page.emulateMedia({ colorScheme });
        await page.evaluate('scrollTo(0, 0)');
        const path = `${folder}${name}-${device}-${language}-${colorScheme}.png`;
        // Settings are longer than a screen.
        await page.screenshot({ path, fullPage: scene.at === '/options', animations: 'disabled' });
      }
    } catch (error) {
      process.stderr.write(`${name} on ${device} in ${language}: ${String(error)}\n`);
    }
  }
  await player.close();
}

await browser.close();
await site.node.stop();
for (const complaint of browser.complaints) process.stderr.write(`${complaint}\n`);
