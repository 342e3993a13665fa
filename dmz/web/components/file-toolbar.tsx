import { Breadcrumbs } from '#dmz/web/components/breadcrumbs.tsx';
import { Button, IconButton } from '#dmz/web/components/button.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { Menu, type MenuItem } from '#dmz/web/components/menu.tsx';
import type { MoveKind } from '#dmz/web/components/move-dialog.tsx';
import type { Entry } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** Above the list: where we are and what can be added. On phones the adding floats over the list's end. */
export function FolderBar({
  dropFolder,
  onUpload,
  onUploadFolder,
  onNewFolder,
}: {
  /** That files or rows are held over. */
  readonly dropFolder: FolderPath | undefined;
  readonly onUpload: () => void;
  readonly onUploadFolder: () => void;
  readonly onNewFolder: () => void;
}) {
  const { folder, session } = useClient();
  const words = useWords();
  const path = folder.path.value;
  const rights = session.rights.value;
  const state = folder.state.value;
  const gone = state.name === 'failed' && [404, 409].includes(state.problem.status);
  const mayUpload = !gone && rights.may(path, 'write');
  const mayMake = !gone && rights.may(path, 'mkdir');
  const items: readonly MenuItem[] = [
    ...(mayUpload ? [{ label: words.files.uploadFiles, icon: 'upload' as const, onSelect: onUpload }] : []),
    ...(mayUpload && mayMake
      ? [{ label: words.files.uploadFolder, icon: 'folderUp' as const, onSelect: onUploadFolder }]
      : []),
    ...(mayMake
      ? [{ label: words.files.newFolder, icon: 'folderPlus' as const, onSelect: onNewFolder }]
      : []),
  ];
  return (
    <div class="bar bar-folder">
      <Breadcrumbs path={path} dropFolder={dropFolder} />
      <div class="bar-actions on-desktop">
        {mayMake && (
          <Button icon="folderPlus" onClick={onNewFolder}>
            {words.files.newFolder}
          </Button>
        )}
        {mayUpload && mayMake && (
          <Button icon="folderUp" onClick={onUploadFolder}>
            {words.files.uploadFolder}
          </Button>
        )}
        {mayUpload && (
          <Button kind="primary" icon="upload" onClick={onUpload}>
            {words.files.upload}
          </Button>
        )}
      </div>
      {items.length > 0 && (
        <div class="floating on-phone">
          <Menu class="floating-button" label={words.files.add} items={items}>
            <Icon name="plus" size={24} />
          </Menu>
        </div>
      )}
    </div>
  );
}

/** Takes the folder bar's place while something is selected; on phones it lies at the bottom. */
export function SelectionBar({
  chosen,
  onRename,
  onMove,
  onDelete,
}: {
  readonly chosen: readonly Entry[];
  readonly onRename: () => void;
  readonly onMove: (kind: MoveKind) => void;
  readonly onDelete: () => void;
}) {
  const { selection, session, actions } = useClient();
  const words = useWords();
  const formats = useFormats();
  const may = session.rights.value.over(chosen);
  return (
    <div
      class="bar bar-selection"
      role="toolbar"
      aria-label={words.files.selected(chosen.length, formats.number(chosen.length))}
    >
      <IconButton icon="close" label={words.files.clearSelection} onClick={() => selection.clear()} />
      <span class="bar-count">{words.files.selected(chosen.length, formats.number(chosen.length))}</span>
      <div class="bar-actions">
        {may.download && (
          <Button icon="download" onClick={() => void actions.download(chosen)}>
            {words.files.download}
          </Button>
        )}
        {may.relocate && (
          <Button icon="move" onClick={() => onMove('move')}>
            {words.files.move}
          </Button>
        )}
        {may.copy && (
          <Button icon="copy" onClick={() => onMove('copy')}>
            {words.files.copy}
          </Button>
        )}
        {may.relocate && chosen.length === 1 && (
          <Button icon="pencil" onClick={onRename}>
            {words.files.rename}
          </Button>
        )}
        {may.remove && (
          <Button icon="trash" kind="danger" onClick={onDelete}>
            {words.files.delete}
          </Button>
        )}
      </div>
    </div>
  );
}
