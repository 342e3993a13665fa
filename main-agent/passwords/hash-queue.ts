import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { householdOf } from '#shared/networks.ts';
import { type Asker, notBegun } from '#shared/link/asker.ts';
import {
  hashesWaitingMax,
  hashesWaitingPerSourceMax,
  overloadRetryMsMax,
  overloadRetryMsMin,
  patienceShare,
  strangersEveryTurns,
} from './limits.ts';

/**
 * Turns at the hash (D-88), and at what else is done for few at a time: bounded, and fair by node, then by source, so that a flood from one address or through one
 * node delays itself and nobody else. Whoever logged in from there before goes first, but for a share of the turns.
 *
 * More than can be hashed must not end in everybody's waiting too long: nobody is taken in who would wait too long,
 * nobody's turn comes who has gone, and where a source's line is full its newest takes the place of its oldest. What
 * is refused here was not looked at, so it says nothing about a name or a password (S-07).
 *
 * Trust: node is the link's; source and patience are what the DMZ says. A long patience keeps a place in the own
 * node's line and takes no turn from anybody.
 */

export interface Turn {
  readonly node: string;
  readonly clientIp: string;
  readonly known: boolean;
  /** Who waits for it; without one somebody does for as long as it takes. */
  readonly asker?: Asker | undefined;
}

/** Why there was no turn: no room for one more, or nobody waiting for it any more. */
export type NoTurn = 'refused' | 'gone';

interface Job {
  readonly turn: Turn;
  readonly source: string;
  /** Counts up with each that came. */
  readonly arrival: number;
  start(): void;
  fail(error: SallyportError): void;
}

/** By source, whose turn is next first; in each, whose turn is next first. */
type Lane = Map<string, Job[]>;

interface Lines {
  readonly known: Lane;
  readonly strangers: Lane;
  /** Turns that went to known ones since the last stranger's. */
  passedOver: number;
}

export interface HashQueueOptions {
  readonly atOnceMax: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** 0 ≤ x < 1: spreads those who are told to come back. */
  readonly random?: () => number;
  readonly onNoTurn?: (turn: Turn, why: NoTurn) => void;
}

export class HashQueue {
  readonly #options: HashQueueOptions;
  /** The node whose turn is next first. */
  readonly #nodes = new Map<string, Lines>();
  #atWork = 0;
  #arrivals = 0;
  #waiting = 0;
  #strangersWaiting = 0;
  #served = 0;
  /** What the latest turns took, the last ones most. */
  #turnMs = 0;
  /** When those that are at work were begun. */
  readonly #begun = new Set<{ readonly atMs: number }>();

  constructor(options: HashQueueOptions) {
    this.#options = options;
  }

  get atOnceMax(): number {
    return this.#options.atOnceMax;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Turns that ended, well or not. */
  get served(): number {
    return this.#served;
  }

  /** What a turn takes now, as far as is known; one that is at work for longer already says more than those before. */
  get turnMs(): number {
    const nowMs = this.#options.clock.monotonic();
    return Math.max(this.#turnMs, ...[...this.#begun].map(({ atMs }) => nowMs - atMs));
  }

  /** How long somebody who came now would wait until the end of a turn, behind all who wait. */
  get expectedMs(): number {
    return this.#expectedMs(this.#waiting);
  }

  /** Rejects `busy` when there is no turn in time, `deadline` when nobody waits. */
  async run<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    turn.asker?.requireWaiting();
    if (this.#atWork >= this.#options.atOnceMax) await this.#wait(turn);
    else this.#atWork += 1;
    const begun = { atMs: this.#options.clock.monotonic() };
    this.#begun.add(begun);
    try {
      return await work();
    } finally {
      this.#begun.delete(begun);
      this.#note(this.#options.clock.monotonic() - begun.atMs);
      this.#startNext();
    }
  }

  #note(tookMs: number): void {
    this.#served += 1;
    // A fifth of the newest: ten turns after downloads began, or ended, it is right again.
    this.#turnMs += this.#served === 1 ? tookMs : (tookMs - this.#turnMs) / 5;
  }

  #expectedMs(ahead: number): number {
    return Math.ceil((ahead + 1) / this.#options.atOnceMax) * this.turnMs;
  }

  #wait(turn: Turn): Promise<void> {
    const source = householdOf(turn.clientIp);
    const lines = this.#nodes.get(turn.node) ?? { known: new Map(), strangers: new Map(), passedOver: 0 };
    const line = laneOf(lines, turn).get(source) ?? [];
    const patienceMs = (turn.asker?.leftMs ?? Number.POSITIVE_INFINITY) * patienceShare;
    const isTooLong = (place: number): boolean =>
      this.#expectedMs(this.#countAhead(turn, lines, source, place)) > patienceMs;
    if (isTooLong(0)) throw this.#refuse(turn);
    const isLineFull = line.length >= hashesWaitingPerSourceMax || isTooLong(line.length);
    if (isLineFull) this.#giveWay(oldestOf(line));
    else if (!this.#hasRoom(turn)) {
      const heaviest = this.#findHeaviest(turn, lines, line);
      if (heaviest === undefined) throw this.#refuse(turn);
      this.#giveWay(heaviest);
    }
    return new Promise((resolve, reject) => {
      const forget = turn.asker?.onGiveUp(() => {
        if (!this.#remove(job)) return;
        this.#options.onNoTurn?.(turn, 'gone');
        reject(notBegun());
      });
      const job: Job = {
        turn,
        source,
        arrival: (this.#arrivals += 1),
        start: () => {
          forget?.();
          resolve();
        },
        fail: (error) => {
          forget?.();
          reject(error);
        },
      };
      this.#add(job, isLineFull);
    });
  }

  /** Turns before the one at `place` of its line, if nobody else came. */
  #countAhead(turn: Turn, lines: Lines, source: string, place: number): number {
    const knownOfEach = strangersEveryTurns - 1;
    let inLane = place;
    for (const [other, jobs] of laneOf(lines, turn))
      if (other !== source) inLane += Math.min(jobs.length, place + 1);
    const inNode =
      inLane +
      (turn.known
        ? Math.min(countOf(lines.strangers), Math.floor(inLane / knownOfEach))
        : Math.min(countOf(lines.known), (inLane + 1) * knownOfEach));
    let inOthers = 0;
    for (const [node, { known, strangers }] of this.#nodes)
      if (node !== turn.node) inOthers += Math.min(countOf(known) + countOf(strangers), inNode + 1);
    return inNode + inOthers;
  }

  /** Half of the room is kept for those who were here before. */
  #hasRoom({ known }: Turn): boolean {
    return this.#waiting < hashesWaitingMax && (known || this.#strangersWaiting < hashesWaitingMax / 2);
  }

  /** Who gives way where there is no room: the oldest of whoever has more of it than the newcomer would have. */
  #findHeaviest(turn: Turn, own: Lines, line: readonly Job[]): Job | undefined {
    const lanesOf = ({ known, strangers }: Lines): readonly Lane[] =>
      turn.known && countOf(strangers) === 0 ? [known] : [strangers];
    const sizeOf = (lines: Lines): number => lanesOf(lines).reduce((sum, lane) => sum + countOf(lane), 0);
    let heaviest = own;
    for (const lines of this.#nodes.values()) if (sizeOf(lines) > sizeOf(heaviest) + 1) heaviest = lines;
    const [longest = []] = lanesOf(heaviest)
      .flatMap((lane) => [...lane.values()])
      .toSorted((one, other) => other.length - one.length);
    return oldestOf(heaviest !== own || longest.length > line.length + 1 ? longest : line);
  }

  #giveWay(job: Job | undefined): void {
    if (job !== undefined && this.#remove(job)) job.fail(this.#refuse(job.turn));
  }

  #refuse(turn: Turn): SallyportError {
    this.#options.onNoTurn?.(turn, 'refused');
    const { random = Math.random } = this.#options;
    const spreadMs = Math.max(overloadRetryMsMin, this.expectedMs) * (1 + random());
    return busy(Math.min(overloadRetryMsMax, spreadMs));
  }

  #add(job: Job, isFirst: boolean): void {
    const { node, known } = job.turn;
    const lines = this.#nodes.get(node) ?? { known: new Map(), strangers: new Map(), passedOver: 0 };
    const lane = laneOf(lines, job.turn);
    const line = lane.get(job.source) ?? [];
    if (isFirst) line.unshift(job);
    else line.push(job);
    lane.set(job.source, line);
    this.#nodes.set(node, lines);
    this.#waiting += 1;
    if (!known) this.#strangersWaiting += 1;
  }

