/**
 * What the file service asks of a storage. `local` (a folder of the host) is the first; the shape is kept so that an
 * object store fits behind it: ranges instead of one position, an upload that is parts until `commit`, no promise that
 * `rename` is cheap, no descriptors, links or devices.
 *
 * A storage knows nothing of users, permissions, quotas or sessions: it is asked after those were decided. It keeps
 * every operation inside the place it was given (S-08).
 */
import type { SallyportError } from '#shared/error.ts';
import type { AttributeChange, Attributes, Precondition } from '#shared/file-service/attributes.ts';
import type { Serial } from '#main-agent/turns.ts';
import type { UnservedEntries, UnservedKind } from './unserved.ts';

/** A change as one session numbered it. */
export interface OperationName {
  readonly session: string;
  readonly operation: number;
}

/** What a change was about to do. */
export interface Intent extends OperationName {
  /** Identity of what is moved, or the id of the upload that is committed; empty where there is none. */
  readonly id: string;
  readonly replaced: boolean;
}

/** A file open for reading. */
export interface Reader {
  readonly session: string;
  readonly handle: number;
  readonly virtualPath: readonly string[];
  readonly etag: string;
  readonly fileId: string;
  /** When it was opened; absent in a line from before it was noted. */
  readonly size?: number | undefined;
  readonly startedAtMs: number;
  /** An upload of the session's own that is read while it grows. */
  readonly beside?: { readonly upload: string } | undefined;
}

/** What the process after this one is told of what this one was doing, and was told by the one before. */
export interface OperationJournal {
  /** What an earlier process was about to do under this name. */
  recall(name: OperationName): Intent | undefined;
  /** The kernel has it when it resolves; a full disk must not keep anybody from deleting files, so it never rejects. */
  note(intent: Intent): Promise<void>;
  /** A file that an earlier process had open under this handle for this session. */
  recallReader(session: string, handle: number): Reader | undefined;
  /** Not waited for: a reader that is killed in its first moment begins again. */
  noteReader(reader: Reader): void;
  /** It is not open any more. */
  forgetReader(handle: number): void;
  /** Its end is in the audit: no later process opens it again. Not waited for. */
  noteTold(handle: number): void;
}

/** Where something is: the folder a mount shows (below the storage's base) and the way from there. Both checked. */
export interface Place {
  readonly root: readonly string[];
  readonly path: readonly string[];
}

/** A file or folder as stored. Links and special files do not exist to a storage's callers. */
export interface Stored extends Attributes {
  readonly type: 'file' | 'folder';
  /** Stable while the thing exists, also under another name. */
  readonly id: string;
  /** When content, name or attributes of it changed last, milliseconds since the epoch. No client can set it. */
  readonly changedAtMs: number;
}

export interface FolderItem {
  readonly name: string;
  readonly type: 'file' | 'folder';
}

/** An attribute that listings are sorted by. */
export type SortedBy = 'size' | 'mtimeMs';

/** A folder being read. One call at a time. */
export interface StoredFolder {
  readonly attributes: Stored;
  /** The next names, unsorted; empty = no more. */
  next(): Promise<readonly FolderItem[]>;
  /** Attributes for names of it, in their order; undefined for what is gone or hidden. */
  describe(names: readonly string[]): Promise<readonly (Stored | undefined)[]>;
  /** One attribute of each, NaN for what is gone: what it takes to sort a large folder, and quicker. */
  measure(names: readonly string[], by: SortedBy): Promise<ArrayLike<number>>;
  /** What lies there and is in no listing, among the names read so far; undefined = nothing. */
  readonly unserved: UnservedEntries | undefined;
  close(): Promise<void>;
}

export interface StoredFile {
  readonly attributes: Stored;
  /** Fills the buffers in order from `position`; fewer bytes only at the end, 0 past it. */
  read(buffers: readonly Uint8Array[], position: number): Promise<number>;
  stat(): Promise<Stored>;
  /**
   * Calls before this storage changes or cuts off a byte the file had when it was opened; `alsoGrowing`: before whatever
   * is done to its bytes.
   */
  watch(onChanging: () => void, options: { readonly alsoGrowing: boolean }): void;
  /** Somebody has it open through this storage to change it. */
  readonly isBeingWritten: boolean;
  close(): Promise<void>;
}

