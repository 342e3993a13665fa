import { inspect } from 'node:util';

/**
 * A value that must never be printed (S-11). It shows as `[secret]` in logs, JSON, templates and the inspector;
 * only `expose()` gives it out, so that a search for `expose(` lists every place that handles a bare secret.
 */
export class Secret<T = string> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  expose(): T {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
