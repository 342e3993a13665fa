import { signal } from '@preact/signals';
import type { ApiProblem } from '#dmz/web/api/problem.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';

/**
 * `needs-file`: begun before this page was opened; the person has to choose the same file again · `reconnecting`: goes
 * on by itself when the server can be reached · `bad-name`: it, or a folder on its way, has a name that nothing here may have.
 */
export type UploadState =
  | { readonly name: 'waiting' | 'sending' | 'paused' | 'reconnecting' | 'conflict' | 'bad-name' }
  | { readonly name: 'needs-file'; readonly refused: boolean }
  | { readonly name: 'done' | 'skipped' | 'cancelled' }
  | { readonly name: 'failed'; readonly problem: ApiProblem };

export type ConflictChoice = 'replace' | 'keep-both' | 'skip';

/** One file on its way. */
export class Upload {
  readonly id: number;
  folder: FolderPath;
  /** Of the file. */
  readonly originalName: string;
  /** What it was to be called before anything of that name was found in the way. */
  wantedName: string;
  readonly name = signal('');
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly state = signal<UploadState>({ name: 'waiting' });
  /** On the server's disk, not only on the way. */
  readonly storedBytes = signal(0);
  readonly bytesPerSecond = signal(0);
  /** Names already found taken, when both are to be kept. */
  readonly takenNames = new Set<string>();
  /** Undefined: it has to be chosen again. */
  file: File | undefined;
  /** The server's name for it, once it is a resumable one. */
  serverId: string | undefined;
  choice: ConflictChoice | undefined;
  tries = 0;
  stopping = new AbortController();

  constructor(
    id: number,
    facts: {
      readonly folder: FolderPath;
      readonly name: string;
      readonly sizeBytes: number;
      readonly mtimeMs: number;
      readonly file?: File;
    },
  ) {
    this.id = id;
    this.folder = facts.folder;
    this.originalName = facts.name;
    this.wantedName = facts.name;
    this.name.value = facts.name;
    this.sizeBytes = facts.sizeBytes;
    this.mtimeMs = facts.mtimeMs;
    this.file = facts.file;
  }

  get isWaiting(): boolean {
    return this.state.value.name === 'waiting';
  }

  /** Nothing more will happen to it. */
  get isOver(): boolean {
    return ['done', 'skipped', 'cancelled', 'failed'].includes(this.state.value.name);
  }

  /** Works, or will without anybody's help. */
  get isRunning(): boolean {
    return ['waiting', 'sending', 'reconnecting'].includes(this.state.value.name);
  }
}
