import { Icon } from '#dmz/web/components/icon.tsx';
import { columnOf, isDescending, nextSort, type SortColumn } from '#dmz/web/files/entry.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** The names of the columns, which sort by them, and the box that selects all. */
export function FileListHead() {
  const { folder, selection } = useClient();
  const words = useWords();
  const entries = folder.shown.value;
  const selectedCount = selection.names.value.size;
  const all = entries.length > 0 && selectedCount === entries.length;
  return (
    <div class="file-head" role="rowgroup">
      <div role="row" aria-rowindex={1} class="file-head-row">
        <div role="columnheader" class="cell-check">
          <label class="row-check">
            <input
              type="checkbox"
              aria-label={words.files.selectAll}
              checked={all}
              indeterminate={selectedCount > 0 && !all}
              onChange={() => (all ? selection.clear() : selection.all(entries))}
            />
          </label>
        </div>
        <SortHead column="name" label={words.files.name} class="cell-name" />
        <SortHead column="size" label={words.files.size} class="cell-size" />
        <SortHead column="mtime" label={words.files.modified} class="cell-modified" />
        <div role="columnheader" class="cell-more on-desktop">
          <span class="visually-hidden">{words.files.actions}</span>
        </div>
      </div>
    </div>
  );
}

function SortHead({
  column,
  label,
  class: className,
}: {
  readonly column: SortColumn;
  readonly label: string;
  readonly class: string;
}) {
  const { folder, selection } = useClient();
  const sort = folder.sort.value;
  const sorted = columnOf(sort) === column;
  const descending = isDescending(sort);
  return (
    <div
      role="columnheader"
      class={className}
      aria-sort={sorted ? (descending ? 'descending' : 'ascending') : 'none'}
    >
      <button
        type="button"
        class={sorted ? 'sort-button sort-button-on' : 'sort-button'}
        onClick={() => {
          selection.moveTo(0);
          void folder.sortBy(nextSort(sort, column));
        }}
      >
        {label}
        {sorted && <Icon name={descending ? 'arrowDown' : 'arrowUp'} size={14} />}
      </button>
    </div>
  );
}