/** Of an upload that its user may take up again in any session, by name. Nobody sees it in a folder. */
export interface Resumable {
  readonly name: string;
  /** It is complete with so many bytes. */
  readonly lengthBytes: number;
  readonly mtimeMs?: number | undefined;
  /** A file that is there at the commit is replaced. */
  readonly overwrite: boolean;
  /** What its client wants to be told again; nothing here reads it. */
  readonly metadata?: string | undefined;
}

/** Whose an upload is and how it was opened; kept beside the bytes, so that it outlives this process. */
export interface UploadRecord {
  /** Names the upload in this storage; unique for ever, not guessable. */
  readonly id: string;
  readonly user: string;
  /** `sessionKey` of the session that has it open. */
  readonly session: string;
  /** Where the user sees it. */
  readonly virtualPath: readonly string[];
  readonly place: Place;
  readonly startedAtMs: number;
  /** A file was there when it began. */
  readonly replaces: boolean;
  /** Begun as "must not exist". */
  readonly exclusive: boolean;
  readonly append: boolean;
  readonly readable: boolean;
  /** The operation number of the open, so that a re-sent open finds it. */
  readonly operation: number;
  readonly resumable?: Resumable | undefined;
  /** Its name was taken from it: what is written goes on, and is gone with the last close. */
  readonly unlinked?: boolean | undefined;
  /** Another upload of the same session, whose bytes these are. */
  readonly joins?: string | undefined;
  /** Made by main, of another file: nobody goes on with it, it is copied anew. */
  readonly isCopy?: boolean | undefined;
}

export interface CommitRules {
  /** A file that is there may be replaced. */
  readonly mayReplace: boolean;
  /** A name that is free may be taken. */
  readonly mayCreate: boolean;
  readonly precondition?: Precondition;
  /** Applied before it becomes visible. */
  readonly change?: AttributeChange;
  /** A longer file that is replaced is kept a while, unless this user's old versions would then exceed so many bytes. */
  readonly keptVersionBytesMax: number;
  /** A file that is replaced goes there, whatever its length. */
  readonly bin?: BinOrder | undefined;
}

export interface Committed {
  readonly attributes: Stored;
  /** False: it replaced a file. */
  readonly created: boolean;
  /** Size of the file that is gone now. */
  readonly replacedBytes: number;
  /** Where that file went, if it was kept. */
  readonly binned?: Binned | undefined;
  /** The name is there, and a power cut may take it again: its folder could not be synced. */
  readonly unsynced?: SallyportError | undefined;
}

/** Whose bin takes what is removed or replaced. */
export interface BinOrder {
  readonly user: string;
  /** Where the user saw it. */
  readonly virtualPath: readonly string[];
  readonly keepMs: number;
  /** A file may be nowhere any more so long after it changed last, and a folder after it came here. */
  readonly retentionMs?: number | undefined;
  /** Its bytes count to its user's quota. */
  readonly isCounted: boolean;
}

/** Something that was removed or replaced and can be had back until it expires. It is in no folder. */
export interface Binned {
  /** 128 bit, base64url: names it in this storage, not guessable. */
  readonly id: string;
  readonly user: string;
  readonly virtualPath: readonly string[];
  readonly place: Place;
  readonly type: 'file' | 'folder';
  /** Of a folder: of all that is in it; undefined until somebody added it up. */
  readonly bytes: number | undefined;
  readonly atMs: number;
  readonly expiresAtMs: number;
  readonly reason: 'deleted' | 'replaced';
  readonly isCounted: boolean;
  /** Key of the session whose operation put it here. */
  readonly session: string;
}

/** What was removed and is kept. Nothing in it can be reached by a path. */
export interface Bin {
  /** What the present holder of the name may see; in no order. */
  of(user: string): readonly Binned[];
  /** Also what an earlier holder of the name left. */
  everything(user: string): readonly Binned[];
  /** Names of all who have something in it. */
  owners(): Iterable<string>;
  /** The present holder's entries are of another name from now on; `move`: where they would be put back to. */
  giveTo(user: string, to: string, move: (place: Place) => Place): Promise<number>;
  /** What a session removed or replaced by that operation, if it was kept. */
  keptBy(name: OperationName): Binned | undefined;
  /**
   * Puts it to a free name, in a folder that exists. Rejects `exists`, `not-found`, `parent-missing`, `unsupported` on
   * another file system. Of several at once one is first and the others find nothing.
   */
  restore(id: string, to: Place, by: OperationName): Promise<void>;
  /** Gone from all lists when it resolves; the bytes go in the background, and after a restart. */
  drop(ids: readonly string[]): Promise<void>;
  /** Drops what has expired and returns it. */
  dropExpired(): Promise<readonly Binned[]>;
  /** When all that had to make room for what came so far is gone. Not to be waited for by who holds a name. */
  roomMade(): Promise<void>;
  /** The entry, when it is known how much is in it or that can't be known. Undefined: it is gone. */
  addedUp(id: string): Promise<Binned | undefined>;
}

