import type { RefObject, TargetedKeyboardEvent } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { findByBeginning } from '#dmz/web/files/entry-order.ts';
import { closestTo } from '#dmz/web/components/drop-files.ts';
import { FileListHead } from '#dmz/web/components/file-list-head.tsx';
import { FileRow, type RowActions } from '#dmz/web/components/file-row.tsx';
import { useRowHeight } from '#dmz/web/components/row-metrics.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { pathOf, type Entry } from '#dmz/web/files/entry.ts';
import { scrollTopToShow, windowOf, rowByKey } from '#dmz/web/files/list-window.ts';
import { typeAheadMs } from '#dmz/web/limits.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';
import type { View } from '#dmz/web/state/views.ts';

/** Select, filter, upload, help. */
const singleKeys: readonly string[] = [' ', '/', 'u', '?'];

/**
 * The folder's content as a grid with one row in the tab order (WAI-ARIA grid pattern). Only the rows in view exist,
 * and the row the keyboard is on, so that it never loses the focus by scrolling.
 */
export function FileList({
  renaming,
  dropFolder,
  onRenamed,
  onGoUp,
  ...rowActions
}: {
  readonly renaming: Entry | undefined;
  /** That files or rows are held over. */
  readonly dropFolder: FolderPath | undefined;
  readonly onRenamed: () => void;
  readonly onGoUp: () => void;
} & RowActions) {
  const { folder, selection, views } = useClient();
  const words = useWords();
  const rowHeight = useRowHeight();
  const scroller = useRef<HTMLDivElement>(null);
  const [scrollTop, setScrollTop] = useState(0);
  const entries = folder.shown.value;
  const active = Math.min(selection.active.value, Math.max(0, entries.length - 1));
  const path = folder.path.value;
  const { viewportHeight, scrollbarWidth } = useViewport(scroller);
  const onKeyDown = useListKeys({ entries, active, viewportHeight, rowHeight, onGoUp, rowActions });

  useEffect(() => selection.keepWithin(entries), [entries]);
  useReturn({ scroller, entries, rowHeight, setScrollTop, onFound: rowActions.onMarked });
  const activeName = entries[active]?.name;
  useEffect(() => {
    if (activeName !== undefined) views.note(path, { active: activeName, isMarked: false });
  }, [activeName]);

  const showRow = (index: number): void => {
    const element = scroller.current;
    if (element === null) return;
    const next = scrollTopToShow(index, { scrollTop: element.scrollTop, viewportHeight, rowHeight });
    if (next === element.scrollTop) return;
    element.scrollTop = next;
    setScrollTop(next);
  };

  const focusRequest = selection.focusRequest.value;
  // With the drawing, not after it: the next key may already be on its way to somewhere else.
  useLayoutEffect(() => {
    // The row that was moved to just now is not drawn yet.
    if (focusRequest === undefined || selection.active.peek() !== active) return;
    selection.focusRequest.value = undefined;
    // A late answer does not take the keyboard from what was begun since.
    if (document.activeElement?.matches('[popover] *, .rename *') === true) return;
    if (focusRequest.scrolls) showRow(active);
    scroller.current?.querySelector<HTMLElement>(`[data-index="${active}"]`)?.focus({ preventScroll: true });
  }, [focusRequest, active]);

  const { first, end } = windowOf({ scrollTop, viewportHeight, rowHeight, count: entries.length });
  const indexes = Array.from({ length: end - first }, (_, offset) => first + offset);
  if (entries.length > 0 && (active < first || active >= end)) indexes.push(active);

  return (
    <div
      class="file-grid"
      role="grid"
      aria-label={words.files.list(path.at(-1) ?? words.files.home)}
      aria-multiselectable
      aria-rowcount={entries.length + 1}
      style={{ '--scrollbar': `${scrollbarWidth}px` }}
      onKeyDown={onKeyDown}
    >
      <FileListHead />
      <div
        class="file-body"
        role="rowgroup"
        ref={scroller}
        onScroll={(event) => {
          setScrollTop(event.currentTarget.scrollTop);
          views.note(path, { scrollTop: event.currentTarget.scrollTop });
        }}
      >
        <div class="file-canvas" role="presentation" style={{ height: `${entries.length * rowHeight}px` }}>
          {indexes.map((index) => {
            const entry = entries[index];
            return (
              entry !== undefined && (
                <FileRow
                  key={entry.name}
                  entry={entry}
                  index={index}
                  top={index * rowHeight}
                  selected={selection.names.value.has(entry.name)}
                  active={index === active}
                  renaming={entry.name === renaming?.name}
                  dropTarget={dropFolder !== undefined && pathOf(entry).join('/') === dropFolder.join('/')}
                  onRenamed={onRenamed}
                  {...rowActions}
                />
              )
            );
          })}
        </div>
      </div>
    </div>
  );
}

