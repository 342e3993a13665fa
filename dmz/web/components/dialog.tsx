import { Said } from '#dmz/web/components/said.tsx';
import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { useClient } from '#dmz/web/state/client.ts';

/**
 * A modal question. The browser's own `<dialog>` keeps the focus inside and gives it back afterwards; going back in the
 * browser closes it too.
 */
export function Dialog({
  view,
  title,
  class: className,
  onClose,
  onKey,
  children,
}: {
  /** What this is, in the page's own words: the catalogue of scenes finds it by this name. */
  readonly view: string;
  readonly title: string;
  readonly class?: string;
  readonly onClose: () => void;
  readonly onKey?: (key: string) => void;
  readonly children: ComponentChildren;
}) {
  const { route } = useClient();
  const titleId = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  const latestOnClose = useRef(onClose);
  latestOnClose.current = onClose;
  useLayoutEffect(() => {
    const element = dialog.current;
    if (element === null) return;
    // Without a click or key since the last one was closed, a browser closes a dialog without asking by `cancel`.
    const onClosed = (): void => latestOnClose.current();
    element.addEventListener('close', onClosed);
    element.showModal();
    const uncover = route.cover(onClosed);
    return () => {
      uncover();
      element.removeEventListener('close', onClosed);
      element.close();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      data-view={view}
      class={className === undefined ? 'dialog' : `dialog ${className}`}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onKeyDown={(event) => {
        event.stopPropagation();
        onKey?.(event.key);
      }}
      onMouseDown={(event) => {
        if (event.target === dialog.current) onClose();
      }}
    >
      <div class="dialog-body">
        <h2 id={titleId}>
          <Said text={title} />
        </h2>
        {children}
      </div>
    </dialog>
  );
}
