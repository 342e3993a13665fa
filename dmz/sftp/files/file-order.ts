import type { FileReader } from '#dmz/sftp/files/file-reader.ts';
import type { FileWriter } from '#dmz/sftp/files/file-writer.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';

/** One handle's part in the order of its file. */
export interface FileParty {
  readonly reader: FileReader;
  readonly writer: FileWriter;
}

/**
 * The order of what a session does with one file, whichever of its handles it comes by. READs run side by side, and so
 * do WRITEs of one handle (the writer keeps their order); a READ sees the WRITEs before it, everything else takes its
 * turn.
 */
export class FileOrder {
  /** Where the file is now, as far as this session moved it. */
  path: VirtualPath;
  readonly #parties: FileParty[] = [];
  /** What takes its turn, in order of arrival. */
  #queue: Promise<unknown> = Promise.resolve();
  #queued = 0;

  constructor(path: VirtualPath) {
    this.path = path;
  }

  get isUnused(): boolean {
    return this.#parties.length === 0;
  }

  join(party: FileParty): void {
    this.#parties.push(party);
  }

  leave(party: FileParty): void {
    const index = this.#parties.indexOf(party);
    if (index >= 0) this.#parties.splice(index, 1);
  }

  read(read: () => void): void {
    if (this.#queued > 0 || !this.#parties.every(({ writer }) => writer.isIdle))
      void this.#enqueue(() => this.#written(), read);
    else read();
  }

  write(party: FileParty, write: () => void): void {
    const act = () => {
      this.dropReadAhead();
      write();
    };
    const isFree = this.#parties.every(
      (other) => other.reader.isIdle && (other === party || other.writer.isIdle),
    );
    if (this.#queued > 0 || !isFree)
      void this.#enqueue(async () => {
        await this.#read();
        await this.#written(party);
      }, act);
    else act();
  }

  /** Acts when all before it is answered, and before anything after it does. */
  inTurn<T>(action: () => T | Promise<T>): Promise<T> {
    return this.#enqueue(async () => {
      await this.#read();
      await this.#written();
    }, action);
  }

  /** What was read ahead may be what is being changed. To be called when no READ is under way. */
  dropReadAhead(): void {
    for (const { reader } of this.#parties) reader.dropReadAhead();
  }

  async #read(): Promise<void> {
    for (;;) {
      const busy = this.#parties.find(({ reader }) => !reader.isIdle);
      if (busy === undefined) return;
      await busy.reader.settled();
    }
  }

  /** `except`: the writer that keeps its own order with what is waiting. */
  async #written(except?: FileParty): Promise<void> {
    for (;;) {
      const busy = this.#parties.find((party) => party !== except && !party.writer.isIdle);
      if (busy === undefined) return;
      await busy.writer.settled();
    }
  }

  #enqueue<T>(settled: () => Promise<void>, action: () => T | Promise<T>): Promise<T> {
    this.#queued += 1;
    const result = this.#queue.then(async () => {
      await settled();
      return action();
    });
    const left = () => {
      this.#queued -= 1;
    };
    this.#queue = result.then(left, left);
    return result;
  }
}