/**
 * Scrolls to where this folder was left, and puts the keyboard on the row it was on or a link led to, as soon as that
 * much has been read.
 */
function useReturn(list: {
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly entries: readonly Entry[];
  readonly rowHeight: number;
  readonly setScrollTop: (pixels: number) => void;
  readonly onFound: (entry: Entry) => void;
}): void {
  const { folder, selection, views } = useClient();
  const { scroller, entries, rowHeight } = list;
  const wanted = useRef<View | undefined>(views.current);
  const state = folder.state.value;
  const isWhole = state.name === 'ready' && state.complete;
  useLayoutEffect(() => {
    const element = scroller.current;
    const view = wanted.current;
    if (element === null || view === undefined) return;
    const index = view.active === undefined ? 0 : entries.findIndex(({ name }) => name === view.active);
    const isRead = element.scrollHeight - element.clientHeight >= view.scrollTop && index >= 0;
    if (!isRead && !isWhole) return;
    wanted.current = undefined;
    element.scrollTop = view.scrollTop;
    list.setScrollTop(element.scrollTop);
    if (index < 0) return;
    selection.moveTo(index);
    const entry = entries[index];
    if (!view.isMarked || entry === undefined) return;
    element.scrollTop = scrollTopToShow(index, {
      scrollTop: element.scrollTop,
      viewportHeight: element.clientHeight,
      rowHeight,
    });
    list.setScrollTop(element.scrollTop);
    selection.only(entries, index);
    views.note(entry.parent, { isMarked: false });
    list.onFound(entry);
  }, [entries, isWhole]);
}

/** Pixels of the scrolling part that show rows, and of its scroll bar. */
function useViewport(scroller: RefObject<HTMLDivElement | null>) {
  const [viewportHeight, setViewportHeight] = useState(0);
  const [scrollbarWidth, setScrollbarWidth] = useState(0);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const measure = (): void => {
      setViewportHeight(element.clientHeight);
      setScrollbarWidth(element.offsetWidth - element.clientWidth);
    };
    // The canvas too: its width changes when a scroll bar appears.
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    if (element.firstElementChild !== null) observer.observe(element.firstElementChild);
    measure();
    return () => observer.disconnect();
  }, []);
  return { viewportHeight, scrollbarWidth };
}

/** What the keys do while the keyboard is in the grid. */
function useListKeys(list: {
  readonly entries: readonly Entry[];
  readonly active: number;
  readonly viewportHeight: number;
  readonly rowHeight: number;
  readonly onGoUp: () => void;
  readonly rowActions: RowActions;
}): (event: TargetedKeyboardEvent<HTMLDivElement>) => void {
  const { selection } = useClient();
  const { entries, active, viewportHeight, rowHeight, rowActions } = list;
  const typed = useRef({ text: '', atMs: 0 });
  /** Letters lead to the next name that begins with them. Keys that mean something by themselves do so at the start. */
  const typeAhead = (key: string, control: boolean): boolean => {
    if (control || !/^.$/u.test(key)) return false;
    const goesOn = typed.current.text !== '' && Date.now() - typed.current.atMs < typeAheadMs;
    if (!goesOn && singleKeys.includes(key)) return false;
    const text = goesOn ? typed.current.text + key : key;
    typed.current = { text, atMs: Date.now() };
    const index = findByBeginning(entries, text, active);
    if (index >= 0) selection.moveTo(index);
    return true;
  };

  return (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    // The head's own buttons are pressed with these keys; the page's shortcuts still reach them.
    if (event.altKey || entries.length === 0 || closestTo(event, '.file-head') !== null) return;
    const here = entries[active];
    const control = event.ctrlKey || event.metaKey;
    const index = rowByKey(event.key, active, { count: entries.length, viewportHeight, rowHeight });
    if (index !== undefined) {
      if (event.shiftKey) selection.extendTo(entries, index);
      else selection.moveTo(index);
      selection.focusActive();
    } else if (typeAhead(event.key, control)) selection.focusActive();
    else if (event.key === ' ') selection.toggle(entries, active);
    else if (event.key === 'Enter' && here !== undefined) rowActions.onOpen(here);
    else if (event.key === 'F2' && here !== undefined) rowActions.onRename(here);
    else if (event.key === 'Delete' && here !== undefined) rowActions.onDelete(here);
    else if (event.key === 'Backspace') list.onGoUp();
    else if (event.key === 'Escape') selection.clear();
    else if (event.key.toLowerCase() === 'a' && control) selection.all(entries);
    else return;
    event.preventDefault();
  };
}
