import { BoundedMap } from './bounded-map.ts';
import { Rate, type RateLimit } from './rate.ts';

/**
 * How many lines of one kind a node may cause in our log. A peer that was broken into could fill the disk with alarms
 * as well as with anything else. Stands where every line passes; a line that names a `node` is of that node and of the
 * kind that its message says. The first that is written again says how many were not.
 */
const lineRate: RateLimit = { burst: 20, perSecond: 1 / 3 };
/** Messages are ours, about a hundred; nodes are pinned. */
const kindsMax = 4096;

interface Kind {
  readonly rate: Rate;
  unwritten: number;
}

export class LineBudget {
  readonly #kinds = new BoundedMap<Kind>(kindsMax);

  /** The arguments of a log call as they are to be written; undefined: not at all. */
  admit<L extends readonly unknown[]>(line: L, monotonicMs: number): L | undefined {
    const [fields, message] = line;
    if (typeof fields !== 'object' || fields === null || !('node' in fields)) return line;
    const key = `${String(fields.node)} ${String(message)}`;
    const kind = this.#kinds.get(key) ?? { rate: new Rate(lineRate, monotonicMs), unwritten: 0 };
    this.#kinds.set(key, kind);
    if (!kind.rate.take(monotonicMs)) {
      kind.unwritten += 1;
      return undefined;
    }
    const { unwritten } = kind;
    kind.unwritten = 0;
    if (unwritten === 0) return line;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same call with one field more
    return [{ ...fields, unwritten }, ...line.slice(1)] as unknown as L;
  }
}
