import { Said } from '#dmz/web/components/said.tsx';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Entry } from '#dmz/web/files/entry.ts';
import { stemLength } from '#dmz/web/files/path.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/**
 * A new name, typed in place. Enter or going on elsewhere takes it; Escape, or going on after it was refused, doesn't.
 */
export function RenameField({ entry, onClose }: { readonly entry: Entry; readonly onClose: () => void }) {
  const { actions, selection, notices } = useClient();
  const words = useWords();
  const field = useRef<HTMLInputElement>(null);
  const [name, setName] = useState(entry.name);
  const [objection, setObjection] = useState<string | undefined>();
  const isTaking = useRef(false);
  const isGone = useRef(false);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(0, entry.type === 'file' ? stemLength(entry.name) : entry.name.length);
    return () => {
      isGone.current = true;
    };
  }, []);

  const close = (): void => {
    onClose();
    selection.focusActive();
  };
  /** `follows`: the keyboard stays here; else it is already where the reader went on. */
  const take = async (follows: boolean): Promise<void> => {
    if (isTaking.current) return;
    isTaking.current = true;
    const refused = await actions.rename(entry, name, follows);
    isTaking.current = false;
    if (refused === undefined) {
      onClose();
      if (follows) selection.focusActive();
    } else if (isGone.current) notices.failure(refused);
    else {
      setObjection(refused);
      field.current?.focus();
    }
  };

  return (
    <div class="rename" data-view="rename">
      <input
        ref={field}
        aria-label={words.rename.label(entry.name)}
        aria-invalid={objection !== undefined ? true : undefined}
        value={name}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => {
          setName(event.currentTarget.value);
          setObjection(undefined);
        }}
        onClick={(event) => event.stopPropagation()}
        onDblClick={(event) => event.stopPropagation()}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === 'Enter') void take(true);
          if (event.key === 'Escape') close();
        }}
        onBlur={() => {
          // The browser's window lost the focus, not this field in it.
          if (document.activeElement === field.current || isTaking.current || isGone.current) return;
          if (name === entry.name || objection !== undefined) onClose();
          else void take(false);
        }}
      />
      {objection !== undefined && (
        <p class="rename-error" role="alert">
          <Said text={objection} />
        </p>
      )}
    </div>
  );
}
