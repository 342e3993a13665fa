/** One line of a folder, as the client keeps it. */
export interface Entry {
  readonly name: string;
  readonly type: 'file' | 'folder';
  /** Bytes; of no meaning for folders. */
  readonly size: number;
  readonly mtimeMs: number;
}

export type SortColumn = 'name' | 'size' | 'mtime';
/** As the API spells it: a leading `-` is descending. */
export type SortKey = SortColumn | `-${SortColumn}`;

export function columnOf(sort: SortKey): SortColumn {
  if (sort === 'name' || sort === '-name') return 'name';
  return sort === 'size' || sort === '-size' ? 'size' : 'mtime';
}

export function isDescending(sort: SortKey): boolean {
  return sort.startsWith('-');
}

/** A click on a column's head: again = turn round, else from the column's natural beginning. */
export function nextSort(current: SortKey, column: SortColumn): SortKey {
  if (columnOf(current) === column) return isDescending(current) ? column : `-${column}`;
  return column === 'name' ? 'name' : `-${column}`;
}
