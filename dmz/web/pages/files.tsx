import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { AppHeader } from '#dmz/web/components/app-header.tsx';
import { closestTo, useDropFiles } from '#dmz/web/components/drop-files.ts';
import { FileList } from '#dmz/web/components/file-list.tsx';
import { useFilePickers } from '#dmz/web/components/file-pickers.tsx';
import { FileQuestion, type Asked } from '#dmz/web/components/file-question.tsx';
import { FolderBar, SelectionBar } from '#dmz/web/components/file-toolbar.tsx';
import { FilterField } from '#dmz/web/components/filter-field.tsx';
import { EmptyFolder, FailedFolder, LoadingFolder } from '#dmz/web/components/folder-state.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { Said } from '#dmz/web/components/said.tsx';
import { UnservedNote } from '#dmz/web/components/unserved.tsx';
import { UploadPanel } from '#dmz/web/components/upload-panel.tsx';
import { pathOf, type Entry, previewKindOf } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { named } from '#dmz/web/i18n/sentence.ts';
import { staleFolderMs } from '#dmz/web/limits.ts';
import type { FolderState } from '#dmz/web/state/folder.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** The folder in the address bar, and everything that can be done with what is in it. */
export function FilesPage({ path: address }: { readonly path: FolderPath }) {
  const { route, session, folder, selection, actions } = useClient();
  // What is on the screen, which follows the address.
  const path = folder.path.value;
  const words = useWords();
  const filter = useRef<HTMLInputElement>(null);
  const entries = folder.shown.value;
  const chosen = selection.chosenFrom(entries);
  const mayUpload = session.rights.value.may(path, 'write');
  const { ask, open, meantBy, ...commands } = useCommands(chosen);
  const state = useOpenedFolder(address, commands.leave);
  const drag = useFileDrag(path, (moved, target) =>
    ask({ name: 'move', kind: 'move', entries: moved, target }),
  );
  usePastedFiles();
  const pickers = useFilePickers(path);

  const upload = (): void => {
    if (mayUpload) pickers.chooseFiles();
  };
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
    '?': () => ask({ name: 'keyboard' }),
    ...(chosen.length > 0 && { Escape: clearSelection }),
  });

  return (
    <div class="app app-files" {...drag.handlers}>
      <AppHeader onShowKeyboard={() => ask({ name: 'keyboard' })}>
        <FilterField inputRef={filter} />
      </AppHeader>
      <main class="files" data-view="files" id="content" tabIndex={-1}>
        <h1 class="visually-hidden" translate={path.length > 0 ? false : undefined}>
          {path.at(-1) ?? words.files.title}
        </h1>
        <FolderBar
          dropFolder={drag.target?.folder}
          onUpload={upload}
          onUploadFolder={pickers.chooseFolder}
          onNewFolder={() => ask({ name: 'new-folder', parent: path })}
        />
        {chosen.length > 0 && !drag.isDragging && (
          <SelectionBar
            chosen={chosen}
            onRename={() => commands.rename(chosen[0])}
            onMove={(kind) => ask({ name: 'move', kind, entries: chosen })}
            onDelete={() => commands.askToDelete(chosen)}
          />
        )}
        <div class={drag.target?.ofRows === false ? 'file-card file-card-drop' : 'file-card'}>
          {(state.name === 'loading' || state.name === 'file') && <LoadingFolder />}
          {state.name === 'failed' && <FailedFolder problem={state.problem} />}
          {state.name === 'ready' && entries.length === 0 && (
            <EmptyFolder onUpload={mayUpload ? upload : undefined} />
          )}
          {state.name === 'ready' && entries.length > 0 && (
            <>
              <FileList
                key={path.join('/')}
                renaming={commands.renaming}
                dropFolder={drag.target?.folder}
                onRenamed={commands.endRenaming}
                onMarked={(entry) => {
                  if (previewKindOf(entry.name) !== undefined) open(entry);
                  else selection.focusActive();
                }}
                onDrag={(entry) => drag.begin(meantBy(entry))}
                onGoUp={goUp}
                onOpen={open}
                onRename={commands.rename}
                onDownload={(entry) => void actions.download(meantBy(entry))}
                onMove={(entry, kind) => ask({ name: 'move', kind, entries: meantBy(entry) })}
                onDelete={(entry) => commands.askToDelete(meantBy(entry))}
              />
              <FolderFoot />
            </>
          )}
          <UnservedNote onShow={() => ask({ name: 'unserved' })} />
          {drag.target?.ofRows === false && <DropLabel folder={drag.target.folder ?? path} />}
        </div>
      </main>
      <UploadPanel />
      {pickers.fields}
      {commands.asked !== undefined && (
        <FileQuestion
          asked={commands.asked}
          onShow={(entry) => ask({ name: 'preview', entry })}
          onClose={commands.close}
        />
      )}
    </div>
  );
}

