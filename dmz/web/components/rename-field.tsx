import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Entry } from '#dmz/web/files/entry.ts';
import { stemLength } from '#dmz/web/files/path.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** A new name, typed in place. Enter takes it, Escape or leaving it unchanged doesn't. */
export function RenameField({ entry, onClose }: { readonly entry: Entry; readonly onClose: () => void }) {
  const { actions, selection, notices } = useClient();
  const words = useWords();
  const field = useRef<HTMLInputElement>(null);
  const [name, setName] = useState(entry.name);
  const [objection, setObjection] = useState<string | undefined>();
  const [busy, setBusy] = useState(false);
  const isGone = useRef(false);
  useEffect(() => () => void (isGone.current = true), []);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(0, entry.type === 'file' ? stemLength(entry.name) : entry.name.length);
  }, []);

  const close = (): void => {
    onClose();
    selection.focusActive();
  };
  const take = async (): Promise<void> => {
    if (busy) return;
    setBusy(true);
    const refused = await actions.rename(entry, name);
    if (isGone.current) {
      if (refused !== undefined) notices.failure(refused);
      return;
    }
    setBusy(false);
    if (refused === undefined) close();
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
          if (event.key === 'Enter') void take();
          if (event.key === 'Escape') close();
        }}
        onBlur={() => {
          if (!busy && name === entry.name) onClose();
        }}
      />
      {objection !== undefined && (
        <p class="rename-error" role="alert">
          {objection}
        </p>
      )}
    </div>
  );
}
