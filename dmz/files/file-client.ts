import type {
  AttributeChange,
  Attributes,
  Entry,
  FileSystemUsage,
  HandleAttributes,
  OpenMode,
  Precondition,
  SortKey,
} from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type { BinEntry, UploadView } from '#shared/link/messages.ts';

/**
 * The file service as a front door sees it: one object per session, made by the login, so that holding it is the
 * proof. Errors are SallyportErrors with file codes. Implemented over the link in `remote-files.ts`.
 */
export interface FileClient {
  list(
    path: VirtualPath,
    options: { cursor?: string; limit: number; sort: SortKey },
  ): Promise<{
    entries: Entry[];
    next?: string | undefined;
    /** With the first page: what lies there and is not served, the first names escaped. */
    unserved?: { readonly count: number; readonly names: readonly string[] } | undefined;
  }>;
  /** What is not served in a folder and all below it; `isComplete` false: there is more than was looked at. */
  survey(path: VirtualPath): Promise<{
    looked: number;
    isComplete: boolean;
    unserved: { readonly count: number; readonly names: readonly string[] };
  }>;
  stat(path: VirtualPath, options?: { followLinks?: boolean }): Promise<Attributes>;
  usage(path: VirtualPath): Promise<FileSystemUsage>;
  openFolder(path: VirtualPath): Promise<RemoteFolder>;
  /** `contentUpTo`: a file no longer than that, to be read, may have its `content` from the start. */
  open(
    path: VirtualPath,
    mode: OpenMode,
    attributes?: AttributeChange,
    contentUpTo?: number,
  ): Promise<RemoteFile>;
  makeFolder(path: VirtualPath, mode?: number): Promise<void>;
  /** `forGood`: not into the bin. */
  removeFile(
    path: VirtualPath,
    options?: { precondition?: Precondition | undefined; forGood?: boolean },
  ): Promise<Kept>;
  removeFolder(path: VirtualPath, options: { recursive: boolean; forGood?: boolean }): Promise<Kept>;
  rename(
    from: VirtualPath,
    to: VirtualPath,
    options: { overwrite: boolean },
  ): Promise<{ replaced: boolean } & Kept>;
  copy(
    from: VirtualPath,
    to: VirtualPath,
    options: { overwrite: boolean },
  ): Promise<{ replaced: boolean } & Kept>;
  change(path: VirtualPath, change: AttributeChange, options?: { followLinks?: boolean }): Promise<void>;
  readLink(path: VirtualPath): Promise<string>;
  hash(path: VirtualPath, algorithm: 'sha256'): Promise<string>;
  /** Uploads that outlive this session. */
  readonly uploads: UploadClient;
  readonly bin: BinClient;
}

/** What a removed or replaced file or folder is called in its user's bin; absent: it is gone. */
export interface Kept {
  readonly binned?: string | undefined;
}

/** What the session's user removed or replaced and can have back. */
export interface BinClient {
  /** Newest first. `keptBytes`, `keptEntries`: of all there is. */
  list(options: { cursor?: string; limit: number }): Promise<{
    entries: BinEntry[];
    next?: string | undefined;
    keptBytes: number;
    keptEntries: number;
  }>;
  /** Where it is then, as components. `keepBoth`: beside what has its name, which else is `exists`. */
  restore(id: string, options: { keepBoth: boolean }): Promise<readonly string[]>;
  /** How many are gone for good; without `ids` all. */
  empty(ids?: readonly string[]): Promise<number>;
}

/** Uploads of the session's user that any later session may take up again, each by its name. */
export interface UploadClient {
  create(
    path: VirtualPath,
    facts: { lengthBytes: number; mtimeMs?: number; overwrite: boolean; metadata?: string },
  ): Promise<UploadView>;
  find(upload: string): Promise<UploadView>;
  list(): Promise<UploadView[]>;
  /** Takes it from whoever else has it open. The file ends with `commit`, or with `release({keepPartial: true})`. */
  open(upload: string): Promise<{ readonly file: RemoteFile; readonly upload: UploadView }>;
  remove(upload: string): Promise<void>;
}

export interface RemoteFolder {
  /** The next page, undefined after the last. */
  read(): Promise<Entry[] | undefined>;
  close(): Promise<void>;
}

/** How much of a file a client got, and up to where in the file. */
export interface Taken {
  readonly bytes: number;
  readonly end: number;
}

export interface RemoteFile {
  readonly handle: number;
  /** As of the open. */
  readonly attributes: Attributes;
  readonly created: boolean;
  /** The whole file, for as long as main's promise holds that it is so. */
  readonly content: Buffer | undefined;
  dropContent(): void;
  /** Bytes that `write` takes at most. 0: all are to go by streams. */
  readonly writeUpTo: number;
  /** Few bytes to main, whose kernel has them then. Rejects `busy` where they are to go by a stream. */
  write(offset: number, data: readonly Buffer[]): Promise<void>;
  /** Bytes from main: `onData`/`onEnd` of the stream. `lengthBytes` absent = to the end. */
  readStream(range: { offset: number; lengthBytes?: number }): LaneStream;
  /** Bytes to main: `write`, `onAcknowledged` (absolute: count of bytes of this stream main's kernel has), `end`. */
  writeStream(range: { offset: number }): LaneStream;
  stat(): Promise<HandleAttributes>;
  /** After a stream was lost with its lane: waits until there is another, and resolves with what the file is now. */
  resume(): Promise<HandleAttributes>;
  change(change: AttributeChange): Promise<void>;
  sync(): Promise<void>;
  copyRangeTo(
    target: RemoteFile,
    range: { fromOffset: number; lengthBytes: number; toOffset: number },
  ): Promise<number>;
  /** Makes an upload visible. The handle is gone afterwards, whatever the outcome, except on `link-down`. */
  commit(options?: {
    precondition?: Precondition;
    mtimeMs?: number;
  }): Promise<{ attributes: Attributes; created: boolean; sha256?: string | undefined } & Kept>;
  /** The client's connection has taken so many bytes, which end at `end` in the file; main is told with the release. */
  noteTaken(bytes: number, end: number): void;
  /**
   * Ends a reading handle, or gives an upload up; `keepPartial` leaves it resumable. `cut`: not the client's doing, its
   * connection went away. `taken`: instead of what was noted, where it is known that a client has it all. Never throws.
   */
  release(options?: { keepPartial?: boolean; cut?: boolean; taken?: Taken }): Promise<void>;
}

export function addTaken(taken: Taken, bytes: number, end: number): Taken {
  return { bytes: taken.bytes + bytes, end: Math.max(taken.end, end) };
}
