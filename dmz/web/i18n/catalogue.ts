import { en, type Catalogue } from '#dmz/web/i18n/en.ts';
import type { Language } from '#dmz/web/i18n/language.ts';

/** The words of a language. English is always there; the others are fetched when somebody reads them. */
export async function loadCatalogue(language: Language): Promise<Catalogue> {
  switch (language) {
    case 'en':
      return en;
    case 'de':
      return (await import('#dmz/web/i18n/de.ts')).de;
  }
}
