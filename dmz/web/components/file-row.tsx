import type { TargetedPointerEvent } from 'preact';
import { useRef } from 'preact/hooks';
import { closestTo, markDropPlace, startRowDrag } from '#dmz/web/components/drop-files.ts';
import { Icon, type IconName } from '#dmz/web/components/icon.tsx';
import { Menu, type MenuItem } from '#dmz/web/components/menu.tsx';
import { PageLink } from '#dmz/web/components/page-link.tsx';
import { RenameField } from '#dmz/web/components/rename-field.tsx';
import { pathOf, type Entry, previewKindOf } from '#dmz/web/files/entry.ts';
import type { EntryRights } from '#dmz/web/files/rights.ts';
import { toPagePath } from '#dmz/web/files/path.ts';
import { longPressMs } from '#dmz/web/limits.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

const iconsByEnding: readonly (readonly [RegExp, IconName])[] = [
  [/\.(jpe?g|png|gif|webp|avif|svg|tiff?|heic|bmp)$/i, 'fileImage'],
  [/\.(txt|md|log|csv|json|ya?ml|xml|docx?|odt|rtf|pdf|xlsx?|ods|pptx?|odp)$/i, 'fileText'],
  [/\.(zip|tar|gz|tgz|bz2|xz|zst|7z|rar|iso)$/i, 'fileZip'],
];

function iconOf(entry: Entry): IconName {
  if (entry.type === 'folder') return 'folder';
  return iconsByEnding.find(([ending]) => ending.test(entry.name))?.[1] ?? 'file';
}

export interface RowActions {
  readonly onOpen: (entry: Entry) => void;
  readonly onDownload: (entry: Entry) => void;
  readonly onMove: (entry: Entry, kind: 'move' | 'copy') => void;
  readonly onRename: (entry: Entry) => void;
  readonly onDelete: (entry: Entry) => void;
  /** A link led to it. */
  readonly onMarked: (entry: Entry) => void;
  /** Its row is being dragged, alone or with what is selected. */
  readonly onDrag: (entry: Entry) => void;
}

