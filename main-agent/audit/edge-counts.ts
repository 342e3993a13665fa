import { z } from 'zod';

/**
 * The counts that DMZ nodes keep of their events, as they stand in audit records: each process of a node counts from 1,
 * so an event that is missing shows, unless an `edge.gap` record says that it never came.
 */

export interface EdgeLoss {
  readonly node: string;
  readonly missing: number;
  /** Number of the record that says so. */
  readonly record: number;
}

const edgeRecord = z.object({
  event: z.string(),
  node: z.string(),
  edge: z.object({
    worker: z.number(),
    boot: z.string(),
    sequence: z.number(),
    missing: z.number().optional(),
  }),
});

export class EdgeCounts {
  /** Last event of each node's process; as many as there were restarts in the time the files cover. */
  readonly #last = new Map<string, number>();
  readonly #losses: EdgeLoss[] = [];

  /** Why this record can't come after those before it, or undefined. */
  take(number: number, record: object): string | undefined {
    // Most records are of users; only those of nodes are looked at closely.
    if (!('edge' in record)) return undefined;
    const parsed = edgeRecord.safeParse(record);
    if (!parsed.success) return 'not a record of a node’s event';
    const { node, edge } = parsed.data;
    const { worker, boot, sequence, missing } = edge;
    const key = `${node}/${worker}/${boot}`;
    const last = this.#last.get(key);
    if (last !== undefined && sequence !== last + 1)
      return `event ${sequence} of ${node} after its event ${last}, and no record says why`;
    this.#last.set(key, sequence + (missing ?? 1) - 1);
    if (missing !== undefined) this.#losses.push({ node, missing, record: number });
    return undefined;
  }

  losses(): readonly EdgeLoss[] {
    return this.#losses;
  }
}
