import { computed, effect, signal } from '@preact/signals';
import { buildFormats } from '#dmz/web/format/formats.ts';
import { loadCatalogue } from '#dmz/web/i18n/catalogue.ts';
import { en, type Catalogue } from '#dmz/web/i18n/en.ts';
import { isSortKey, type SortKey } from '#dmz/web/files/entry.ts';
import { isLanguage, pickLanguage, pickLocale, type Language } from '#dmz/web/i18n/language.ts';

/**
 * How this reader wants the page to look and speak. Kept in this browser only; nothing about a person goes to the
 * server for it.
 */

type Theme = 'system' | 'light' | 'dark';
export const themes: readonly Theme[] = ['system', 'light', 'dark'];

const languageKey = 'sallyport.language';
const themeKey = 'sallyport.theme';
const sortKey = 'sallyport.sort';

export class Preferences {
  readonly language = signal<Language>('en');
  readonly theme = signal<Theme>('system');
  /** Of every folder. */
  readonly sort = signal<SortKey>('name');
  readonly words = signal<Catalogue>(en);
  readonly locale = computed(() => pickLocale(this.language.value, this.#browser.navigator.languages));
  readonly formats = computed(() => buildFormats(this.locale.value));
  readonly #browser: Window;

  constructor(browser: Window) {
    this.#browser = browser;
    const stored = this.#read(languageKey);
    this.language.value = isLanguage(stored) ? stored : pickLanguage(browser.navigator.languages);
    this.theme.value = themes.find((theme) => theme === this.#read(themeKey)) ?? 'system';
    const sort = this.#read(sortKey);
    if (isSortKey(sort)) this.sort.value = sort;
    effect(() => {
      const root = browser.document.documentElement;
      if (this.theme.value === 'system') delete root.dataset['theme'];
      else root.dataset['theme'] = this.theme.value;
    });
  }

  /** Resolves when the words are there: the first paint is in the right language. */
  async start(): Promise<void> {
    await this.#load(this.language.value);
  }

  async chooseLanguage(language: Language): Promise<void> {
    this.#write(languageKey, language);
    await this.#load(language);
  }

  chooseTheme(theme: Theme): void {
    this.#write(themeKey, theme);
    this.theme.value = theme;
  }

  chooseSort(sort: SortKey): void {
    this.#write(sortKey, sort);
    this.sort.value = sort;
  }

  async #load(language: Language): Promise<void> {
    let words = en;
    try {
      words = await loadCatalogue(language);
    } catch {
      // The file with the words didn't arrive: English is better than an empty page.
    }
    this.words.value = words;
    this.language.value = words === en ? 'en' : language;
    this.#browser.document.documentElement.lang = this.language.value;
  }

  // A browser may forbid storage (private windows, policies); then choices last until the tab is closed.
  #read(key: string): string | null {
    try {
      return this.#browser.localStorage.getItem(key);
    } catch {
      return null;
    }
  }

  #write(key: string, value: string): void {
    try {
      this.#browser.localStorage.setItem(key, value);
    } catch {
      // See above.
    }
  }
}
