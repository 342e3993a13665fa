import type { FolderPath } from '#dmz/web/files/path.ts';
import { rememberedViewsMax } from '#dmz/web/limits.ts';
import type { Route } from '#dmz/web/state/route.ts';

/**
 * How the reader left each folder of this tab's history, so that going back to it, or reading the page anew, shows it as
 * it was. Kept in this tab only, and forgotten when nobody is signed in: it holds names.
 */

export interface View {
  /** Of the list, in pixels. */
  readonly scrollTop: number;
  readonly filter: string;
  /** Name of the row that the keyboard is on. */
  readonly active: string | undefined;
  /** That row is what a link led to. */
  readonly isMarked: boolean;
}

const unseen: View = { scrollTop: 0, filter: '', active: undefined, isMarked: false };
const storageKey = 'sallyport.views';

export class Views {
  readonly #browser: Window;
  readonly #route: Route;
  /** By the route's key, the longest unused first. */
  readonly #views = new Map<string, View>();

  constructor(browser: Window, route: Route) {
    this.#browser = browser;
    this.#route = route;
    for (const [key, view] of this.#read()) this.#views.set(key, view);
    browser.addEventListener('pagehide', () => this.#write());
  }

  /** Of the place in the address bar. */
  get current(): View {
    return this.#views.get(this.#route.key) ?? unseen;
  }

  /** Nothing is noted of a folder that is on the screen still, while the address is another already. */
  note(folder: FolderPath, change: Partial<View>): void {
    const place = this.#route.place.peek();
    if (place.name !== 'files' || place.folder.join('/') !== folder.join('/')) return;
    const { key } = this.#route;
    const view = { ...this.current, ...change };
    this.#views.delete(key);
    this.#views.set(key, view);
    const [oldest] = this.#views.keys();
    if (this.#views.size > rememberedViewsMax && oldest !== undefined) this.#views.delete(oldest);
  }

  forget(): void {
    this.#views.clear();
    this.#write();
  }

  // As with preferences: where storing is forbidden, a reload begins at the top.
  #read(): [string, View][] {
    try {
      const stored: unknown = JSON.parse(this.#browser.sessionStorage.getItem(storageKey) ?? '[]');
      return Array.isArray(stored) ? stored.filter(isStoredView) : [];
    } catch {
      return [];
    }
  }

  #write(): void {
    try {
      this.#browser.sessionStorage.setItem(storageKey, JSON.stringify([...this.#views]));
    } catch {
      // See above.
    }
  }
}

/** An older version of this page may have written it. */
function isStoredView(stored: unknown): stored is [string, View] {
  if (!Array.isArray(stored) || typeof stored[0] !== 'string') return false;
  const view: unknown = stored[1];
  if (typeof view !== 'object' || view === null || !('scrollTop' in view) || !('filter' in view))
    return false;
  return typeof view.scrollTop === 'number' && typeof view.filter === 'string';
}
