import type { TargetedDragEvent } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { type DroppedFiles, readDropped } from '#dmz/web/files/dropped-files.ts';
import { parsePagePath, toPagePath, type FolderPath } from '#dmz/web/files/path.ts';

/** The nearest element around where an event happened that matches, if any. */
export function closestTo(event: Event, selector: string): HTMLElement | null {
  return event.target instanceof Element ? event.target.closest<HTMLElement>(selector) : null;
}

/** Marks rows of this page while they are dragged; a browser shows types, not values, before the drop. */
const rowType = 'application/x-sallyport-rows';

export function startRowDrag(event: DragEvent): void {
  if (event.dataTransfer === null) return;
  event.dataTransfer.setData(rowType, '');
  event.dataTransfer.effectAllowed = 'move';
}

function holdsRows(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes(rowType) === true;
}

/** Where dragged files would land: the folder whose row or name in the path is under the pointer, or the open one. */
interface DropTarget {
  readonly folder: FolderPath | undefined;
  /** Rows of this page, not files from outside. */
  readonly ofRows: boolean;
}

function holdsFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') === true;
}

/** For a folder's row or name in the path: what it carries when something is dropped on it. */
export function markDropPlace(folder: FolderPath): Record<`data-${string}`, string> {
  return { 'data-drop': toPagePath(folder) };
}

function folderUnder(event: DragEvent): FolderPath | undefined {
  const place = closestTo(event, '[data-drop]')?.dataset['drop'];
  return place === undefined ? undefined : parsePagePath(place.slice(toPagePath([]).length));
}

/** Handlers for an area onto which files may be dropped, and where they are held right now. */
export function useDropFiles(on: {
  readonly mayDrop: (folder: FolderPath | undefined, ofRows: boolean) => boolean;
  readonly files: (dropped: Promise<DroppedFiles>, folder: FolderPath | undefined) => void;
  /** Rows only move into a folder under the pointer. */
  readonly rows: (folder: FolderPath) => void;
}) {
  const [target, setTarget] = useState<DropTarget | undefined>();
  // Every child the pointer passes sends enter and leave; only their balance tells when it left the area.
  const depth = useRef(0);
  type AreaEvent = TargetedDragEvent<HTMLElement>;
  return {
    target,
    handlers: {
      onDragEnter: (event: AreaEvent): void => {
        if (!holdsFiles(event) && !holdsRows(event)) return;
        event.preventDefault();
        depth.current += 1;
      },
      onDragOver: (event: AreaEvent): void => {
        const ofRows = holdsRows(event);
        const folder = folderUnder(event);
        const canLand = holdsFiles(event) || (ofRows && folder !== undefined);
        if (!canLand || !on.mayDrop(folder, ofRows)) {
          setTarget(undefined);
          // The browser shows that this is no place by not being prevented; files it would open instead of the page.
          if (!holdsFiles(event) || event.dataTransfer === null) return;
          event.preventDefault();
          event.dataTransfer.dropEffect = 'none';
          return;
        }
        event.preventDefault();
        if (target === undefined || target.folder?.join('/') !== folder?.join('/'))
          setTarget({ folder, ofRows });
      },
      onDragLeave: (event: AreaEvent): void => {
        if (!holdsFiles(event) && !holdsRows(event)) return;
        depth.current -= 1;
        if (depth.current <= 0) {
          depth.current = 0;
          setTarget(undefined);
        }
      },
      onDrop: (event: AreaEvent): void => {
        depth.current = 0;
        setTarget(undefined);
        const folder = folderUnder(event);
        if (holdsRows(event)) {
          event.preventDefault();
          if (folder !== undefined && on.mayDrop(folder, true)) on.rows(folder);
        } else if (holdsFiles(event) && event.dataTransfer !== null) {
          event.preventDefault();
          if (on.mayDrop(folder, false)) on.files(readDropped(event.dataTransfer), folder);
        }
      },
    },
  };
}
