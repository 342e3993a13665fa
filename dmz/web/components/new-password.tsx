import { TextField } from '#dmz/web/components/text-field.tsx';
import type { Catalogue } from '#dmz/web/i18n/en.ts';
import { newPasswordCharactersMin } from '#dmz/web/limits.ts';
import { useWords } from '#dmz/web/state/client.ts';

/** A new password, typed twice, with how good it is. */

interface Typed {
  readonly password: string;
  readonly again: string;
}

export const nothingTyped: Typed = { password: '', again: '' };

/** What is wrong with it before the server is asked. */
export function findObjection({ password, again }: Typed, words: Catalogue): string | undefined {
  if (password.length < newPasswordCharactersMin) return words.password.short(newPasswordCharactersMin);
  return password === again ? undefined : words.password.different;
}

/** How hard to guess, as far as length and variety say; the server has the last word. */
function strengthOf(password: string): 0 | 1 | 2 | 3 {
  if (password.length < newPasswordCharactersMin) return 0;
  const variety = new Set(password).size;
  if (variety < 6) return 1;
  return password.length >= 20 && variety >= 10 ? 3 : 2;
}

export function NewPasswordFields({
  typed,
  onInput,
}: {
  readonly typed: Typed;
  readonly onInput: (typed: Typed) => void;
}) {
  const words = useWords();
  const { password, again } = typed;
  const strength = strengthOf(password);
  return (
    <>
      <TextField
        label={words.password.next}
        name="new-password"
        type="password"
        autocomplete="new-password"
        value={password}
        onInput={(text) => onInput({ password: text, again })}
      />
      <p class="strength" aria-live="polite">
        <progress class="meter" max={3} value={strength} aria-label={words.password.strength} />
        <span class="muted">
          {password === ''
            ? words.password.rule(newPasswordCharactersMin)
            : words.password.strengths[strength]}
        </span>
      </p>
      <TextField
        label={words.password.again}
        name="new-password-again"
        type="password"
        autocomplete="new-password"
        value={again}
        onInput={(text) => onInput({ password, again: text })}
      />
    </>
  );
}
