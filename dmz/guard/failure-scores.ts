import { BoundedMap } from '#shared/bounded-map.ts';

/** When and for whom a source failed lately. A good login of a user takes back only what that user failed from there. */
export class FailureScores {
  readonly #failures: BoundedMap<readonly { readonly user: string; readonly atMs: number }[]>;
  readonly #limits: { readonly max: number; readonly windowMs: number };

  constructor(limits: { readonly max: number; readonly windowMs: number; readonly sourcesMax: number }) {
    this.#limits = limits;
    this.#failures = new BoundedMap(limits.sourcesMax);
  }

  /** True: that was one too many, and the score starts again. */
  add(source: string, user: string, nowMs: number, weight = 1): boolean {
    const failures = [
      ...(this.#failures.get(source) ?? []).filter(({ atMs }) => nowMs - atMs < this.#limits.windowMs),
      // Names are strangers' strings; the head is enough to tell users apart here.
      ...Array.from({ length: weight }, () => ({ user: user.slice(0, 64), atMs: nowMs })),
    ];
    const tooMany = failures.length >= this.#limits.max;
    if (tooMany) this.#failures.delete(source);
    else this.#failures.set(source, failures);
    return tooMany;
  }

  /** How many count now, and when the last of them no longer does. */
  standing(source: string, nowMs: number): { readonly count: number; readonly untilMs: number } {
    const { windowMs } = this.#limits;
    const counting = (this.#failures.get(source) ?? []).filter(({ atMs }) => nowMs - atMs < windowMs);
    return { count: counting.length, untilMs: (counting.at(-1)?.atMs ?? 0) + windowMs };
  }

  clear(source: string, user: string): void {
    const failures = this.#failures.get(source);
    if (failures === undefined) return;
    const left = failures.filter((failure) => failure.user !== user.slice(0, 64));
    if (left.length === 0) this.#failures.delete(source);
    else this.#failures.set(source, left);
  }
}
