import { describe, expect, it } from 'vitest';
import { de } from '#dmz/web/i18n/de.ts';
import { en } from '#dmz/web/i18n/en.ts';
import { pickLanguage, pickLocale } from '#dmz/web/i18n/language.ts';

/** Every entry as `area.key` → what is said; functions are called with marks that must come back in the text. */
function flatten(value: unknown, prefix = ''): Map<string, string> {
  const flat = new Map<string, string>();
  if (typeof value === 'string') flat.set(prefix, value);
  else if (typeof value === 'function') flat.set(prefix, render(value as (...marks: unknown[]) => string));
  else
    for (const [key, inner] of Object.entries(value as Record<string, unknown>))
      for (const entry of flatten(inner, prefix === '' ? key : `${prefix}.${key}`)) flat.set(...entry);
  return flat;
}

/** Marks are text, except where the sentence counts. */
function render(sentence: (...marks: unknown[]) => string): string {
  return sentence(...Array.from({ length: sentence.length }, (_, index) => `«${index}»`));
}

const english = flatten(en);
const german = flatten(de);

describe('the catalogues', () => {
  it('have the same entries', () => {
    expect([...german.keys()]).toEqual([...english.keys()]);
  });

  it('say something everywhere', () => {
    for (const [key, text] of [...english, ...german]) expect(text.trim(), key).not.toBe('');
  });

  it('use the same values in both languages', () => {
    const marksOf = (text: string | undefined): string[] => (text?.match(/«\d»/g) ?? []).toSorted();
    for (const [key, text] of english) expect(marksOf(german.get(key)), key).toEqual(marksOf(text));
  });

  it('don’t shout, and don’t use straight quotes', () => {
    for (const [key, text] of [...english, ...german]) {
      expect(text, key).not.toContain('!');
      expect(text, key).not.toMatch(/['"]/);
    }
  });

  it('address people formally in German', () => {
    for (const [key, text] of german) expect(text, key).not.toMatch(/\b(du|dein|deine|deinen|dir)\b/i);
  });

  it('count in the singular too', () => {
    expect(en.code.attemptsLeft(1)).toBe('1 try left');
    expect(en.code.attemptsLeft(4)).toBe('4 tries left');
    expect(de.code.attemptsLeft(1)).toBe('Noch 1 Versuch');
    expect(en.uploads.finished({ done: 1, failed: 0, asked: 0 })).toBe('1 upload finished.');
    expect(en.uploads.finished({ done: 12, failed: 1, asked: 0 })).toBe('12 uploads finished, 1 failed.');
  });
});

describe('the language', () => {
  it('is the first one of the browser’s that we speak', () => {
    expect(pickLanguage(['fr-FR', 'de-CH', 'en'])).toBe('de');
    expect(pickLanguage(['fr'])).toBe('en');
    expect(pickLanguage([])).toBe('en');
  });

  it('keeps the reader’s region for dates and numbers', () => {
    expect(pickLocale('de', ['en-US', 'de-CH'])).toBe('de-CH');
    expect(pickLocale('en', ['de-CH'])).toBe('en-GB');
  });
});
