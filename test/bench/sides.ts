import { median, measure, type Processes, type Sample, type Usage } from './measure.ts';

/** One of those who are compared: ours, or a peer. */
export interface Side {
  readonly name: string;
  readonly processes: () => Processes;
}

/**
 * Samples by what was done and by whom. The first round of a process is cold (its code is not compiled, its heap not
 * grown) and stands apart; what is compared are the medians of the others, or of all where there is one round.
 */
export class Runs {
  readonly #samples = new Map<string, Sample[]>();
  #round = 0;
  readonly #cold = new Set<Sample>();

  beginRound(): void {
    this.#round += 1;
  }

  async timed(what: string, side: Side, run: () => Promise<unknown>): Promise<void> {
    const sample = await measure(side.processes, run);
    const key = keyOf(what, side.name);
    this.#samples.set(key, [...(this.#samples.get(key) ?? []), sample]);
    if (this.#round <= 1) this.#cold.add(sample);
  }

  cold(what: string, side: string): Sample | undefined {
    return this.#samples.get(keyOf(what, side))?.find((sample) => this.#cold.has(sample));
  }

  warm(what: string, side: string): readonly Sample[] {
    const samples = this.#samples.get(keyOf(what, side)) ?? [];
    const warm = samples.filter((sample) => !this.#cold.has(sample));
    return warm.length > 0 ? warm : samples;
  }

  seconds(what: string, side: string): number {
    return median(this.warm(what, side).map(({ seconds }) => seconds));
  }

  usage(what: string, side: string, of: keyof Usage): number {
    return median(this.warm(what, side).map(({ all }) => all[of]));
  }

  usageOf(what: string, side: string, process: string, of: keyof Usage): number {
    return median(this.warm(what, side).map(({ by }) => by[process]?.[of] ?? 0));
  }
}

const keyOf = (what: string, side: string): string => `${side}: ${what}`;

/** The lower quartile and the upper one, for how much a number is worth. */
export function spread(samples: readonly Sample[]): readonly [number, number] {
  const sorted = samples.map(({ seconds }) => seconds).toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.round((sorted.length - 1) * part)] ?? Number.NaN;
  return [at(0.25), at(0.75)];
}
