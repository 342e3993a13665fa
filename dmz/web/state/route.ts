import { signal, type ReadonlySignal } from '@preact/signals';
import { parsePlace, toAddress, type Place } from '#dmz/web/state/place.ts';

/**
 * Where in the client the reader is, as the address bar says. Signing in and out never changes the address, so a
 * deep link leads to its folder after the sign-in.
 *
 * A dialog has an entry of its own in the browser's history, on top of its page's: *Back* takes that away, and with it
 * the dialog, and stays on the page. A dialog that is closed in any other way leaves its entry there, as good as unused:
 * the next place or dialog takes it, and *Back* passes over it. (To take it away at once would need a step back, which
 * the browser makes some time later; what is opened or pressed meanwhile would be undone by it.)
 */

/** What this page keeps with an entry of the browser's history. */
interface Mark {
  /** Position among this page's entries. */
  readonly at: number;
  /** A dialog's, above its page's own. */
  readonly cover: boolean;
  /** The place and the dialogs above it: another visit of the same address has another. */
  readonly key: string;
}

export class Route {
  readonly place: ReadonlySignal<Place>;
  readonly #place = signal<Place>({ name: 'files', folder: [] });
  readonly #browser: Window;
  /** How to close each open dialog, the innermost last. */
  readonly #covers: (() => void)[] = [];
  #mark: Mark = { at: 0, cover: false, key: newKey() };

  constructor(browser: Window) {
    this.place = this.#place;
    this.#browser = browser;
    this.#place.value = parsePlace(browser.location.pathname);
    this.#mark = parseMark(browser.history.state) ?? this.#mark;
    browser.history.replaceState(this.#mark, '');
    browser.addEventListener('popstate', () => this.#arrive());
  }

  /** Which visit of a place this is. */
  get key(): string {
    return this.#mark.key;
  }

  go(place: Place): void {
    const address = toAddress(place);
    if (address !== this.#browser.location.pathname) this.#write(false, address);
    this.#place.value = place;
  }

  /** The address was another name of this place. */
  correct(place: Place): void {
    this.#browser.history.replaceState(this.#mark, '', toAddress(place));
    this.#place.value = place;
  }

  /** A dialog opened, which `close` closes. To be called when it is gone, whoever closed it: the result. */
  cover(close: () => void): () => void {
    this.#covers.push(close);
    if (!this.#mark.cover) this.#write(true, this.#browser.location.pathname);
    return () => {
      const index = this.#covers.indexOf(close);
      if (index >= 0) this.#covers.splice(index, 1);
    };
  }

  /** A new entry, in the place of one that a dialog left behind. */
  #write(cover: boolean, address: string): void {
    const { history } = this.#browser;
    const isLeft = this.#mark.cover;
    this.#mark = {
      at: isLeft ? this.#mark.at : this.#mark.at + 1,
      cover,
      key: cover ? this.#mark.key : newKey(),
    };
    if (isLeft) history.replaceState(this.#mark, '', address);
    else history.pushState(this.#mark, '', address);
  }

  #arrive(): void {
    const left = this.#mark;
    this.#mark = parseMark(this.#browser.history.state) ?? { at: 0, cover: false, key: newKey() };
    const isUncovered = left.cover && this.#mark.at === left.at - 1;
    const close = this.#covers.at(-1);
    if (isUncovered && close === undefined) this.#browser.history.back();
    else close?.();
    if (!isUncovered) this.#place.value = parsePlace(this.#browser.location.pathname);
  }
}

/** Only to tell a few dozen apart. */
function newKey(): string {
  return Math.random().toString(36).slice(2);
}

/** It is this page's own, but may be an older version's. */
function parseMark(state: unknown): Mark | undefined {
  if (typeof state !== 'object' || state === null) return undefined;
  if (!('at' in state) || !('cover' in state) || !('key' in state)) return undefined;
  const { at, cover, key } = state;
  return typeof at === 'number' && typeof cover === 'boolean' && typeof key === 'string'
    ? { at, cover, key }
    : undefined;
}
