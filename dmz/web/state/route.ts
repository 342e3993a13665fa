import { signal, type ReadonlySignal } from '@preact/signals';
import { parsePlace, toAddress, type Place } from '#dmz/web/state/place.ts';

/**
 * Where in the client the reader is, as the address bar says. Signing in and out never changes the address, so a
 * deep link leads to its folder after the sign-in.
 */

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