/** One line of the list. `top`: pixels from the list's beginning. */
export function FileRow({
  entry,
  index,
  top,
  selected,
  active,
  renaming,
  dropTarget,
  onRenamed,
  ...rowActions
}: {
  readonly entry: Entry;
  readonly index: number;
  readonly top: number;
  readonly selected: boolean;
  readonly active: boolean;
  readonly renaming: boolean;
  readonly dropTarget: boolean;
  readonly onRenamed: () => void;
} & RowActions) {
  const { folder, selection, session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const size = entry.type === 'file' ? formats.size(entry.size) : '–';
  const may = session.rights.value.over([entry]);
  const modified = formats.modified(entry.mtimeMs, Date.now());

  const items = itemsFor(entry, index, rowActions, selection, may, words);
  const presses = useRowPresses(entry, index, renaming, rowActions.onOpen);

  const className = [
    'file-row',
    entry.type === 'folder' ? 'file-row-folder' : '',
    selected ? 'file-row-selected' : '',
    dropTarget ? 'file-row-drop' : '',
  ].join(' ');
  return (
    <div
      role="row"
      class={className}
      style={{ top: `${top}px` }}
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={active ? 0 : -1}
      data-index={index}
      {...(entry.type === 'folder' ? markDropPlace(pathOf(entry)) : {})}
      draggable={!renaming}
      onDragStart={(event) => {
        // What is dragged is the selection, or this row alone.
        if (!selected) selection.only(folder.shown.value, index);
        rowActions.onDrag(entry);
        startRowDrag(event);
      }}
      onFocus={() => {
        if (!active) selection.active.value = index;
      }}
      {...presses}
    >
      <div role="gridcell" class="cell-check">
        <label class="row-check" onClick={(event) => event.stopPropagation()}>
          <input
            type="checkbox"
            checked={selected}
            tabIndex={-1}
            aria-label={words.files.select(entry.name)}
            onClick={(event) => {
              if (event.shiftKey) selection.extendTo(folder.shown.value, index);
              else selection.toggle(folder.shown.value, index);
            }}
          />
        </label>
      </div>
      <div role="gridcell" class="cell-name">
        <Icon name={iconOf(entry)} />
        {renaming ? (
          <RenameField entry={entry} onClose={onRenamed} />
        ) : (
          <div class="name-lines">
            <NameLink entry={entry} opens={may.download} />
            <span class="name-facts on-phone">
              {entry.type === 'file' ? `${size} · ${modified}` : modified}
            </span>
          </div>
        )}
      </div>
      <div role="gridcell" class="cell-size on-desktop">
        {size}
      </div>
      <div role="gridcell" class="cell-modified on-desktop" title={formats.fullDate(entry.mtimeMs)}>
        {modified}
      </div>
      <div role="gridcell" class="cell-more" onClick={(event) => event.stopPropagation()}>
        {items.length > 0 && (
          <Menu class="icon-button" label={words.files.more(entry.name)} tabIndex={-1} items={items}>
            <Icon name="more" />
          </Menu>
        )}
      </div>
    </div>
  );
}

function itemsFor(
  entry: Entry,
  index: number,
  rowActions: RowActions,
  selection: ReturnType<typeof useClient>['selection'],
  may: EntryRights,
  words: ReturnType<typeof useWords>,
): MenuItem[] {
  const isFolder = entry.type === 'folder';
  const opens = isFolder || (may.download && previewKindOf(entry.name) !== undefined);
  const open: MenuItem = {
    label: words.files.open,
    icon: isFolder ? 'folder' : 'eye',
    onSelect: () => rowActions.onOpen(entry),
  };
  const copy: MenuItem = {
    label: words.files.copy,
    icon: 'copy',
    onSelect: () => rowActions.onMove(entry, 'copy'),
  };
  const download: MenuItem = {
    label: words.files.download,
    icon: 'download',
    onSelect: () => rowActions.onDownload(entry),
  };
  const relocate: readonly MenuItem[] = [
    {
      label: words.files.rename,
      icon: 'pencil',
      onSelect: () => {
        selection.moveTo(index);
        rowActions.onRename(entry);
      },
    },
    { label: words.files.move, icon: 'move', onSelect: () => rowActions.onMove(entry, 'move') },
  ];
  const remove: MenuItem = {
    label: words.files.delete,
    icon: 'trash',
    danger: true,
    onSelect: () => rowActions.onDelete(entry),
  };
  return [
    ...(opens ? [open] : []),
    ...(may.download ? [download] : []),
    ...(may.relocate ? relocate : []),
    ...(may.copy ? [copy] : []),
    ...(may.remove ? [remove] : []),
  ];
}

/** The name is a real link, to this page: whoever gets it signs in first and then sees the folder, or the file in it. */
function NameLink({ entry, opens }: { readonly entry: Entry; readonly opens: boolean }) {
  const path = pathOf(entry);
  return (
    <span class="name" title={entry.name} translate={false}>
      {entry.type === 'folder' ? (
        <PageLink to={{ name: 'files', folder: path }} tabIndex={-1}>
          {entry.name}
        </PageLink>
      ) : opens ? (
        <a href={toPagePath(path)} tabIndex={-1} draggable={false}>
          {entry.name}
        </a>
      ) : (
        entry.name
      )}
    </span>
  );
}

function isTouch(event: MouseEvent): boolean {
  return event instanceof PointerEvent && event.pointerType === 'touch';
}

/** What a row's clicks and taps mean: choosing it, adding it to the selection, opening it. */
function useRowPresses(entry: Entry, index: number, renaming: boolean, onOpen: RowActions['onOpen']) {
  const { folder, selection } = useClient();
  const pressed = useLongPress(() => selection.toggle(folder.shown.value, index));

  /** Before the name's own link gets the tap: while rows are being selected by touch, a tap only selects. */
  const interceptTap = (event: MouseEvent): void => {
    const held = pressed.consume();
    if (!held && !(isTouch(event) && selection.names.value.size > 0)) return;
    if (closestTo(event, '.cell-check, .cell-more') !== null) return;
    event.preventDefault();
    event.stopPropagation();
    if (!held) selection.toggle(folder.shown.value, index);
  };

  const choose = (event: MouseEvent): void => {
    if (renaming) return;
    const entries = folder.shown.value;
    const withKeys = event.shiftKey || event.ctrlKey || event.metaKey;
    if (closestTo(event, 'a') !== null) {
      if (!withKeys) selection.moveTo(index);
      // Folders open by themselves, as page links do.
      if (!withKeys && entry.type === 'folder') return;
      event.preventDefault();
      if (!withKeys) {
        onOpen(entry);
        return;
      }
    }
    if (event.shiftKey) selection.extendTo(entries, index);
    else if (withKeys) selection.toggle(entries, index);
    else if (isTouch(event)) onOpen(entry);
    else selection.only(entries, index);
    selection.focusActive();
  };

  return {
    ...pressed.handlers,
    onClickCapture: interceptTap,
    onClick: choose,
    onDblClick: (): void => {
      if (!renaming) onOpen(entry);
    },
  };
}

/** A finger held still. `consume` tells whether the click that follows belongs to it. */
function useLongPress(onLongPress: () => void) {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const fired = useRef(false);
  const stop = (): void => clearTimeout(timer.current);
  return {
    consume: (): boolean => {
      const was = fired.current;
      fired.current = false;
      return was;
    },
    handlers: {
      onPointerDown: (event: TargetedPointerEvent<HTMLDivElement>): void => {
        fired.current = false;
        if (event.pointerType !== 'touch') return;
        timer.current = setTimeout(() => {
          fired.current = true;
          onLongPress();
        }, longPressMs);
      },
      onPointerUp: stop,
      onPointerCancel: stop,
      onPointerMove: (event: TargetedPointerEvent<HTMLDivElement>): void => {
        if (Math.abs(event.movementX) + Math.abs(event.movementY) > 4) stop();
      },
      onContextMenu: (event: MouseEvent): void => {
        if (fired.current) event.preventDefault();
      },
    },
  };
}
