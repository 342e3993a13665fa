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
import type { UploadView } from '#shared/link/messages.ts';

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
  open(path: VirtualPath, mode: OpenMode, attributes?: AttributeChange): Promise<RemoteFile>;
  makeFolder(path: VirtualPath, mode?: number): Promise<void>;
  removeFile(path: VirtualPath, precondition?: Precondition): Promise<void>;
  removeFolder(path: VirtualPath, options: { recursive: boolean }): Promise<void>;
  rename(from: VirtualPath, to: VirtualPath, options: { overwrite: boolean }): Promise<{ replaced: boolean }>;
  copy(from: VirtualPath, to: VirtualPath, options: { overwrite: boolean }): Promise<{ replaced: boolean }>;
  change(path: VirtualPath, change: AttributeChange, options?: { followLinks?: boolean }): Promise<void>;
  readLink(path: VirtualPath): Promise<string>;
  hash(path: VirtualPath, algorithm: 'sha256'): Promise<string>;
  /** Uploads that outlive this session. */
  readonly uploads: UploadClient;
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

export interface RemoteFile {
  readonly handle: number;
  /** As of the open. */
  readonly attributes: Attributes;
  readonly created: boolean;
  /** Bytes from main: `onData`/`onEnd` of the stream. `lengthBytes` absent = to the end. */
  readStream(range: { offset: number; lengthBytes?: number }): LaneStream;
  /** Bytes to main: `write`, `onAcknowledged` (absolute: count of bytes of this stream main's kernel has), `end`. */
  writeStream(range: { offset: number }): LaneStream;
  stat(): Promise<HandleAttributes>;
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
  }): Promise<{ attributes: Attributes; created: boolean; sha256?: string | undefined }>;
  /** Ends a reading handle, or gives an upload up; `keepPartial` leaves it resumable. Never throws. */
  release(options?: { keepPartial?: boolean }): Promise<void>;
}
