import type { ComponentChildren } from 'preact';
import { useClient } from '#dmz/web/state/client.ts';
import { toAddress, type Place } from '#dmz/web/state/place.ts';

/** A real link inside the client: opens in place, and in a new tab when asked to. */
export function PageLink({
  to,
  children,
  class: className,
  current,
  label,
  tabIndex,
  isData,
}: {
  readonly to: Place;
  readonly children: ComponentChildren;
  readonly class?: string;
  readonly current?: boolean;
  readonly label?: string;
  readonly tabIndex?: number;
  /** A name, no words of ours: nobody translates it. */
  readonly isData?: boolean;
}) {
  const { route } = useClient();
  return (
    <a
      href={toAddress(to)}
      class={className}
      aria-label={label}
      aria-current={current === true ? 'page' : undefined}
      tabIndex={tabIndex}
      draggable={false}
      translate={isData === true ? false : undefined}
      onClick={(event) => {
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        route.go(to);
      }}
    >
      {children}
    </a>
  );
}
