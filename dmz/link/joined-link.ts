/**
 * One control connection of main with its data lanes, from main's hello to the end. Grants lanes by tokens over
 * control, and keeps as many joined as a link should have; a lane lives no longer than its control connection.
 *
 * Trust: main's messages and frames; a hostile main ends its own link and nothing else.
 */
import { ControlSession, type ControlSessionOptions } from '#shared/link/session.ts';
import type { Lane } from '#shared/link/lane.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { lanesPerLink, laneTokenLifeMs } from '#shared/link/limits.ts';
import type { OtherMain, StreamHeader } from '#shared/link/messages.ts';
import { areStreamsFull } from '#shared/link/stream-bounds.ts';
import { SallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';
import { laneRegrantMs } from './limits.ts';
import type { LinkBinding } from './main-link.ts';

export class JoinedLink {
  readonly session: ControlSession;
  /** Main's address and the time of its connection. */
  readonly from: OtherMain;
  readonly #exporter: string;
  /** Tokens given out and not yet used, each with its end. */
  readonly #grants = new Map<string, NodeJS.Timeout>();
  readonly #lanes = new Set<Lane>();
  readonly #regrants = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(exporter: string, from: OtherMain, options: ControlSessionOptions) {
    this.#exporter = exporter;
    this.from = from;
    this.session = new ControlSession({
      ...options,
      onOpen: (hello) => {
        options.onOpen(hello);
        for (let lane = 0; lane < lanesPerLink; lane += 1) this.#grant();
      },
      onClose: (reason, breach) => {
        this.#close(reason);
        options.onClose(reason, breach);
      },
    });
  }

  get binding(): LinkBinding {
    return { exporter: this.#exporter, mainName: this.session.peer?.name ?? '' };
  }

  get laneCount(): number {
    return this.#lanes.size;
  }

  /** True once: the token was ours, is used up now, and the lane is part of this link. */
  joinLane(token: string, lane: Lane): boolean {
    const timer = this.#grants.get(token);
    if (timer === undefined || this.#closed) return false;
    clearTimeout(timer);
    this.#grants.delete(token);
    this.#lanes.add(lane);
    return true;
  }

  /** A lane of this link, or another's, is gone. */
  laneClosed(lane: Lane, reason: string, breach: boolean): void {
    if (!this.#lanes.delete(lane) || this.#closed) return;
    if (breach) {
      this.session.closeAsBreach(reason);
      return;
    }
    const timer = setTimeout(() => {
      this.#regrants.delete(timer);
      this.#grant();
    }, laneRegrantMs);
    this.#regrants.add(timer);
  }

  openStream(header: StreamHeader): LaneStream {
    let best: Lane | undefined;
    for (const lane of this.#lanes) if (best === undefined || isLessBusy(lane, best)) best = lane;
    if (best === undefined) throw new SallyportError('link-down', 'The connection to the inside is down');
    if (areStreamsFull(this.#lanes, header.session, 1))
      throw new SallyportError('busy', 'Too many transfers at once');
    return best.open(header);
  }

  lanes(): readonly Lane[] {
    return [...this.#lanes];
  }

  #grant(): void {
    if (this.#closed) return;
    const token = randomId();
    this.#grants.set(
      token,
      setTimeout(() => {
        // Unused: main's dial failed, or was lost. A new one, so that the link comes back to full strength.
        this.#grants.delete(token);
        this.#grant();
      }, laneTokenLifeMs),
    );
    this.session.sendEvent('lane.grant', { token });
  }

  #close(reason: string): void {
    this.#closed = true;
    for (const timer of [...this.#grants.values(), ...this.#regrants]) clearTimeout(timer);
    this.#grants.clear();
    this.#regrants.clear();
    const lanes = [...this.#lanes];
    this.#lanes.clear();
    for (const lane of lanes) lane.close(reason);
  }
}

function isLessBusy(lane: Lane, other: Lane): boolean {
  return lane.socketQueuedBytes === other.socketQueuedBytes
    ? lane.streamCount < other.streamCount
    : lane.socketQueuedBytes < other.socketQueuedBytes;
}