/** Says into which folder the files would go. */
function DropLabel({ folder }: { readonly folder: FolderPath }) {
  const words = useWords();
  return (
    <div class="drop-label" data-view="drop">
      <Icon name="upload" />
      <span>
        <Said text={words.files.drop(named(folder.at(-1) ?? words.files.home))} />
      </span>
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

/** What can be done with rows, and the question or renaming that it leads to. `chosen`: the selected rows. */
function useCommands(chosen: readonly Entry[]) {
  const { route, session, actions } = useClient();
  const rights = session.rights.value;
  const [asked, ask] = useState<Asked | undefined>();
  const [renaming, setRenaming] = useState<Entry | undefined>();

  const open = (entry: Entry): void => {
    if (entry.type === 'folder') route.go({ name: 'files', folder: pathOf(entry) });
    else if (!rights.may(entry.parent, 'read')) return;
    else if (previewKindOf(entry.name) !== undefined) ask({ name: 'preview', entry });
    else void actions.download([entry]);
  };
  /** The key or menu of a selected row means the whole selection. */
  const meantBy = (entry: Entry): readonly Entry[] =>
    chosen.some(({ name, parent }) => name === entry.name && parent === entry.parent) ? chosen : [entry];
  /** The keys do no more than the menus offer. */
  const askToDelete = (doomed: readonly Entry[]): void => {
    if (doomed.length > 0 && rights.over(doomed).remove) ask({ name: 'delete', entries: doomed });
  };
  const rename = (entry: Entry | undefined): void => {
    if (entry !== undefined && rights.over([entry]).relocate) setRenaming(entry);
  };

  // An answer that comes late closes its own question, not the one asked since; and so for names.
  const close = (): void => ask((now) => (now === asked ? undefined : now));
  const endRenaming = (): void => setRenaming((now) => (now === renaming ? undefined : now));
  const leave = (): void => {
    setRenaming(undefined);
    ask(undefined);
  };

  return { asked, ask, close, open, meantBy, askToDelete, renaming, rename, endRenaming, leave };
}

/** Reads the folder in the address bar, again when it has grown old. `onLeave`: what was begun in the one before ends. */
function useOpenedFolder(address: FolderPath, onLeave: () => void): FolderState {
  const { brand, route, folder, selection, views } = useClient();
  const words = useWords();
  const path = folder.path.value;
  const pathKey = address.join('/');
  const openedKey = useRef<string | undefined>(undefined);
  // What is left of an earlier visit is not shown: it is read anew, and returned to as it was then.
  const state: FolderState = openedKey.current === pathKey ? folder.state.value : { name: 'loading' };

  // Before anything is drawn: nothing of the folder before is to be seen under the new address.
  useLayoutEffect(() => {
    const moved = !folder.shows(address) || folder.entries.value.length > 0;
    openedKey.current = pathKey;
    const left = views.current;
    selection.reset();
    onLeave();
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
  return state;
}

/** Files from outside are uploaded where they are dropped; `onMove` is asked about rows dropped on another folder. */
function useFileDrag(path: FolderPath, onMove: (entries: readonly Entry[], target: FolderPath) => void) {
  const { session, folder, actions } = useClient();
  const rights = session.rights.value;
  /** The rows that were taken when the drag began. */
  const dragged = useRef<readonly Entry[]>([]);
  /** The drag may lead to a name in the path: that shows instead of what can be done with a selection. */
  const [isDragging, setDragging] = useState(false);
  useEffect(() => {
    const end = (): void => setDragging(false);
    document.addEventListener('dragend', end);
    document.addEventListener('drop', end);
    return () => {
      document.removeEventListener('dragend', end);
      document.removeEventListener('drop', end);
    };
  }, []);
  const drop = useDropFiles({
    mayDrop: (into, ofRows) => {
      if (!rights.may(into ?? path, 'write')) return false;
      // Rows don't move to where they are.
      return !ofRows || (into !== undefined && !folder.shows(into) && rights.over(dragged.current).relocate);
    },
    files: (dropped, into) => void actions.uploadDropped(dropped, into ?? path),
    rows: (into) => {
      const isAmongThem = dragged.current.some((entry) => pathOf(entry).join('/') === into.join('/'));
      if (!isAmongThem) onMove(dragged.current, into);
    },
  });
  const begin = (entries: readonly Entry[]): void => {
    dragged.current = entries;
    // Not within the event: a browser ends a drag whose page changes under it.
    setTimeout(() => setDragging(true));
  };
  return { ...drop, isDragging, begin };
}

/** Files that are pasted anywhere on the page are uploaded into the open folder. */
function usePastedFiles(): void {
  const { session, folder, actions } = useClient();
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
