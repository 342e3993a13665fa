import { Said } from '#dmz/web/components/said.tsx';
import type { ComponentChildren, Ref } from 'preact';
import { useId } from 'preact/hooks';

interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly name?: string | undefined;
  readonly type?: 'text' | 'password' | undefined;
  readonly autocomplete?:
    'username' | 'current-password' | 'new-password' | 'one-time-code' | 'off' | undefined;
  readonly inputMode?: 'text' | 'numeric' | undefined;
  readonly maxLength?: number | undefined;
  readonly error?: string | undefined;
  readonly invalid?: boolean | undefined;
  readonly describedBy?: string | undefined;
  readonly inputRef?: Ref<HTMLInputElement> | undefined;
  readonly class?: string | undefined;
  /** Shown inside the field's right end. */
  readonly trailing?: ComponentChildren | undefined;
}

/** A labelled line of text with room for what is wrong with it. */
export function TextField(props: TextFieldProps) {
  const id = useId();
  const errorId = `${id}-error`;
  const describedBy = [props.describedBy, props.error === undefined ? undefined : errorId].filter(Boolean);
  return (
    <div class="field">
      <label for={id}>
        <Said text={props.label} />
      </label>
      <div class="field-box">
        <input
          id={id}
          ref={props.inputRef ?? null}
          class={props.class}
          name={props.name}
          {...(props.type === 'password' ? { type: 'password' as const } : { type: 'text' as const })}
          value={props.value}
          autocomplete={props.autocomplete ?? 'off'}
          autocapitalize="none"
          autocorrect="off"
          spellcheck={false}
          inputMode={props.inputMode}
          maxLength={props.maxLength}
          aria-invalid={props.error !== undefined || props.invalid === true ? true : undefined}
          aria-describedby={describedBy.length === 0 ? undefined : describedBy.join(' ')}
          onInput={(event) => props.onInput(event.currentTarget.value)}
        />
        {props.trailing}
      </div>
      {props.error !== undefined && (
        <p class="field-error" id={errorId} role="alert">
          <Said text={props.error} />
        </p>
      )}
    </div>
  );
}
