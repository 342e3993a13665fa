/**
 * What a medium must do so that users' files can be kept on it. `local/` (a folder of main's host) is the first; the
 * contract is kept so that an object store fits behind it: no descriptors, no devices, ranges instead of one position,
 * no promise that a rename is cheap.
 *
 * A medium knows names and bytes. Whose an upload is, when it may be committed, how it is taken up again, what is kept
 * of what it replaced and what a killed process was doing is written down by `book/`, once for all media, in hidden
 * folders the medium gives it. A medium keeps every operation inside the place it was given (S-08).
 *
 * Errors: a `SallyportError` with one of the codes named here, or an error of Node's own whose `code` is the system's
 * (`ENOSPC`): `file-error.ts` makes the same codes of them. `no-space`, `permission-denied`, `too-many` and `io-error`
 * may come from anything that touches the medium. What was rejected was not done, unless said otherwise.
 *
 * test/main-agent/files/on-each-storage.ts runs the conformance suite over every medium there is.
 */
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import type { Place, RemoveOptions, StorageUsage, Stored, StoredFolder, SurveyOptions } from './storage.ts';

/** What a missing folder on the way means: nothing there, or nowhere to put something. */
export type OnMissing = 'not-found' | 'parent-missing';

/** What has a name. `unserved`: something that callers are not shown and can not open, such as a link or a device. */
export type Found = Stored | 'unserved';

/** How bytes are opened: each may read. `append`: whatever is written goes to the end, wherever that is by then. */
export type Access = 'read' | 'write' | 'append';

export interface BlobStorage {
  /** What is at a place; undefined = nothing. The folder a mount shows (an empty path) is made when it is missing. */
  find(place: Place): Promise<Found | undefined>;
  /** Rejects `not-found`, and `not-a-folder` for a file. */
  openFolder(place: Place): Promise<StoredFolder>;
  /**
   * Finds the folder of a place and holds it while something is done to the name in it, whatever becomes of the folder's
   * own name meanwhile. The spot is of no use afterwards. Rejects what `onMissing` says where the folder is missing,
   * `is-a-folder` for a place that has no name.
   */
  at<T>(place: Place, onMissing: OnMissing, act: (spot: Spot) => Promise<T>): Promise<T>;
  /**
   * The hidden folder from which something becomes a file at that spot in one step; the same object each time. Rejects
   * `unsupported` where there is no room for one.
   */
  stagingFor(place: Place, spot: Spot): Promise<HiddenFolder>;
  /** The one that is next to a file, if there is one yet; else the first. */
  stagingNear(file: OpenBytes): Promise<HiddenFolder>;
  /** All that were used, also by earlier processes. The first is always there, and is always the same. */
  stagings(): Promise<readonly HiddenFolder[]>;
  usage(place: Place): Promise<StorageUsage>;
  /** Looks at every name there is, for what is not served. */
  survey(options: SurveyOptions): Promise<void>;
  /** Bytes of all files below a mount's folder; a file counts at each of its names. */
  measure(root: readonly string[], signal: AbortSignal): Promise<number>;
  /** Nothing of it is at work when this is called. */
  close(): Promise<void>;
}

/** A name in a folder that is held. Whoever uses it has the turn of `folderId` and name: no two do one thing at once. */
export interface Spot {
  readonly name: string;
  /** Of the folder itself, not of its name: stable as long as it exists. */
  folderId(): Promise<string>;
  /** What has the name now. */
  find(): Promise<Found | undefined>;
  /**
   * Rejects `exists` when another spelling of the name is there (Unicode normalisation), or could be since it is an odd
   * one of plain ASCII. `except`: a name that is about to go.
   */
  requireNoTwin(except?: string): Promise<void>;
  /** A file that is there. Undefined: nothing has the name. Rejects `is-a-folder`, `not-found` for what is unserved. */
  open(access: Access): Promise<OpenBytes | undefined>;
  /** A new, empty file, there for everybody from now on. Undefined: the name is taken. `mode`: POSIX permission bits. */
  create(access: Access, mode: number | undefined): Promise<OpenBytes | undefined>;
  /** Rejects `exists`. */
  makeFolder(mode: number | undefined): Promise<void>;
  /** Rejects `not-found` where nothing has the name. */
  removeFile(): Promise<void>;
  /** Rejects `not-empty`, with `unserved` in its data where all that it holds is in no listing. */
  removeEmptyFolder(): Promise<void>;
  /** Ends half done where it is stopped or fails; called again it goes on. */
  removeTree(options: RemoveOptions): Promise<void>;
  /**
   * A file or folder gets another name, in one step for whoever looks, and takes the place of a file or an empty folder
   * that has it. `exclusive`, of files only: rejects `exists` instead. A process that is killed meanwhile may leave a
   * file under both names, with one identity. Rejects `not-found`, `not-empty`, `not-a-folder`, `is-a-folder`, `bad-path`
   * into itself, `unsupported` where only a copy could do it.
   */
  moveTo(target: Spot, options: { readonly isExclusive: boolean }): Promise<void>;
  /**
   * The file as it is now under a second name as well: what becomes of the first, by whatever but writing into it, is
   * nothing to the second. Rejects `unsupported` on a medium without second names, `exists`.
   */
  linkTo(target: Spot): Promise<void>;
  /** Mode and times of a file or folder. `onlyId`: rejects `permission-denied` where something else has the name. */
  change(change: AttributeChange, onlyId: string | undefined): Promise<void>;
  /** Which names the folder holds outlives a power cut when it resolves. */
  sync(): Promise<void>;
}

