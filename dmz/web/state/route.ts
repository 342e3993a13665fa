import { signal, type ReadonlySignal } from '@preact/signals';
import { parsePagePath, toPagePath, type FolderPath } from '#dmz/web/files/path.ts';

/**
 * Where in the client the reader is, as the address bar says. Signing in and out never changes the address, so a
 * deep link leads to its folder after the sign-in.
 */

export type Place =
  | { readonly name: 'files'; readonly folder: FolderPath }
  | { readonly name: 'options' }
  | { readonly name: 'setup' };

export function parsePlace(pathname: string): Place {
  if (pathname === '/options') return { name: 'options' };
  if (pathname === '/setup') return { name: 'setup' };
  const inFiles = pathname.startsWith('/files/') ? pathname.slice('/files/'.length) : '';
  return { name: 'files', folder: parsePagePath(inFiles) };
}

export function toAddress(place: Place): string {
  return place.name === 'files' ? toPagePath(place.folder) : `/${place.name}`;
}

export class Route {
  readonly place: ReadonlySignal<Place>;
  readonly #place = signal<Place>({ name: 'files', folder: [] });
  readonly #browser: Window;

  constructor(browser: Window) {
    this.place = this.#place;
    this.#browser = browser;
    this.#place.value = parsePlace(browser.location.pathname);
    browser.addEventListener('popstate', () => {
      this.#place.value = parsePlace(browser.location.pathname);
    });
  }

  go(place: Place): void {
    const address = toAddress(place);
    if (address !== this.#browser.location.pathname) this.#browser.history.pushState(null, '', address);
    this.#place.value = place;
  }
}
