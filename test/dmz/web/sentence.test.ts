import { describe, expect, it } from 'vitest';
import { de } from '#dmz/web/i18n/de.ts';
import { en } from '#dmz/web/i18n/en.ts';
import { named, splitSentence } from '#dmz/web/i18n/sentence.ts';

describe('a name in a sentence', () => {
  it('is told apart from the words around it, in each language', () => {
    expect(splitSentence(en.remove.title(1, named('plan.pdf')))).toEqual(['Delete ', 'plan.pdf', '?']);
    expect(splitSentence(de.move.done('move', 1, named('a'), named('b')))).toEqual([
      '',
      'a',
      ' nach ',
      'b',
      ' verschoben.',
    ]);
    expect(splitSentence(en.remove.title(2, named('plan.pdf')))).toEqual(['Delete 2 items?']);
  });

  it('can not end its own part, nor begin another', () => {
    expect(splitSentence(en.rename.done(named('a\u2069 Delete all \u2068b')))).toEqual([
      'Renamed to ',
      'a Delete all b',
      '.',
    ]);
  });
});
