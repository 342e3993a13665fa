import type { SortKey } from '#shared/file-service/attributes.ts';
import { firstInOrder, sortCooperatively } from './cooperative-sort.ts';
import type { SortedBy } from './storage/storage.ts';

/** Where something is in an order: its name, and before that its size or time, where that is the order; 0 elsewhere. */
export interface Position {
  readonly name: string;
  readonly key: number;
}

/**
 * A folder's names and what they are sorted by: two lists, for an object a name is three times the memory. Put in order
 * when somebody goes on to a second page: most look at the first and leave.
 */
export class OrderedNames {
  /** What they are sorted by besides their names. */
  readonly by: SortedBy | undefined;
  readonly #sign: 1 | -1;
  #names: string[] = [];
  /** Empty in an order by name. */
  #keys: number[] = [];
  #sorting: Promise<void> | undefined;

  constructor(sort: SortKey) {
    this.#sign = sort.startsWith('-') ? -1 : 1;
    this.by = sort.endsWith('size') ? 'size' : sort.endsWith('mtime') ? 'mtimeMs' : undefined;
  }

  /** Not after they were asked for. */
  add(name: string, key: number): void {
    this.#names.push(name);
    if (this.by !== undefined) this.#keys.push(key);
  }

  get count(): number {
    return this.#names.length;
  }

  async first(count: number): Promise<readonly Position[]> {
    const places = await firstInOrder([...this.#names.keys()], count, (a, b) => this.#compare(a, b));
    return places.map((place) => this.#at(place));
  }

  async slice(start: number, end: number): Promise<readonly Position[]> {
    await this.#sort();
    return this.#names.slice(start, end).map((_, index) => this.#at(start + index));
  }

  /** The place of the first one past a position. */
  async indexAfter(position: Position): Promise<number> {
    await this.#sort();
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { name, key } = this.#at(middle);
      if (this.#order(name, key, position.name, position.key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #sort(): Promise<void> {
    return (this.#sorting ??= this.#sortAll());
  }

  async #sortAll(): Promise<void> {
    const places = await sortCooperatively([...this.#names.keys()], (a, b) => this.#compare(a, b));
    const [names, keys] = [this.#names, this.#keys];
    this.#names = places.map((place) => names[place] ?? '');
    if (this.by !== undefined) this.#keys = places.map((place) => keys[place] ?? 0);
  }

  #compare(a: number, b: number): number {
    const [names, keys] = [this.#names, this.#keys];
    return this.by === undefined
      ? this.#order(names[a] ?? '', 0, names[b] ?? '', 0)
      : this.#order(names[a] ?? '', keys[a] ?? 0, names[b] ?? '', keys[b] ?? 0);
  }

  /** Names by code units: the same order for everybody, and far cheaper than a collator over a million of them. */
  #order(name: string, key: number, otherName: string, otherKey: number): number {
    return this.#sign * (key - otherKey || (name < otherName ? -1 : name > otherName ? 1 : 0));
  }

  #at(place: number): Position {
    const key = this.by === undefined ? 0 : (this.#keys[place] ?? 0);
    return { name: this.#names[place] ?? '', key };
  }
}
