import { BoundedMap } from '#shared/bounded-map.ts';
import type { GuardLimits } from './limits.ts';

type Limits = Pick<GuardLimits, 'knownSourcesMax' | 'knownSourcesPerUserMax' | 'knownForMs'>;

/**
 * Sources from which somebody signed in lately, as this process saw it. Main tells none: a node that is broken into
 * must not find the addresses of everybody. After a restart a source is known with its first request in a session.
 */
export class KnownSources {
  readonly #limits: Limits;
  /** When somebody last signed in from there. */
  readonly #sources: BoundedMap<number>;
  /** The latest of each user, the newest last. */
  readonly #ofUser: BoundedMap<readonly string[]>;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#sources = new BoundedMap(limits.knownSourcesMax);
    this.#ofUser = new BoundedMap(limits.knownSourcesMax);
  }

  add(source: string, user: string, nowMs: number): void {
    this.#sources.set(source, nowMs);
    const present = this.#ofUser.get(user) ?? [];
    if (present.at(-1) === source) return;
    const all = [...present.filter((one) => one !== source), source];
    const kept = all.slice(-this.#limits.knownSourcesPerUserMax);
    for (const gone of all.slice(0, -this.#limits.knownSourcesPerUserMax)) this.#sources.delete(gone);
    this.#ofUser.set(user, kept);
  }

  has(source: string, nowMs: number): boolean {
    const atMs = this.#sources.get(source);
    return atMs !== undefined && nowMs - atMs < this.#limits.knownForMs;
  }
}
