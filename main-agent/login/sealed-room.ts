/** A challenge, as far as it takes room. */
interface Placed {
  readonly node: string;
  readonly factor: 'pwd' | 'key';
  readonly household: string;
  readonly startedAtMs: number;
}

interface NodeRoom<One> {
  count: number;
  /** By factor and source; in each the oldest first. */
  readonly lines: Map<string, Set<One>>;
}

/**
 * Whose sealed logins are alive: who of a node gives way when it has no room left. That is the source that has most, and
 * of those opened with a key as long as there are any: any key opens one, and costs neither a hash nor a turn at a
 * throttle.
 */
export class SealedRoom<One extends Placed> {
  readonly #nodes = new Map<string, NodeRoom<One>>();

  countOf(node: string): number {
    return this.#nodes.get(node)?.count ?? 0;
  }

  add(record: One): void {
    const room = this.#nodes.get(record.node) ?? { count: 0, lines: new Map<string, Set<One>>() };
    const line = room.lines.get(lineOf(record)) ?? new Set();
    this.#nodes.set(record.node, room);
    room.lines.set(lineOf(record), line.add(record));
    room.count += 1;
  }

  delete(record: One): void {
    const room = this.#nodes.get(record.node);
    const line = room?.lines.get(lineOf(record));
    if (room === undefined || line?.delete(record) !== true) return;
    room.count -= 1;
    if (line.size === 0) room.lines.delete(lineOf(record));
    if (room.count === 0) this.#nodes.delete(record.node);
  }

  /** Of that source: those opened with a key before the others, of each the oldest first. */
  from(place: Pick<Placed, 'node' | 'household'>): readonly One[] {
    const lines = this.#nodes.get(place.node)?.lines;
    return (['key', 'pwd'] as const).flatMap((factor) => [
      ...(lines?.get(lineOf({ ...place, factor })) ?? []),
    ]);
  }

  oldestOfLargest(node: string): One | undefined {
    let found: Line<One> | undefined;
    for (const line of this.#nodes.get(node)?.lines.values() ?? []) {
      const [oldest] = line;
      if (oldest === undefined) continue;
      const here = { size: line.size, oldest };
      if (found === undefined || givesWaySooner(here, found)) found = here;
    }
    return found?.oldest;
  }
}

interface Line<One> {
  readonly size: number;
  readonly oldest: One;
}

function givesWaySooner(one: Line<Placed>, other: Line<Placed>): boolean {
  if (one.oldest.factor !== other.oldest.factor) return one.oldest.factor === 'key';
  if (one.size !== other.size) return one.size > other.size;
  return one.oldest.startedAtMs < other.oldest.startedAtMs;
}

function lineOf({ factor, household }: Pick<Placed, 'factor' | 'household'>): string {
  return `${factor} ${household}`;
}
