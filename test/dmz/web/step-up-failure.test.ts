import { describe, expect, it } from 'vitest';
import { parseProblem } from '#dmz/web/api/problem.ts';
import { buildFormats } from '#dmz/web/format/formats.ts';
import { de } from '#dmz/web/i18n/de.ts';
import { en } from '#dmz/web/i18n/en.ts';
import { describeStepUpFailure } from '#dmz/web/i18n/step-up-failure.ts';
import { weaknesses } from '#shared/error.ts';

const formats = buildFormats('en-GB', 'UTC');
const say = (body: object, words = en): string =>
  describeStepUpFailure(parseProblem(422, null, JSON.stringify(body)), words, formats, 0);

describe('a password or key that is too weak', () => {
  it('is refused in words for what is wrong with it, with the server’s own bounds', () => {
    expect(say({ reason: 'weak-password', weakness: 'too-short', minimum: 16 })).toContain('at least 16');
    expect(say({ reason: 'weak-password', weakness: 'user-name' }, de)).toContain('Benutzername');
    expect(say({ reason: 'weak-key', weakness: 'key-too-short', minimum: 4096 }, de)).toContain('4096 Bit');
  });

  it('has words of its own for every weakness the server knows', () => {
    const sentences = weaknesses.map((weakness) =>
      say({ reason: weakness.startsWith('key-') ? 'weak-key' : 'weak-password', weakness }),
    );
    expect(new Set(sentences).size).toBe(weaknesses.length);
    expect(sentences).not.toContain(en.password.weak.other);
  });

  it('is still explained when the server says no more', () => {
    expect(say({ reason: 'weak-password' })).toBe(en.password.weak.other);
    expect(say({ reason: 'weak-key', weakness: 'of-tomorrow' })).toBe(en.sshKeys.refused);
  });
});
