import { uploadsQueuedMax } from '#dmz/web/limits.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';

/** A file and the folder it belongs in, below the one it was dropped on or chosen for. */
export interface PlacedFile {
  readonly file: File;
  readonly folder: FolderPath;
}

/** What somebody dropped or chose, with the folders in it opened up. */
export interface DroppedFiles {
  readonly files: readonly PlacedFile[];
  /** Every folder, the outer before the inner: empty ones are wanted too. */
  readonly folders: readonly FolderPath[];
}

/** Call within the event: the browser takes the entries away with it. */
export function readDropped(data: DataTransfer): Promise<DroppedFiles> {
  const entries: FileSystemEntry[] = [];
  const plain: File[] = [];
  for (const item of data.items) {
    if (item.kind !== 'file') continue;
    const entry = item.webkitGetAsEntry();
    const file = entry === null ? item.getAsFile() : null;
    if (entry !== null) entries.push(entry);
    else if (file !== null) plain.push(file);
  }
  return openUp(entries, plain);
}

async function openUp(entries: readonly FileSystemEntry[], plain: readonly File[]): Promise<DroppedFiles> {
  const files: PlacedFile[] = plain.map((file) => ({ file, folder: [] }));
  const folders: FolderPath[] = [];
  const walk = async (entry: FileSystemEntry, parent: FolderPath): Promise<void> => {
    // One beyond the bound is enough for the queue to refuse it all.
    if (files.length > uploadsQueuedMax || folders.length > uploadsQueuedMax) return;
    if (isFolder(entry)) {
      const path = [...parent, entry.name];
      folders.push(path);
      for (const child of await readFolder(entry)) await walk(child, path);
    } else if (isFile(entry)) {
      const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
      files.push({ file, folder: parent });
    }
  };
  for (const entry of entries) await walk(entry, []);
  return { files, folders };
}

/** Browsers give a hundred at a time, and none at the end. */
async function readFolder(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) return all;
    all.push(...some);
  }
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

/** Files of a folder picker carry their way in `webkitRelativePath`: `photos/2026/a.jpg`. */
export function placeChosen(files: readonly File[]): PlacedFile[] {
  return files.map((file) => ({ file, folder: file.webkitRelativePath.split('/').slice(0, -1) }));
}
