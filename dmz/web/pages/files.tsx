import { useEffect, useRef, useState } from 'preact/hooks';
import { AppHeader } from '#dmz/web/components/app-header.tsx';
import { useDropFiles } from '#dmz/web/components/drop-files.ts';
import { placeChosen } from '#dmz/web/components/dropped-files.ts';
import { closestTo } from '#dmz/web/components/event-target.ts';
import { DeleteDialog, KeyboardDialog, NewFolderDialog } from '#dmz/web/components/file-dialogs.tsx';
import { FileList } from '#dmz/web/components/file-list.tsx';
import { FolderBar, SelectionBar } from '#dmz/web/components/file-toolbar.tsx';
import { FilterField } from '#dmz/web/components/filter-field.tsx';
import { EmptyFolder, FailedFolder, LoadingFolder } from '#dmz/web/components/folder-state.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { MoveDialog, type MoveKind } from '#dmz/web/components/move-dialog.tsx';
import { PreviewDialog } from '#dmz/web/components/preview-dialog.tsx';
import { UploadPanel } from '#dmz/web/components/upload-panel.tsx';
import type { Entry } from '#dmz/web/files/entry.ts';
import { previewKindOf } from '#dmz/web/files/preview.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { staleFolderMs } from '#dmz/web/limits.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

type Asked =
  | { readonly name: 'new-folder' }
  | { readonly name: 'delete'; readonly entries: readonly Entry[] }
  | {
      readonly name: 'move';
      readonly kind: MoveKind;
      readonly entries: readonly Entry[];
      readonly target?: FolderPath;
    }
  | { readonly name: 'preview'; readonly entry: Entry }
  | { readonly name: 'keyboard' };

