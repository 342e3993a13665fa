import { DeleteDialog, KeyboardDialog, NewFolderDialog } from '#dmz/web/components/file-dialogs.tsx';
import { MoveDialog, type MoveKind } from '#dmz/web/components/move-dialog.tsx';
import { PreviewDialog } from '#dmz/web/components/preview-dialog.tsx';
import { UnservedDialog } from '#dmz/web/components/unserved.tsx';
import { type Entry, previewKindOf } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { useClient } from '#dmz/web/state/client.ts';

/** With all that the answer needs to know about where: the page may show another folder by then. */
export type Asked =
  | { readonly name: 'new-folder'; readonly parent: FolderPath }
  | { readonly name: 'delete'; readonly entries: readonly Entry[] }
  | {
      readonly name: 'move';
      readonly kind: MoveKind;
      readonly entries: readonly Entry[];
      readonly target?: FolderPath;
    }
  | { readonly name: 'preview'; readonly entry: Entry }
  | { readonly name: 'unserved' }
  | { readonly name: 'keyboard' };

/** The one dialog that is open over the files. `onShow`: another file is to be looked at. */
export function FileQuestion({
  asked,
  onShow,
  onClose,
}: {
  readonly asked: Asked;
  readonly onShow: (entry: Entry) => void;
  readonly onClose: () => void;
}) {
  const { folder, selection } = useClient();
  const entries = folder.shown.value;
  return (
    <>
      {asked.name === 'new-folder' && <NewFolderDialog parent={asked.parent} onClose={onClose} />}
      {asked.name === 'delete' && <DeleteDialog entries={asked.entries} onClose={onClose} />}
      {asked.name === 'move' && (
        <MoveDialog kind={asked.kind} entries={asked.entries} target={asked.target} onClose={onClose} />
      )}
      {asked.name === 'preview' && (
        <PreviewDialog
          entry={asked.entry}
          among={entries.filter(({ type, name }) => type === 'file' && previewKindOf(name) !== undefined)}
          onShow={(entry) => {
            // The list follows, so that it shows on closing what was looked at last.
            const index = entries.indexOf(entry);
            if (index >= 0) selection.moveTo(index);
            onShow(entry);
          }}
          onClose={() => {
            onClose();
            selection.focusActive();
          }}
        />
      )}
      {asked.name === 'unserved' && <UnservedDialog onClose={onClose} />}
      {asked.name === 'keyboard' && <KeyboardDialog onClose={onClose} />}
    </>
  );
}
