import { Said } from '#dmz/web/components/said.tsx';
import { named } from '#dmz/web/i18n/sentence.ts';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { AppHeader } from '#dmz/web/components/app-header.tsx';
import { closestTo, useDropFiles } from '#dmz/web/components/drop-files.ts';
import { placeChosen } from '#dmz/web/files/dropped-files.ts';
import { DeleteDialog, KeyboardDialog, NewFolderDialog } from '#dmz/web/components/file-dialogs.tsx';
import { FileList } from '#dmz/web/components/file-list.tsx';
import { FolderBar, SelectionBar } from '#dmz/web/components/file-toolbar.tsx';
import { FilterField } from '#dmz/web/components/filter-field.tsx';
import { EmptyFolder, FailedFolder, LoadingFolder } from '#dmz/web/components/folder-state.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { MoveDialog, type MoveKind } from '#dmz/web/components/move-dialog.tsx';
import { PreviewDialog } from '#dmz/web/components/preview-dialog.tsx';
import { UnservedDialog, UnservedNote } from '#dmz/web/components/unserved.tsx';
import { UploadPanel } from '#dmz/web/components/upload-panel.tsx';
import { pathOf, type Entry, previewKindOf } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { staleFolderMs } from '#dmz/web/limits.ts';
import type { FolderState } from '#dmz/web/state/folder.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** With all that the answer needs to know about where: the page may show another folder by then. */
type Asked =
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

