import type { RemoteFolder } from '#dmz/files/file-client.ts';
import { nameReplyBytesMax } from '#dmz/sftp/limits.ts';
import type { Entry } from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';

/** One folder handle: main's pages cut into NAME answers of a size every client takes. Holds one page at most. */
export class FolderReader {
  readonly path: VirtualPath;
  readonly #remote: RemoteFolder;
  readonly #encode: (entry: Entry) => Buffer;
  #page: Entry[] = [];
  #hasEnded = false;
  /** READDIRs of one handle are answered one after the other, or two would get the same page. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: VirtualPath, remote: RemoteFolder, encode: (entry: Entry) => Buffer) {
    this.path = path;
    this.#remote = remote;
    this.#encode = encode;
  }

  /** The next names, encoded; none after the last. */
  read(turn: Promise<void>): Promise<Buffer[]> {
    const result = this.#last.then(async () => {
      await turn;
      return this.#readNext();
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #readNext(): Promise<Buffer[]> {
    while (this.#page.length === 0 && !this.#hasEnded) {
      const page = await this.#remote.read();
      if (page === undefined) this.#hasEnded = true;
      else this.#page = page.toReversed();
    }
    const names: Buffer[] = [];
    let bytes = 0;
    for (let entry = this.#page.at(-1); entry !== undefined; entry = this.#page.at(-1)) {
      const encoded = this.#encode(entry);
      if (names.length > 0 && bytes + encoded.length > nameReplyBytesMax) break;
      this.#page.pop();
      names.push(encoded);
      bytes += encoded.length;
    }
    return names;
  }

  async close(turn: Promise<void>): Promise<void> {
    await turn;
    await this.#remote.close();
  }

  async abandon(): Promise<void> {
    await this.#remote.close().catch(() => undefined);
  }
}
