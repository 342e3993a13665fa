import type { FolderPath } from '#dmz/web/files/path.ts';

/**
 * One line of a folder, as the client keeps it. It carries where it lies: whatever is asked about it and answered later
 * means that place, not the folder that happens to be on the screen by then.
 */
export interface Entry {
  readonly parent: FolderPath;
  readonly name: string;
  readonly type: 'file' | 'folder';
  /** Bytes; of no meaning for folders. */
  readonly size: number;
  readonly mtimeMs: number;
}

export function pathOf(entry: Pick<Entry, 'parent' | 'name'>): FolderPath {
  return [...entry.parent, entry.name];
}

export type SortColumn = 'name' | 'size' | 'mtime';
/** As the API spells it: a leading `-` is descending. */
export type SortKey = SortColumn | `-${SortColumn}`;

const sortKeys: readonly SortKey[] = ['name', '-name', 'size', '-size', 'mtime', '-mtime'];

export function isSortKey(text: string | null): text is SortKey {
  return sortKeys.some((key) => key === text);
}

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

/** What the page can show itself; everything else is downloaded. SVG is not among the images: it can hold scripts. */
type PreviewKind = 'image' | 'text';

const imageName = /\.(jpe?g|png|gif|webp|avif|bmp)$/i;
const textName = /\.(txt|md|log|csv|json|ya?ml|xml|ini|conf)$/i;

export function previewKindOf(name: string): PreviewKind | undefined {
  if (imageName.test(name)) return 'image';
  return textName.test(name) ? 'text' : undefined;
}