/** What all who have one file open for writing have in common, whatever sessions they belong to. */
export interface SharedFile {
  /** Of the file itself, not of a name (`Stored.id`). */
  readonly id: string;
  /** All that is done through any of them, one after the other. */
  readonly turns: Serial;
  readonly size: number;
  /** Counts writes and new lengths, by whomever. */
  readonly changes: number;
  /**
   * `staged`: only the session that uploads it sees it · `visible`: a stored file · `unlinked`: an upload
   * that was closed after its name was taken from it · `gone`: one that was given up.
   */
  readonly visibility: 'staged' | 'visible' | 'unlinked' | 'gone';
  /** Its last bytes may never reach the disk: nothing of it is called durable any more. */
  readonly isLost: boolean;
  /** Bytes an account holds for it while it is staged: the service's to set, the same for all who have it open. */
  heldBytes: number;
}

/** Bytes on their way into a file. Calls on one file take turns (`shared.turns`); the service sees to that. */
export interface Upload {
  readonly record: UploadRecord;
  readonly shared: SharedFile;
  /** Bytes it would have if committed now. */
  readonly size: number;
  /** Bytes it began with (a resumed upload, a file that is written in place). */
  readonly initialSize: number;
  /** Bytes of the present file that are gone because it begins anew in place. */
  readonly freedBytes: number;
  /** Nobody sees the bytes before `commit`; false for plain POSIX writing in place. */
  readonly atomic: boolean;
  /** Landed by `append` of this handle. */
  readonly appendedBytes: number;
  /** All bytes of all pieces are with the kernel when it resolves. */
  write(pieces: readonly Uint8Array[], position: number): Promise<void>;
  /** The same at the end of the file, for uploads whose record says `append`; these are written in no other way. */
  append(pieces: readonly Uint8Array[]): Promise<void>;
  read(buffers: readonly Uint8Array[], position: number): Promise<number>;
  /** A longer file that is cut in place is kept as at a commit, see `CommitRules.keptVersionBytesMax` (default 0). */
  change(change: AttributeChange, keptVersionBytesMax?: number): Promise<void>;
  stat(): Promise<Stored>;
  /** Its bytes, read beside it and for longer than it. */
  openBeside(): Promise<StoredFile>;
  sync(): Promise<void>;
  /** Visible when it resolves, and durable unless it says otherwise. Rejected: the upload is as it was. */
  commit(rules: CommitRules): Promise<Committed>;
  /** Whether `keep` leaves something. */
  readonly isWorthKeeping: boolean;
  /** Lets go of it and leaves it to be resumed. */
  keep(): Promise<void>;
  /** Lets go of it without a trace. */
  discard(): Promise<void>;
  /** Lets go of it as a stopping process does: as if it had been killed now. */
  abandon(): Promise<void>;
}

/** How whoever has an upload open lets go of it without a commit; the names are those of `Upload`. */
export type Ending = 'keep' | 'discard' | 'abandon';

/** A broken upload that waits to be resumed. */
export interface KeptUpload {
  readonly record: UploadRecord;
  readonly size: number;
  readonly keptAtMs: number;
}

/** A resumable upload, whatever is being done to it just now. */
export interface ResumableUpload extends KeptUpload {
  /** Undefined: it waits to be taken up. Else somebody has it, and this settles when they have let go of it. */
  readonly held: Promise<void> | undefined;
}

/**
 * What an upload starts from. `present`: it is no upload, the file that is there is written in place; `copy`: a copy of
 * another file of the same storage; `kept`: a broken upload, taken up again; `nothing`: no upload, a new file is there at
 * once and written in place. Mounts that write in place know `empty`, `nothing` and `present` only.
 */
export type UploadStart =
  | { readonly from: 'empty' }
  | { readonly from: 'present' }
  | { readonly from: 'nothing' }
  | { readonly from: 'copy'; readonly of: Place }
  | { readonly from: 'kept'; readonly id: string };

