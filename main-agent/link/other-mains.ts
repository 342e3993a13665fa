import type { Clock } from '#shared/clock.ts';
import type { OtherMain } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { otherMainLoggedEveryMs, otherMainShownForMs } from './limits.ts';

/**
 * Other processes that show this main's key to a node (D-87): a copy that was started by mistake, or somebody who has
 * the key. The node lets one of the two in; both say so for as long as it lasts.
 */

interface Sighting {
  readonly other: OtherMain;
  readonly isHolder: boolean;
  readonly atMs: number;
}

interface OtherMainsOptions {
  /** Called once for each node, and again when the other one changes. */
  readonly onFirst: (node: string, detail: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class OtherMains {
  readonly #options: OtherMainsOptions;
  /** By node. */
  readonly #seen = new Map<string, Sighting>();
  readonly #loggedAt = new Map<string, number>();

  constructor(options: OtherMainsOptions) {
    this.#options = options;
  }

  /** `isHolder`: it has the node's link; else it was turned away. */
  note(node: string, other: OtherMain, isHolder: boolean): void {
    const { clock, log, onFirst } = this.#options;
    const before = this.#seen.get(node);
    const now = clock.monotonic();
    const sighting = { other, isHolder, atMs: now };
    this.#seen.set(node, sighting);
    const detail = describe(sighting);
    if (before?.isHolder !== isHolder || before.other.from !== other.from) onFirst(node, detail);
    if (now - (this.#loggedAt.get(node) ?? -Infinity) < otherMainLoggedEveryMs) return;
    this.#loggedAt.set(node, now);
    log.error({ alarm: 'other-main', node, ...other }, `link: ${detail}`);
  }

  /** The node took our link: whoever held it is gone. */
  joined(node: string): void {
    if (this.#seen.get(node)?.isHolder === true) this.#seen.delete(node);
  }

  /** What nodes told within the last minutes. */
  problems(): readonly string[] {
    const now = this.#options.clock.monotonic();
    return [...this.#seen].flatMap(([node, sighting]) =>
      now - sighting.atMs > otherMainShownForMs
        ? []
        : [
            `${node}: ${describe(sighting)}: stop one of the two; if nobody of yours started it, main's key was copied`,
          ],
    );
  }
}

export function describeHolder({ from, sinceMs }: OtherMain): string {
  return `another main with this main's key is connected since ${new Date(sinceMs).toISOString()} from ${from}`;
}

function describe({ other, isHolder }: Sighting): string {
  return isHolder
    ? describeHolder(other)
    : `another main with this main's key wanted the link, from ${other.from}, and was turned away`;
}
