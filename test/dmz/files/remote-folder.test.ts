import { expect, test } from 'vitest';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import { SallyportError } from '#shared/error.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';

const pageNames = 3;
const pagesMax = 2_000;

/** What a link answers about one folder: of a main that can be killed, after which it knows no handle of before. */
class PlayedMain {
  names: readonly string[];
  opened = 0;
  /** It is killed right after so many openings from the second on. */
  killsWhenReopened = 0;
  #handle = 0;

  constructor(names: readonly string[]) {
    this.names = names;
  }

  kill(): void {
    this.#handle = 0;
  }

  async request(verb: string, params: { readonly handle: number; readonly page: number }): Promise<unknown> {
    if (verb === 'fs.open-folder') {
      this.opened += 1;
      this.#handle = this.opened;
      const isKilled = this.opened > 1 && this.opened <= 1 + this.killsWhenReopened;
      if (isKilled) this.kill();
      return { handle: this.opened };
    }
    if (verb !== 'fs.read-folder') return {};
    if (params.handle !== this.#handle) throw new SallyportError('bad-handle', 'The file is no longer open');
    const at = params.page * pageNames;
    const entries = this.names.slice(at, at + pageNames).map((name) => ({ name }));
    return { entries, end: at + pageNames >= this.names.length };
  }
}

function openFolder(main: PlayedMain) {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a folder asks for nothing else
  const link = main as unknown as MainLink;
  return buildRemoteFiles({ link, session: 's' }).openFolder(requireComponents(['many']));
}

async function readAll(main: PlayedMain, afterPage: (page: number) => void): Promise<string[]> {
  const folder = await openFolder(main);
  const seen: string[] = [];
  for (let page = 0; page < pagesMax; page += 1) {
    const entries = await folder.read();
    if (entries === undefined) return seen;
    seen.push(...entries.map(({ name }) => name));
    if (entries.length > 0) afterPage(page);
  }
  throw new Error('a folder without an end');
}

const names = Array.from({ length: 10 }, (_, index) => `name-${index}`);

test('a folder that is read while main is killed, after any page, has each name once', async () => {
  for (let kill = 0; kill < 4; kill += 1) {
    const main = new PlayedMain(names);
    expect(await readAll(main, (page) => void (page === kill && main.kill()))).toEqual(names);
  }
  const often = new PlayedMain(names);
  expect(await readAll(often, () => often.kill())).toEqual(names);
});

test('a folder whose main is killed again and again before its page is given is read all the same', async () => {
  const main = new PlayedMain(names);
  main.killsWhenReopened = 3;
  expect(await readAll(main, (page) => void (page === 1 && main.kill()))).toEqual(names);
  const hopeless = new PlayedMain(names);
  hopeless.killsWhenReopened = Infinity;
  const reading = readAll(hopeless, () => hopeless.kill());
  await expect(reading).rejects.toMatchObject({ code: 'bad-handle' });
  expect(hopeless.opened).toBeLessThan(20);
});

test('another order after the kill tells no name twice and leaves none out', async () => {
  const main = new PlayedMain(names);
  const seen = await readAll(main, (page) => {
    if (page !== 1) return;
    main.kill();
    main.names = names.toReversed();
  });
  expect(seen.toSorted()).toEqual(names);
});

test('a folder too long to be remembered ends with an error, not with names left out', async () => {
  const main = new PlayedMain(Array.from({ length: 5_000 }, (_, index) => `name-${index}`));
  const reading = readAll(main, (page) => void (page === 1_500 && main.kill()));
  await expect(reading).rejects.toMatchObject({ code: 'bad-handle' });
});