/**
 * An open file. It stays the file that was opened, whatever has its name later. Nothing may be at work when it is
 * closed; afterwards every call rejects.
 */
export interface OpenBytes {
  /** `Stored.id`. */
  readonly id: string;
  /** In bytes, when it was opened. */
  readonly size: number;
  /** As it was when it was opened; need not be made before it is asked for. */
  readonly attributes: Stored;
  stat(): Promise<Stored>;
  /**
   * Fills the buffers in order from `position`; fewer bytes only where the file ends. `knownSize`: a short read that
   * reaches it is believed, which saves small files a second one that finds nothing.
   */
  read(buffers: readonly Uint8Array[], position: number, knownSize: number): Promise<number>;
  /**
   * All bytes of all pieces survive the end of this process when it resolves; rejected, a part of them may be there.
   * Opened for appending, `position` says nothing. What lies between the end and `position` reads as zeros.
   */
  write(pieces: readonly Uint8Array[], position: number): Promise<void>;
  /** To a length in bytes, longer or shorter. */
  truncate(size: number): Promise<void>;
  /** Mode and times; a size is not looked at. */
  change(change: AttributeChange): Promise<void>;
  /** The bytes outlive a power cut when it resolves. */
  sync(): Promise<void>;
  /** The same file once more, for longer than this. */
  openAgain(access: Access): Promise<OpenBytes>;
  close(): Promise<void>;
}

/**
 * A flat folder that no path leads to, for what is not a user's file yet or any more, and for small notes. Its names are
 * `book/`'s: letters, digits, `-`, `_` and a dot. Nobody else writes there, yet it may be damaged or emptied by hand.
 */
export interface HiddenFolder {
  /** For `moveTo`, `linkTo` and the like; to be used for as long as the medium is open. */
  at(name: string): Spot;
  /** Whether what lies here could get that name by `moveTo`. */
  isBeside(spot: Spot): Promise<boolean>;
  /** All names, in no order; what comes or goes meanwhile may be among them. */
  names(): AsyncIterable<string>;
  /** Milliseconds since the epoch: when content, name or attributes of it were changed last. Undefined: it is gone. */
  changed(name: string): Promise<{ readonly atMs: number; readonly size: number } | undefined>;
  /** A note; undefined where there is none, empty where it is longer than `bytesMax`. */
  read(name: string, bytesMax: number): Promise<string | undefined>;
  /** As `read`, of many, when a process begins; undefined also where it can not be read. A thousand at a time at most. */
  readMany(names: readonly string[], bytesMax: number): Promise<readonly (string | undefined)[]>;
  /** What has each of these names; of many, as `readMany`. */
  findMany(names: readonly string[]): Promise<readonly (Found | undefined)[]>;
  /** A new note. A process that is killed meanwhile may leave a piece of it. */
  write(name: string, text: string): Promise<void>;
  /**
   * A note that is the old one or the new one at every moment. `isDurable`: outlives a power cut when it resolves. A
   * process that is killed meanwhile may leave a half under the name and `-new`.
   */
  replace(name: string, text: string, options?: { readonly isDurable: boolean }): Promise<void>;
  /** A note that grows, made where there is none. It goes on under another name when it is moved. */
  openLog(name: string): Promise<OpenBytes>;
  /** A new file with the bytes and the mode that another one has now, at once where the medium can. */
  copy(name: string, original: OpenBytes): Promise<OpenBytes>;
  /**
   * As `copy`, in the place of what has the name, and not opened. Rejects `unsupported` where that takes reading it all
   * and it has more than `bytesMax` bytes. Whole or not there; a kill may leave a half under the name and `.json-new`.
   */
  keepCopy(name: string, original: OpenBytes, bytesMax: number): Promise<void>;
  /** A file or note; there need not be one. */
  remove(name: string): Promise<void>;
  /** A file, or a folder that was moved here, with all that is in it; may be begun anew after a kill, or when stopped. */
  removeTree(name: string, signal: AbortSignal): Promise<void>;
  /** Bytes of all files in a folder that was moved here. */
  measure(name: string, signal: AbortSignal): Promise<number>;
  /** Another hidden folder, next to this one; undefined where it was never made and is not to be. */
  inner(name: string, options: { readonly isMade: boolean }): Promise<HiddenFolder | undefined>;
}