/** The folder in the address bar, and everything that can be done with what is in it. */
export function FilesPage({ path: address }: { readonly path: FolderPath }) {
  const { brand, route, session, folder, selection, actions, views } = useClient();
  // What is on the screen, which follows the address.
  const path = folder.path.value;
  const words = useWords();
  const [asked, setAsked] = useState<Asked | undefined>();
  const [renaming, setRenaming] = useState<Entry | undefined>();
  const filter = useRef<HTMLInputElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const folderPicker = useRef<HTMLInputElement>(null);
  /** The folder that was open when the browser was asked to let files be chosen. */
  const chosenInto = useRef<FolderPath | undefined>(undefined);
  /** The rows that were taken when the drag began. */
  const dragged = useRef<readonly Entry[]>([]);
  /** The drag may lead to a name in the path: that shows instead of what can be done with a selection. */
  const [isDragging, setDragging] = useState(false);
  const pathKey = address.join('/');
  const openedKey = useRef<string | undefined>(undefined);
  const entries = folder.shown.value;
  // What is left of an earlier visit is not shown: it is read anew, and returned to as it was then.
  const state: FolderState = openedKey.current === pathKey ? folder.state.value : { name: 'loading' };
  const chosen = selection.chosenFrom(entries);
  const rights = session.rights.value;
  const mayUpload = rights.may(path, 'write');

  // Before anything is drawn: nothing of the folder before is to be seen under the new address.
  useLayoutEffect(() => {
    const moved = !folder.shows(address) || folder.entries.value.length > 0;
    openedKey.current = pathKey;
    const left = views.current;
    selection.reset();
    setRenaming(undefined);
    setAsked(undefined);
    void folder.open(address, left.filter).then(() => {
      // Into a folder by keyboard or click: the list has the focus there too.
      if (moved && document.activeElement === document.body) selection.focusActive({ scrolls: false });
    });
  }, [pathKey]);
  const typed = folder.filter.value;
  useEffect(() => views.note(path, { filter: typed }), [typed]);
  useEffect(() => {
    if (state.name !== 'file') return;
    const parent = path.slice(0, -1);
    route.correct({ name: 'files', folder: parent });
    views.note(parent, { active: path.at(-1), isMarked: true });
  }, [state.name]);
  useEffect(() => {
    document.title = `${address.at(-1) ?? words.files.title} – ${brand}`;
  }, [pathKey, words]);
  useEffect(() => {
    const refresh = (): void => {
      if (document.visibilityState === 'visible') void folder.reloadIfOlderThan(staleFolderMs);
    };
    document.addEventListener('visibilitychange', refresh);
    return () => document.removeEventListener('visibilitychange', refresh);
  }, []);

  useEffect(() => {
    const end = (): void => setDragging(false);
    document.addEventListener('dragend', end);
    document.addEventListener('drop', end);
    return () => {
      document.removeEventListener('dragend', end);
      document.removeEventListener('drop', end);
    };
  }, []);
  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      if (closestTo(event, 'input, textarea, dialog') !== null) return;
      const files = [...(event.clipboardData?.files ?? [])];
      const into = folder.path.peek();
      if (files.length > 0 && session.rights.peek().may(into, 'write'))
        void actions.upload(
          files.map((file) => ({ file, folder: [] })),
          into,
        );
    };
    document.addEventListener('paste', paste);
    return () => document.removeEventListener('paste', paste);
  }, []);

  const upload = (): void => {
    chosenInto.current = path;
    if (mayUpload) picker.current?.click();
  };
  const uploadFolder = (): void => {
    chosenInto.current = path;
    folderPicker.current?.click();
  };
  const takeChosen = (input: HTMLInputElement): void => {
    void actions.upload(placeChosen([...(input.files ?? [])]), chosenInto.current ?? path);
    chosenInto.current = undefined;
    // The same file may be chosen again.
    input.value = '';
  };
  /** An answer that comes late closes its own question, not the one asked since. */
  const close = (): void => setAsked((now) => (now === asked ? undefined : now));
  const goUp = (): void => {
    if (path.length > 0) route.go({ name: 'files', folder: path.slice(0, -1) });
  };
  const clearSelection = (): void => {
    selection.clear();
    selection.focusActive();
  };
  useShortcuts({
    '/': () => filter.current?.focus(),
    u: upload,
    Backspace: goUp,
    '?': () => setAsked({ name: 'keyboard' }),
    ...(chosen.length > 0 && { Escape: clearSelection }),
  });

  const open = (entry: Entry): void => {
    if (entry.type === 'folder') route.go({ name: 'files', folder: pathOf(entry) });
    else if (!rights.may(entry.parent, 'read')) return;
    else if (previewKindOf(entry.name) !== undefined) setAsked({ name: 'preview', entry });
    else void actions.download([entry]);
  };
  /** The key or menu of a selected row means the whole selection. */
  const meantBy = (entry: Entry): readonly Entry[] =>
    chosen.some(({ name, parent }) => name === entry.name && parent === entry.parent) ? chosen : [entry];
  /** The keys do no more than the menus offer. */
  const askToDelete = (doomed: readonly Entry[]): void => {
    if (doomed.length > 0 && rights.over(doomed).remove) setAsked({ name: 'delete', entries: doomed });
  };
  const rename = (entry: Entry | undefined): void => {
    if (entry !== undefined && rights.over([entry]).relocate) setRenaming(entry);
  };

  const drop = useDropFiles({
    mayDrop: (into, ofRows) => {
      if (!rights.may(into ?? path, 'write')) return false;
      // Rows don't move to where they are.
      return !ofRows || (into !== undefined && !folder.shows(into) && rights.over(dragged.current).relocate);
    },
    files: (dropped, into) => void actions.uploadDropped(dropped, into ?? path),
    rows: (into) => {
      const isAmongThem = dragged.current.some((entry) => pathOf(entry).join('/') === into.join('/'));
      if (!isAmongThem) setAsked({ name: 'move', kind: 'move', entries: dragged.current, target: into });
    },
  });
  const dropName = (drop.target?.folder ?? path).at(-1) ?? words.files.home;

  return (
    <div class="app app-files" {...drop.handlers}>
      <AppHeader onShowKeyboard={() => setAsked({ name: 'keyboard' })}>
        <FilterField inputRef={filter} />
      </AppHeader>
      <main class="files" data-view="files" id="content" tabIndex={-1}>
        <h1 class="visually-hidden" translate={path.length > 0 ? false : undefined}>
          {path.at(-1) ?? words.files.title}
        </h1>
        <FolderBar
          dropFolder={drop.target?.folder}
          onUpload={upload}
          onUploadFolder={uploadFolder}
          onNewFolder={() => setAsked({ name: 'new-folder', parent: path })}
        />
        {chosen.length > 0 && !isDragging && (
          <SelectionBar
            chosen={chosen}
            onRename={() => rename(chosen[0])}
            onMove={(kind) => setAsked({ name: 'move', kind, entries: chosen })}
            onDelete={() => askToDelete(chosen)}
          />
        )}
        <div class={drop.target?.ofRows === false ? 'file-card file-card-drop' : 'file-card'}>
          {(state.name === 'loading' || state.name === 'file') && <LoadingFolder />}
          {state.name === 'failed' && <FailedFolder problem={state.problem} />}
          {state.name === 'ready' && entries.length === 0 && (
            <EmptyFolder onUpload={mayUpload ? upload : undefined} />
          )}
          {state.name === 'ready' && entries.length > 0 && (
            <>
              <FileList
                key={path.join('/')}
                renaming={renaming}
                dropFolder={drop.target?.folder}
                onRenamed={() => setRenaming((now) => (now === renaming ? undefined : now))}
                onMarked={(entry) => {
                  if (previewKindOf(entry.name) !== undefined) open(entry);
                  else selection.focusActive();
                }}
                onDrag={(entry) => {
                  dragged.current = meantBy(entry);
                  // Not within the event: a browser ends a drag whose page changes under it.
                  setTimeout(() => setDragging(true));
                }}
                onGoUp={goUp}
                onOpen={open}
                onRename={rename}
                onDownload={(entry) => void actions.download(meantBy(entry))}
                onMove={(entry, kind) => setAsked({ name: 'move', kind, entries: meantBy(entry) })}
                onDelete={(entry) => askToDelete(meantBy(entry))}
              />
              <FolderFoot />
            </>
          )}
          <UnservedNote onShow={() => setAsked({ name: 'unserved' })} />
          {drop.target?.ofRows === false && (
            <div class="drop-label" data-view="drop">
              <Icon name="upload" />
              <span>
                <Said text={words.files.drop(named(dropName))} />
              </span>
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
        onChange={(event) => takeChosen(event.currentTarget)}
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
        onChange={(event) => takeChosen(event.currentTarget)}
      />
      {asked?.name === 'new-folder' && <NewFolderDialog parent={asked.parent} onClose={close} />}
      {asked?.name === 'delete' && <DeleteDialog entries={asked.entries} onClose={close} />}
      {asked?.name === 'move' && (
        <MoveDialog kind={asked.kind} entries={asked.entries} target={asked.target} onClose={close} />
      )}
      {asked?.name === 'preview' && (
        <PreviewDialog
          entry={asked.entry}
          among={entries.filter(({ type, name }) => type === 'file' && previewKindOf(name) !== undefined)}
          onShow={(entry) => {
            // The list follows, so that it shows on closing what was looked at last.
            const index = entries.indexOf(entry);
            if (index >= 0) selection.moveTo(index);
            setAsked({ name: 'preview', entry });
          }}
          onClose={() => {
            close();
            selection.focusActive();
          }}
        />
      )}
      {asked?.name === 'unserved' && <UnservedDialog onClose={close} />}
      {asked?.name === 'keyboard' && <KeyboardDialog onClose={close} />}
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