  /** False: it does not wait here any more. */
  #remove(job: Job): boolean {
    const { node, known } = job.turn;
    const lines = this.#nodes.get(node);
    if (lines === undefined) return false;
    const lane = laneOf(lines, job.turn);
    const line = lane.get(job.source) ?? [];
    const at = line.indexOf(job);
    if (at < 0) return false;
    line.splice(at, 1);
    if (line.length === 0) lane.delete(job.source);
    if (lines.known.size + lines.strangers.size === 0) this.#nodes.delete(node);
    this.#waiting -= 1;
    if (!known) this.#strangersWaiting -= 1;
    return true;
  }

  /** The place goes on to the next one directly, so that nobody slips in between. */
  #startNext(): void {
    for (let job = this.#takeNext(); job !== undefined; job = this.#takeNext()) {
      if ((job.turn.asker?.leftMs ?? Number.POSITIVE_INFINITY) > this.#turnMs) {
        job.start();
        return;
      }
      // Its answer would come too late: the turn is somebody else's.
      this.#options.onNoTurn?.(job.turn, 'gone');
      job.fail(busy(overloadRetryMsMin));
    }
    this.#atWork -= 1;
  }

  /** Round robin: who was served goes to the end (a Map keeps the order of insertion). */
  #takeNext(): Job | undefined {
    for (const [node, lines] of this.#nodes) {
      const isStrangers =
        lines.known.size === 0 || (lines.strangers.size > 0 && lines.passedOver >= strangersEveryTurns - 1);
      lines.passedOver = isStrangers ? 0 : lines.passedOver + 1;
      const lane = isStrangers ? lines.strangers : lines.known;
      for (const [source, line] of lane) {
        const [job] = line;
        if (job === undefined || !this.#remove(job)) continue;
        if (lane.delete(source)) lane.set(source, line);
        if (this.#nodes.delete(node)) this.#nodes.set(node, lines);
        return job;
      }
    }
    return undefined;
  }
}

function laneOf(lines: Lines, { known }: Turn): Lane {
  return known ? lines.known : lines.strangers;
}

function countOf(lane: Lane): number {
  let count = 0;
  for (const jobs of lane.values()) count += jobs.length;
  return count;
}

function oldestOf(line: readonly Job[]): Job | undefined {
  let oldest: Job | undefined;
  for (const job of line) if (oldest === undefined || job.arrival < oldest.arrival) oldest = job;
  return oldest;
}

/** Never a word about the password: nobody looked at it. */
function busy(retryAfterMs: number): SallyportError {
  return new SallyportError('busy', 'Too many people are signing in at the moment; try again in a moment', {
    data: { retryAfterMs: Math.ceil(retryAfterMs) },
    detail: 'more password checks than main can make',
  });
}
