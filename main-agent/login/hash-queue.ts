import { SallyportError } from '#shared/error.ts';
import { hashesWaitingMax, hashesWaitingPerSourceMax } from './limits.ts';

/**
 * Turns at the hash: bounded, and fair by node, then by source, so that a flood from one address or through one node
 * delays itself and nobody else. Whoever logged in from there before goes first.
 *
 * Trust: node is the link's, source is what the DMZ says it is.
 */

export interface Turn {
  readonly node: string;
  readonly clientIp: string;
  readonly known: boolean;
}

interface Job {
  readonly start: () => void;
}

/** Jobs of one lane: nodes take turns, in each node its sources do. */
type Lane = Map<string, Map<string, Job[]>>;

export class HashQueue {
  readonly #atOnceMax: number;
  readonly #known: Lane = new Map();
  readonly #strangers: Lane = new Map();
  #running = 0;
  #waiting = 0;

  constructor(atOnceMax: number) {
    this.#atOnceMax = atOnceMax;
  }

  async run<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#atOnceMax) await this.#wait(turn);
    else this.#running += 1;
    try {
      return await work();
    } finally {
      // The place goes on to the next one directly, so that nobody slips in between.
      const next = takeNext(this.#known) ?? takeNext(this.#strangers);
      if (next === undefined) this.#running -= 1;
      else {
        this.#waiting -= 1;
        next.start();
      }
    }
  }

  #wait(turn: Turn): Promise<void> {
    const lane = turn.known ? this.#known : this.#strangers;
    const sources = lane.get(turn.node) ?? new Map<string, Job[]>();
    const jobs = sources.get(turn.clientIp) ?? [];
    // Half of the room is kept for those who were here before.
    const roomMax = turn.known ? hashesWaitingMax : hashesWaitingMax / 2;
    if (this.#waiting >= roomMax || jobs.length >= hashesWaitingPerSourceMax) {
      throw new SallyportError('busy', 'Too many sign-ins at the moment; try again', {
        data: { retryAfterMs: 2_000 },
        detail: `${this.#waiting} password checks wait, ${jobs.length} of them from ${turn.clientIp}`,
      });
    }
    return new Promise((resolve) => {
      this.#waiting += 1;
      jobs.push({ start: resolve });
      sources.set(turn.clientIp, jobs);
      lane.set(turn.node, sources);
    });
  }
}

/** Round robin: who was served goes to the end (a Map keeps the order of insertion). */
function takeNext(lane: Lane): Job | undefined {
  for (const [node, sources] of lane) {
    for (const [source, jobs] of sources) {
      const job = jobs.shift();
      sources.delete(source);
      if (jobs.length > 0) sources.set(source, jobs);
      lane.delete(node);
      if (sources.size > 0) lane.set(node, sources);
      return job;
    }
  }
  return undefined;
}
