import { signal } from '@preact/signals';
import type { Entry } from '#dmz/web/files/entry.ts';

/**
 * Which rows are selected, and which one the keyboard is on. Selection goes by name, so that it survives sorting and
 * reloading; the keyboard goes by position.
 */
export class Selection {
  readonly names = signal<ReadonlySet<string>>(new Set());
  readonly active = signal(0);
  /** The active row is to take the focus, and with `scrolls` to come into view; until the list has done so. */
  readonly focusRequest = signal<{ readonly scrolls: boolean } | undefined>(undefined);
  /** Where a range began. */
  #anchor = 0;

  clear(): void {
    if (this.names.value.size > 0) this.names.value = new Set();
  }

  reset(): void {
    this.clear();
    this.active.value = 0;
    this.#anchor = 0;
    this.focusRequest.value = undefined;
  }

  /** Moves the keyboard's row without selecting. */
  moveTo(index: number): void {
    this.active.value = index;
    this.#anchor = index;
  }

  focusActive({ scrolls } = { scrolls: true }): void {
    this.focusRequest.value = { scrolls };
  }

  toggle(entries: readonly Entry[], index: number): void {
    const entry = entries[index];
    if (entry === undefined) return;
    const names = new Set(this.names.value);
    if (!names.delete(entry.name)) names.add(entry.name);
    this.names.value = names;
    this.moveTo(index);
  }

  only(entries: readonly Entry[], index: number): void {
    const entry = entries[index];
    if (entry === undefined) return;
    this.names.value = new Set([entry.name]);
    this.moveTo(index);
  }

  /** From where the last choice was made up to here. */
  extendTo(entries: readonly Entry[], index: number): void {
    const [from, to] = this.#anchor < index ? [this.#anchor, index] : [index, this.#anchor];
    this.names.value = new Set(entries.slice(from, to + 1).map((entry) => entry.name));
    this.active.value = index;
  }

  all(entries: readonly Entry[]): void {
    this.names.value = new Set(entries.map((entry) => entry.name));
  }

  /** Forgets what is no longer listed, and keeps the keyboard on a row that exists. */
  keepWithin(entries: readonly Entry[]): void {
    const last = Math.max(0, entries.length - 1);
    if (this.active.value > last) this.moveTo(last);
    if (this.names.value.size === 0) return;
    const listed = entries.filter((entry) => this.names.value.has(entry.name));
    if (listed.length < this.names.value.size) this.names.value = new Set(listed.map((entry) => entry.name));
  }

  chosenFrom(entries: readonly Entry[]): Entry[] {
    return entries.filter((entry) => this.names.value.has(entry.name));
  }
}