export interface BeginUpload {
  readonly record: Omit<UploadRecord, 'replaces'>;
  /**
   * Decides by what is there now: a file, or else what this user's last try left under the name. Throws to refuse.
   * Called before anything is made, again if that changed meanwhile.
   */
  readonly choose: (existing: Stored | undefined, kept: KeptUpload | undefined) => UploadStart;
  /** POSIX permission bits, where the client says so. */
  readonly mode?: number;
  /** Takes a file that is begun anew in place, as it was. */
  readonly bin?: BinOrder | undefined;
  /** Bytes the upload starts with are announced before they are copied; may throw (`quota-exceeded`). */
  readonly onStartBytes: (bytes: number) => void;
}

/** Another handle of an upload that is open. */
export interface JoinUpload {
  readonly record: Omit<UploadRecord, 'replaces' | 'joins'>;
  readonly truncate: boolean;
}

export interface StorageUsage {
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly freeFiles: number;
  readonly totalFiles: number;
}

export interface SurveyOptions {
  /** Where to begin; without it at the storage's base. */
  readonly place?: Place;
  readonly signal: AbortSignal;
  /** Called with each piece of names; what it returns is waited for. Throw to stop. */
  readonly onLooked: (entries: number) => Promise<void>;
  /** Components below where it began, safe to look at. */
  readonly onUnserved: (path: readonly string[], kind: UnservedKind) => void;
  /** Folders, as components below where it began, that are not entered: who asks has something else there. */
  readonly without?: readonly (readonly string[])[];
  /** A folder that main may not read, or that lies too deep. */
  readonly onUnlooked: (path: readonly string[]) => void;
}

export interface RemoveOptions {
  readonly recursive: boolean;
  readonly by: OperationName;
  /** Stops a long removal between two entries. */
  readonly signal: AbortSignal;
  readonly onRemovedFile: (bytes: number) => void;
  /** Something went that was in no listing; with what was in it. */
  readonly onRemovedUnserved: () => void;
  /** A folder that is removed with all that is in it goes there in one piece: then nothing is told of what is in it. */
  readonly bin?: BinOrder | undefined;
}

export interface RemoveFileOptions {
  readonly by: OperationName;
  readonly precondition?: Precondition | undefined;
  readonly bin?: BinOrder | undefined;
  /** Rejects `unsupported`, and nothing is removed, where there is no bin to keep it. */
  readonly mustBeKept?: true;
}

export interface Storage {
  readonly name: string;
  readonly journal: OperationJournal;
  readonly bin: Bin;
  stat(place: Place): Promise<Stored>;
  openFolder(place: Place): Promise<StoredFolder>;
  openFile(place: Place): Promise<StoredFile>;

  /** What starts as `present` is written in place, everything else is atomic. */
  beginUpload(place: Place, begin: BeginUpload): Promise<Upload>;
  /** Plain POSIX writing into the file itself whatever it starts from, for mounts with `uploads: direct`. */
  openInPlace(place: Place, begin: BeginUpload): Promise<Upload>;
  /**
   * Opens the bytes of an upload that is open here once more, to be written in place. Its `commit` makes nothing visible;
   * once the upload itself was committed it goes on in the file that came of it. Undefined: that upload is over.
   */
  joinUpload(id: string, join: JoinUpload): Promise<Upload | undefined>;
  /**
   * What this user's broken upload left under a name, to be gone on with: only where no file has the name, and in the
   * very folder it was begun in. Rejects where that folder is missing.
   */
  keptUpload(user: string, place: Place): Promise<KeptUpload | undefined>;
  /** The name means something else now: what this user's broken uploads left under it is of no use. */
  dropKept(user: string, place: Place): Promise<void>;
  /** All resumable uploads of a user; each is found at every moment of its life. */
  resumableUploads(user: string): readonly ResumableUpload[];
  discardKept(keptId: string): Promise<void>;
  /**
   * Another name for an upload that is open here, from now on and over a kill. Rejects `parent-missing`, `is-a-folder`,
   * `exists` where a file has the name and may not be replaced, `unsupported` on another file system.
   */
  moveUpload(id: string, to: UploadTarget, options: RenameOptions): Promise<{ readonly replaced: boolean }>;
  /** No name for an upload that is open here, as for a file that is removed while it is written. */
  unlinkUpload(id: string, by: OperationName): Promise<void>;
  /**
   * An upload, or a file written in place, that this process's predecessor had open, if the session is the same;
   * undefined = none. Rejects `changed` where it can't be gone on with.
   */
  adoptUpload(id: string, session: string): Promise<Upload | undefined>;
  /** Ids of what this session had open in an earlier process and was not asked for since. */
  openBefore(session: string): readonly string[];
  /** The id of an upload or of a writer in place that a session opened as this operation and that is not open here. */
  findUpload(session: string, operation: number): string | undefined;
  /** How an upload ended that is gone, if that was minutes ago and the session is the same. */
  findCommitted(id: string, session: string): Promise<CommittedUpload | undefined>;
  /** What this session made in an earlier process, as far as there are notes of it. */
  finishedBefore(session: string): Promise<readonly FinishedBefore[]>;
  /** Resumable uploads that became files in an earlier process, as far as there are notes of it; in no order. */
  finishedResumables(): Promise<readonly FinishedResumable[]>;
  /** A file that this session made was renamed: the note of it says so from now on. */
  finishedMoved(uploadId: string, session: string, to: Place): Promise<void>;
  /** Longer files that shorter ones of this user replaced, as long as they are kept; in no order. */
  formerVersions(user: string): readonly FormerVersion[];
  /** As `Bin.restore`. */
  restoreVersion(user: string, id: string, to: Place, by: OperationName): Promise<void>;
  /** Bytes all kept uploads of a user take, and all in the bin that counts. */
  keptBytes(user: string): number;

