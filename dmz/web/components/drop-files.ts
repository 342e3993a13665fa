import type { TargetedDragEvent } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { type DroppedFiles, readDropped } from '#dmz/web/components/dropped-files.ts';
import { closestTo } from '#dmz/web/components/event-target.ts';

/** Where dragged files would land: the open folder, or the folder row under the pointer. */
export interface DropTarget {
  readonly rowIndex: number | undefined;
}

function holdsFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') === true;
}

function rowUnder(event: DragEvent): number | undefined {
  const row = closestTo(event, '.file-row-folder');
  return row?.dataset['index'] === undefined ? undefined : Number(row.dataset['index']);
}

/** Handlers for an area onto which files may be dropped, and where they are held right now. */
export function useDropFiles(onDrop: (dropped: Promise<DroppedFiles>, target: DropTarget) => void) {
  const [target, setTarget] = useState<DropTarget | undefined>();
  // Every child the pointer passes sends enter and leave; only their balance tells when it left the area.
  const depth = useRef(0);
  type AreaEvent = TargetedDragEvent<HTMLElement>;
  return {
    target,
    handlers: {
      onDragEnter: (event: AreaEvent): void => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        depth.current += 1;
      },
      onDragOver: (event: AreaEvent): void => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        const rowIndex = rowUnder(event);
        if (target === undefined || target.rowIndex !== rowIndex) setTarget({ rowIndex });
      },
      onDragLeave: (event: AreaEvent): void => {
        if (!holdsFiles(event)) return;
        depth.current -= 1;
        if (depth.current <= 0) {
          depth.current = 0;
          setTarget(undefined);
        }
      },
      onDrop: (event: AreaEvent): void => {
        depth.current = 0;
        setTarget(undefined);
        if (!holdsFiles(event) || event.dataTransfer === null) return;
        event.preventDefault();
        onDrop(readDropped(event.dataTransfer), { rowIndex: rowUnder(event) });
      },
    },
  };
}
