import type { RandomBytes } from '#shared/random-id.ts';
import { encodeOctets } from '#main-agent/users/argon2-text.ts';
import { costOfNamed } from '#main-agent/users/hash-book.ts';
import { costsMax } from '#main-agent/vault/limits.ts';
import { Secret } from '#shared/secret.ts';

/**
 * What a password is compared with where there is nothing to compare with (D-21). Hashes that came from another system
 * may cost more or less than ours, and a name that always takes our time would then be known not to exist. So a name
 * without a hash is given one of the costs that users have, as often as users have it, and always the same (S-07).
 * Which one is drawn with a key: who could work it out would know that a name which costs otherwise is somebody's.
 *
 * A wrapped hash costs what the other system's does and ours on top, so its scheme is part of its cost.
 */

const saltBytes = 16;
const tagBytes = 32;

/** All of a hash but its salts and its tag, and how many users have one like it. */
type HashCost = readonly [cost: string, users: number];

interface Decoy {
  readonly hash: Secret;
  readonly users: number;
}

/** A name's place among all names, 0 ≤ x < 1: always the same, and known to nobody without the key. */
export type NamePlace = (name: string) => number;

export class DecoyHashes {
  readonly #random: RandomBytes;
  readonly #placeOf: NamePlace;
  readonly #ownCost: string;
  #decoys: readonly Decoy[] = [];
  #users = 0;

  constructor(options: {
    readonly random: RandomBytes;
    readonly placeOf: NamePlace;
    readonly ownCost: string;
  }) {
    this.#random = options.random;
    this.#placeOf = options.placeOf;
    this.#ownCost = options.ownCost;
    this.imitate([]);
  }

  /** Those of all users (`countCosts`), whenever they change. */
  imitate(costs: readonly HashCost[]): void {
    const counts: readonly HashCost[] = costs.length === 0 ? [[`argon2id$v=19$${this.#ownCost}`, 1]] : costs;
    // In an order of their own: one user more moves few names from one cost to another, not all of them.
    this.#decoys = counts
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([cost, users]) => ({ hash: this.#make(cost), users }));
    this.#users = this.#decoys.reduce((sum, one) => sum + one.users, 0);
  }

  /** Nobody knows its password. */
  forName(name: string): Secret {
    let place = this.#placeOf(name) * this.#users;
    for (const { hash, users } of this.#decoys) {
      if (place < users) return hash;
      place -= users;
    }
    throw new Error('more places than users');
  }

  #make(cost: string): Secret {
    const text = (bytes: number): string => encodeOctets(this.#random(bytes));
    const whole = cost.replace(/\$s(\d+)\$/, (_, bytes: string) => `$${text(Number(bytes))}$`);
    return new Secret(`$${whole}$${text(saltBytes)}$${text(tagBytes)}`);
  }
}

/** By the names of hashes. */
export function countCosts(names: Iterable<Secret>): [cost: string, users: number][] {
  const counts = new Map<string, number>();
  for (const name of names) {
    const cost = costOfNamed(name.expose());
    if (cost === undefined) continue;
    if (counts.size < costsMax || counts.has(cost)) counts.set(cost, (counts.get(cost) ?? 0) + 1);
  }
  return [...counts];
}
