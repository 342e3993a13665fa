import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from '#dmz/web/components/icon.tsx';

interface ButtonProps {
  readonly children: ComponentChildren;
  readonly kind?: 'primary' | 'plain' | 'danger' | 'link' | undefined;
  readonly type?: 'button' | 'submit' | undefined;
  readonly icon?: IconName | undefined;
  /** Something it started is still running: it stays where it is, and can't be pressed again. */
  readonly busy?: boolean | undefined;
  readonly disabled?: boolean | undefined;
  readonly wide?: boolean | undefined;
  readonly onClick?: (() => void) | undefined;
}

export function Button({ kind = 'plain', type = 'button', ...props }: ButtonProps) {
  return (
    <button
      type={type}
      class={`button button-${kind}${props.wide === true ? ' button-wide' : ''}`}
      disabled={props.disabled}
      // Not `disabled`: that would throw the focus away in the middle of a form.
      aria-disabled={props.busy === true ? true : undefined}
      onClick={(event) => {
        if (props.busy === true) event.preventDefault();
        else props.onClick?.();
      }}
    >
      {props.busy === true && <span class="spinner" aria-hidden="true" />}
      {props.icon !== undefined && props.busy !== true && <Icon name={props.icon} />}
      <span>{props.children}</span>
    </button>
  );
}

interface IconButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => void;
  readonly tabIndex?: number | undefined;
  readonly pressed?: boolean | undefined;
  readonly expanded?: boolean | undefined;
  readonly disabled?: boolean | undefined;
}

export function IconButton({ icon, label, onClick, tabIndex, pressed, expanded, disabled }: IconButtonProps) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      tabIndex={tabIndex}
      aria-pressed={pressed}
      aria-expanded={expanded}
      // As above: somebody who pages through pictures keeps the focus at the last one.
      aria-disabled={disabled === true ? true : undefined}
      onClick={() => {
        if (disabled !== true) onClick();
      }}
    >
      <Icon name={icon} />
    </button>
  );
}
