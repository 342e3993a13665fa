import type { ComponentChildren, TargetedKeyboardEvent } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Icon, type IconName } from '#dmz/web/components/icon.tsx';

export interface MenuItem {
  readonly label: string;
  readonly icon: IconName;
  readonly danger?: boolean;
  readonly onSelect: () => void;
}

/** Gap between the button and its menu, and to the window's edge. */
const gapPx = 4;

/** Right-aligned under the button, or above it when the button is in the lower half of the window. */
function placeBeside(button: HTMLElement, popup: HTMLElement): void {
  const box = button.getBoundingClientRect();
  const below = box.top + box.height / 2 < window.innerHeight / 2;
  popup.style.right = `${Math.max(gapPx, document.documentElement.clientWidth - box.right)}px`;
  popup.style.top = below ? `${box.bottom + gapPx}px` : 'auto';
  popup.style.bottom = below ? 'auto' : `${window.innerHeight - box.top + gapPx}px`;
}

/** A button that opens a short list of actions. A native popover: it closes on Escape and on a click elsewhere. */
export function Menu({
  label,
  items,
  children,
  class: className,
  tabIndex,
}: {
  readonly label: string;
  readonly items: readonly MenuItem[];
  readonly children: ComponentChildren;
  readonly class: string;
  readonly tabIndex?: number;
}) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const popup = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const entries = (): HTMLElement[] => [...(popup.current?.querySelectorAll<HTMLElement>('button') ?? [])];

  // With the drawing, not after it: the next key may already be on its way.
  useLayoutEffect(() => {
    if (open) entries()[0]?.focus();
  }, [open]);
  useLayoutEffect(() => () => document.removeEventListener('keydown', takeKey.current, true), []);
  /**
   * From the click on, the keyboard is the menu's, wherever the focus is still or again: an Escape that a list took for
   * its own would leave the menu open, and the next click on the button would close it.
   */
  const takeKey = useRef((event: KeyboardEvent): void => {
    if (event.target instanceof Node && popup.current?.contains(event.target) === true) return;
    event.stopPropagation();
    if (event.key === 'Escape' || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    entries()[0]?.focus();
  });

  const onKeyDown = (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    event.stopPropagation();
    const all = entries();
    const at = all.findIndex((entry) => entry === document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      all.at(next % all.length)?.focus();
    } else if (event.key === 'Tab') popup.current?.hidePopover();
  };

  return (
    <>
      <button
        ref={button}
        type="button"
        class={className}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        popovertarget={id}
        tabIndex={tabIndex}
      >
        {children}
      </button>
      <div
        ref={popup}
        id={id}
        class="menu"
        data-view="menu"
        role="menu"
        aria-label={label}
        popover="auto"
        onBeforeToggle={(event) => {
          const opens = event.newState === 'open';
          if (opens && button.current !== null) placeBeside(button.current, event.currentTarget);
          if (opens) document.addEventListener('keydown', takeKey.current, true);
          else document.removeEventListener('keydown', takeKey.current, true);
        }}
        onToggle={(event) => setOpen(event.newState === 'open')}
        onKeyDown={onKeyDown}
      >
        {open &&
          items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              class={item.danger === true ? 'menu-item menu-item-danger' : 'menu-item'}
              tabIndex={-1}
              onClick={() => {
                popup.current?.hidePopover();
                item.onSelect();
              }}
            >
              <Icon name={item.icon} />
              {item.label}
            </button>
          ))}
      </div>
    </>
  );
}
