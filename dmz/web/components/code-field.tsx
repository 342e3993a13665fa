import type { Ref } from 'preact';
import { TextField } from '#dmz/web/components/text-field.tsx';

/** Longest thing anybody types as a code: a recovery code with its dashes, twice over. */
const codeLengthMax = 48;

/**
 * Where a one-time code is typed or pasted. One field, not six boxes: paste, autofill, screen readers and correction
 * all work by themselves.
 */
export function CodeField(props: {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  /** Letters too: recovery codes. */
  readonly letters: boolean;
  readonly invalid: boolean;
  readonly describedBy?: string;
  readonly inputRef: Ref<HTMLInputElement>;
}) {
  return (
    <TextField
      label={props.label}
      name="code"
      value={props.value}
      onInput={props.onInput}
      autocomplete={props.letters ? 'off' : 'one-time-code'}
      inputMode={props.letters ? 'text' : 'numeric'}
      maxLength={codeLengthMax}
      invalid={props.invalid}
      describedBy={props.describedBy}
      inputRef={props.inputRef}
      class={props.letters ? 'code-input code-input-long' : 'code-input'}
    />
  );
}

/** As the server wants it: apps show `123 456`, mails are copied with blanks around. */
export function cleanCode(typed: string): string {
  return typed.replace(/\s/g, '');
}
