/** What is known of a file or folder. Times are milliseconds since the epoch (fractions allowed), sizes bytes. */
export interface Attributes {
  readonly type: 'file' | 'folder' | 'link';
  readonly size: number;
  readonly mtimeMs: number;
  readonly atimeMs: number;
  /** POSIX permission bits (07777). */
  readonly mode: number;
  /** Hard links, for long listings. */
  readonly links: number;
  /** Strong validator (RFC 9110 §8.8.3) without quotes; files only. Changes whenever content or identity changes. */
  readonly etag?: string | undefined;
}

/** What is known of a file that is open. */
export interface HandleAttributes extends Attributes {
  /** Of a handle that appends: bytes it has landed. */
  readonly appendedBytes?: number | undefined;
}

export interface Entry {
  readonly name: string;
  readonly attributes: Attributes;
}

/** What SETSTAT may change; absent = leave. */
export interface AttributeChange {
  readonly size?: number;
  readonly mode?: number;
  readonly mtimeMs?: number;
  readonly atimeMs?: number;
}

export interface FileSystemUsage {
  /** Bytes the user may still write: the smaller of quota and disk. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly freeFiles: number;
  readonly totalFiles: number;
}

export type SortKey = 'name' | '-name' | 'size' | '-size' | 'mtime' | '-mtime';

/** How a file is opened. Whether the user may is decided on main, from this and from what exists. */
export interface OpenMode {
  readonly read: boolean;
  readonly write: boolean;
  /** `never`: it must exist · `if-missing` · `exclusive`: it must not exist. */
  readonly create: 'never' | 'if-missing' | 'exclusive';
  /** Start from empty. Without it, writing to an existing file starts from its present content. */
  readonly truncate: boolean;
  /** Every write goes to the end; main turns it into absolute offsets. */
  readonly append: boolean;
}

/** Checked at commit, not at open (RFC 9110 §13.1). ETags without quotes. */
export interface Precondition {
  readonly ifMatch?: readonly string[] | '*';
  readonly ifNoneMatch?: readonly string[] | '*';
}