  // Each change has the name the session gave it: one that was made by a process that was killed before it could
  // answer is recognised and answered, not made again.
  makeFolder(place: Place, mode: number | undefined, by: OperationName): Promise<void>;
  removeFile(place: Place, options: RemoveFileOptions): Promise<Removed>;
  /** Where it went, if it was kept. */
  removeFolder(place: Place, options: RemoveOptions): Promise<Binned | undefined>;
  /**
   * Removes for good what was looked at before, a file or an empty folder, unless it is another one by now or has
   * changed since, or somebody has it open or uploads there.
   */
  removeIdle(place: Place, looked: Pick<Stored, 'id' | 'changedAtMs'>): Promise<Idle>;
  rename(from: Place, to: Place, options: RenameOptions): Promise<Renamed>;
  /** With `onlyId` the file of that identity and no other that has the name: rejects `permission-denied`. */
  change(place: Place, change: AttributeChange, onlyId?: string): Promise<void>;
  usage(place: Place): Promise<StorageUsage>;
  /** Looks at every name there is, for what is not served. */
  survey(options: SurveyOptions): Promise<void>;
  /** Bytes of all files below a mount's folder. */
  measure(root: readonly string[], signal: AbortSignal): Promise<number>;
  /** Removes what has expired. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

/** A longer file that a shorter one replaced. */
export interface FormerVersion {
  readonly id: string;
  /** Key of the session whose upload replaced it, as far as it is known. */
  readonly session?: string | undefined;
  /** Where its user saw it. */
  readonly virtualPath: readonly string[];
  readonly bytes: number;
  readonly atMs: number;
}

export interface CommittedUpload {
  readonly record: UploadRecord;
  readonly attributes: Stored;
  readonly created: boolean;
}

/** A file that came of an upload. */
export interface FinishedFile {
  readonly uploadId: string;
  readonly fileId: string;
}

export interface FinishedBefore extends FinishedFile {
  readonly place: Place;
  /** Since its commit. */
  readonly ageMs: number;
}

export interface FinishedResumable {
  readonly record: UploadRecord;
  /** Since its commit. */
  readonly ageMs: number;
}

export type Idle = 'removed' | 'in-use' | 'changed';

/** The file that is gone. */
export interface Removed {
  readonly id: string;
  readonly bytes: number;
  readonly binned?: Binned | undefined;
}

export interface UploadTarget {
  readonly place: Place;
  readonly virtualPath: readonly string[];
}

export interface RenameOptions {
  /** The file of that identity and no other that has the name: rejects `permission-denied`. */
  readonly onlyId?: string;
  readonly overwrite: boolean;
  readonly by: OperationName;
  /** Takes the file that is replaced. */
  readonly bin?: BinOrder | undefined;
}

export interface Renamed {
  readonly replaced: boolean;
  readonly binned?: Binned | undefined;
  /** Size of the file that is gone now. */
  readonly replacedBytes: number;
  readonly type: 'file' | 'folder';
  /** Size of the file that has the new name; 0 for a folder. */
  readonly movedBytes: number;
}

/** Bytes of all pieces together. */
export function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((bytes, piece) => bytes + piece.byteLength, 0);
}
