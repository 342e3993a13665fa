import type { TargetedDragEvent } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { type DroppedFiles, readDropped } from '#dmz/web/components/dropped-files.ts';
import { closestTo } from '#dmz/web/components/event-target.ts';

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

/** Where dragged files would land: the open folder, or the folder row under the pointer. */
export interface DropTarget {
  readonly rowIndex: number | undefined;
  /** Rows of this page, not files from outside. */
  readonly ofRows: boolean;
}

function holdsFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') === true;
}

function rowUnder(event: DragEvent): number | undefined {
  const row = closestTo(event, '.file-row-folder');
  return row?.dataset['index'] === undefined ? undefined : Number(row.dataset['index']);
}

/** Handlers for an area onto which files may be dropped, and where they are held right now. */
export function useDropFiles(on: {
  readonly mayDrop: (rowIndex: number | undefined, ofRows: boolean) => boolean;
  readonly files: (dropped: Promise<DroppedFiles>, rowIndex: number | undefined) => void;
  /** Rows only move into a folder under the pointer. */
  readonly rows: (rowIndex: number) => void;
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
        const rowIndex = rowUnder(event);
        const canLand = holdsFiles(event) || (ofRows && rowIndex !== undefined);
        if (!canLand || !on.mayDrop(rowIndex, ofRows)) {
          setTarget(undefined);
          // The browser shows that this is no place by not being prevented; files it would open instead of the page.
          if (!holdsFiles(event) || event.dataTransfer === null) return;
          event.preventDefault();
          event.dataTransfer.dropEffect = 'none';
          return;
        }
        event.preventDefault();
        if (target === undefined || target.rowIndex !== rowIndex) setTarget({ rowIndex, ofRows });
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
        const rowIndex = rowUnder(event);
        if (holdsRows(event)) {
          event.preventDefault();
          if (rowIndex !== undefined && on.mayDrop(rowIndex, true)) on.rows(rowIndex);
        } else if (holdsFiles(event) && event.dataTransfer !== null) {
          event.preventDefault();
          if (on.mayDrop(rowIndex, false)) on.files(readDropped(event.dataTransfer), rowIndex);
        }
      },
    },
  };
}