/** The folder in the address bar, and everything that can be done with what is in it. */
export function FilesPage({ path }: { readonly path: FolderPath }) {
  const { brand, route, session, folder, selection, actions } = useClient();
  const words = useWords();
  const [asked, setAsked] = useState<Asked | undefined>();
  const [renamingName, setRenamingName] = useState<string | undefined>();
  const filter = useRef<HTMLInputElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const folderPicker = useRef<HTMLInputElement>(null);
  const pathKey = path.join('/');
  const entries = folder.shown.value;
  const state = folder.state.value;
  const chosen = selection.chosenFrom(entries);
  const rights = session.rights.value;
  const mayUpload = rights.may(path, 'write');

  useEffect(() => {
    const moved = !folder.shows(path) || folder.entries.value.length > 0;
    selection.reset();
    setRenamingName(undefined);
    void folder.open(path).then(() => {
      // Into a folder by keyboard or click: the list has the focus there too.
      if (moved && document.activeElement === document.body) selection.focusActive();
    });
  }, [pathKey]);
  useEffect(() => {
    document.title = `${path.at(-1) ?? words.files.title} – ${brand}`;
  }, [pathKey, words]);
  useEffect(() => {
    const refresh = (): void => {
      if (document.visibilityState === 'visible') void folder.reloadIfOlderThan(staleFolderMs);
    };
    document.addEventListener('visibilitychange', refresh);
    return () => document.removeEventListener('visibilitychange', refresh);
  }, []);

  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0 && mayUpload) void actions.upload(files.map((file) => ({ file, folder: [] })));
    };
    document.addEventListener('paste', paste);
    return () => document.removeEventListener('paste', paste);
  }, [mayUpload]);

  const upload = (): void => {
    if (mayUpload) picker.current?.click();
  };
  const uploadFolder = (): void => folderPicker.current?.click();
  const goUp = (): void => {
    if (path.length > 0) route.go({ name: 'files', folder: path.slice(0, -1) });
  };
  useShortcuts({
    '/': () => filter.current?.focus(),
    u: upload,
    Backspace: goUp,
    '?': () => setAsked({ name: 'keyboard' }),
  });

  const open = (index: number): void => {
    const entry = entries[index];
    if (entry?.type === 'folder') route.go({ name: 'files', folder: [...path, entry.name] });
    else if (entry === undefined || !rights.may(path, 'read')) return;
    else if (previewKindOf(entry.name) !== undefined) setAsked({ name: 'preview', entry });
    else void actions.download([entry]);
  };
  /** The key or menu of a selected row means the whole selection. */
  const meantBy = (index: number): readonly Entry[] => {
    const entry = entries[index];
    if (entry === undefined) return [];
    return selection.names.value.has(entry.name) ? chosen : [entry];
  };
  /** The keys do no more than the menus offer. */
  const askToDelete = (doomed: readonly Entry[]): void => {
    if (doomed.length > 0 && rights.over(path, doomed).remove) setAsked({ name: 'delete', entries: doomed });
  };
  const rename = (entry: Entry | undefined): void => {
    if (entry !== undefined && rights.over(path, [entry]).relocate) setRenamingName(entry.name);
  };

  const drop = useDropFiles({
    mayDrop: (rowIndex, ofRows) => {
      const into = rowIndex === undefined ? undefined : entries[rowIndex];
      const target = into === undefined ? path : [...path, into.name];
      return rights.may(target, 'write') && (!ofRows || rights.over(path, chosen).relocate);
    },
    files: (dropped, rowIndex) => {
      const into = rowIndex === undefined ? undefined : entries[rowIndex];
      void actions.uploadDropped(dropped, into === undefined ? path : [...path, into.name]);
    },
    rows: (rowIndex) => {
      const into = entries[rowIndex];
      if (into === undefined || selection.names.value.has(into.name)) return;
      setAsked({ name: 'move', kind: 'move', entries: chosen, target: [...path, into.name] });
    },
  });
  const dropName =
    (drop.target?.rowIndex === undefined ? undefined : entries[drop.target.rowIndex]?.name) ??
    path.at(-1) ??
    words.files.home;

  return (
    <div class="app app-files" {...drop.handlers}>
      <AppHeader onShowKeyboard={() => setAsked({ name: 'keyboard' })}>
        <FilterField inputRef={filter} />
      </AppHeader>
      <main class="files" data-view="files" id="content" tabIndex={-1}>
        <h1 class="visually-hidden">{path.at(-1) ?? words.files.title}</h1>
        <FolderBar
          onUpload={upload}
          onUploadFolder={uploadFolder}
          onNewFolder={() => setAsked({ name: 'new-folder' })}
        />
        {chosen.length > 0 && (
          <SelectionBar
            chosen={chosen}
            onRename={() => rename(chosen[0])}
            onMove={(kind) => setAsked({ name: 'move', kind, entries: chosen })}
            onDelete={() => askToDelete(chosen)}
          />
        )}
        <div class={drop.target?.ofRows === false ? 'file-card file-card-drop' : 'file-card'}>
          {state.name === 'loading' && <LoadingFolder />}
          {state.name === 'failed' && <FailedFolder problem={state.problem} />}
          {state.name === 'ready' && entries.length === 0 && (
            <EmptyFolder onUpload={mayUpload ? upload : undefined} />
          )}
          {state.name === 'ready' && entries.length > 0 && (
            <>
              <FileList
                renamingName={renamingName}
                dropIndex={drop.target?.rowIndex}
                onRenamed={() => setRenamingName(undefined)}
                onGoUp={goUp}
                onOpen={open}
                onRename={(index) => rename(entries[index])}
                onDownload={(index) => void actions.download(meantBy(index))}
                onMove={(index, kind) => setAsked({ name: 'move', kind, entries: meantBy(index) })}
                onDelete={(index) => askToDelete(meantBy(index))}
              />
              <FolderFoot />
            </>
          )}
          {drop.target?.ofRows === false && (
            <div class="drop-label" data-view="drop">
              <Icon name="upload" />
              {words.files.drop(dropName)}
            </div>
          )}
        </div>
      </main>
      <UploadPanel />
      <input
        ref={picker}
        class="visually-hidden"
        type="file"
        multiple
        tabIndex={-1}
        aria-hidden="true"
        onChange={(event) => {
          void actions.upload(placeChosen([...(event.currentTarget.files ?? [])]));
          // The same file may be chosen again.
          event.currentTarget.value = '';
        }}
      />
      <input
        ref={(input) => {
          folderPicker.current = input;
          if (input !== null) input.webkitdirectory = true;
        }}
        class="visually-hidden"
        type="file"
        tabIndex={-1}
        aria-hidden="true"
        onChange={(event) => {
          void actions.upload(placeChosen([...(event.currentTarget.files ?? [])]));
          event.currentTarget.value = '';
        }}
      />
      {asked?.name === 'new-folder' && <NewFolderDialog onClose={() => setAsked(undefined)} />}
      {asked?.name === 'delete' && (
        <DeleteDialog entries={asked.entries} onClose={() => setAsked(undefined)} />
      )}
      {asked?.name === 'move' && (
        <MoveDialog
          kind={asked.kind}
          entries={asked.entries}
          target={asked.target}
          onClose={() => setAsked(undefined)}
        />
      )}
      {asked?.name === 'preview' && (
        <PreviewDialog
          entry={asked.entry}
          among={entries.filter(({ type, name }) => type === 'file' && previewKindOf(name) !== undefined)}
          onShow={(entry) => setAsked({ name: 'preview', entry })}
          onClose={() => {
            setAsked(undefined);
            selection.focusActive();
          }}
        />
      )}
      {asked?.name === 'keyboard' && <KeyboardDialog onClose={() => setAsked(undefined)} />}
    </div>
  );
}

/** How much there is, and whether it is all. */
function FolderFoot() {
  const { folder } = useClient();
  const words = useWords();
  const formats = useFormats();
  const state = folder.state.value;
  const count = folder.shown.value.length;
  const formatted = formats.number(count);
  return (
    <p class="file-foot" aria-live="polite">
      {state.name === 'ready' && state.truncated
        ? words.files.truncated(formatted)
        : state.name === 'ready' && !state.complete
          ? words.files.counting(formatted)
          : words.files.count(count, formatted)}
    </p>
  );
}

/** Single keys for the whole page, silent while somebody types or answers a dialog. */
function useShortcuts(shortcuts: Readonly<Record<string, () => void>>): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (closestTo(event, 'input:not([type=checkbox]), textarea, dialog, [popover]') !== null) return;
      const run = Object.hasOwn(shortcuts, event.key) ? shortcuts[event.key] : undefined;
      if (run === undefined) return;
      event.preventDefault();
      run();
    };
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  });
}
