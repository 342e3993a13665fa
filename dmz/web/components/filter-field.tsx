import type { Ref } from 'preact';
import { IconButton } from '#dmz/web/components/button.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** Narrows the list while typing. Escape empties it and returns to the list. */
export function FilterField({ inputRef }: { readonly inputRef: Ref<HTMLInputElement> }) {
  const { folder, selection } = useClient();
  const words = useWords();
  const typed = folder.filter.value;
  const clear = (): void => {
    folder.filter.value = '';
  };
  return (
    <div class="filter" role="search">
      <Icon name="search" />
      <input
        ref={inputRef}
        type="text"
        inputMode="search"
        aria-label={words.files.filter}
        placeholder={words.files.filter}
        autocomplete="off"
        spellcheck={false}
        value={typed}
        onInput={(event) => {
          folder.filter.value = event.currentTarget.value;
          selection.reset();
        }}
        onKeyDown={(event) => {
          if (event.key === 'Escape') clear();
          if (event.key === 'Escape' || event.key === 'ArrowDown' || event.key === 'Enter') {
            event.preventDefault();
            selection.focusActive();
          }
        }}
      />
      {typed !== '' && <IconButton icon="close" label={words.files.clearFilter} onClick={clear} />}
    </div>
  );
}
