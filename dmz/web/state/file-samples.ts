import { uploadSamplesMax } from '#dmz/web/limits.ts';

/**
 * Samples of files whose uploads are unfinished, kept in this browser under the upload's name. Elsewhere, and where
 * storing is not allowed, size and time of the file have to do.
 */
export class FileSamples {
  readonly #storage: Storage | undefined;

  constructor(browser: Window) {
    try {
      this.#storage = browser.localStorage;
    } catch {
      // Blocked by the browser's settings.
      this.#storage = undefined;
    }
  }

  get(upload: string): string | undefined {
    return this.#read()[upload];
  }

  put(upload: string, sample: string): void {
    const others = Object.entries(this.#read()).slice(-(uploadSamplesMax - 1));
    this.#write({ ...Object.fromEntries(others), [upload]: sample });
  }

  remove(upload: string): void {
    const { [upload]: gone, ...others } = this.#read();
    if (gone !== undefined) this.#write(others);
  }

  /** Trust: what stands there may be anything; a sample that is none matches no file. */
  #read(): Readonly<Record<string, string>> {
    try {
      const value: unknown = JSON.parse(this.#storage?.getItem(storageKey) ?? '{}');
      if (typeof value !== 'object' || value === null) return {};
      return Object.fromEntries(
        Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
      );
    } catch {
      return {};
    }
  }

  #write(samples: Readonly<Record<string, string>>): void {
    try {
      this.#storage?.setItem(storageKey, JSON.stringify(samples));
    } catch {
      // Full: the next time size and time have to do.
    }
  }
}

const storageKey = 'sallyport.upload-samples';
