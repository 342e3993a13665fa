import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { DoorName } from '#dmz/guard/door-listen.ts';
import type { OwnBan } from '#dmz/guard/ban-list.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Log } from '#shared/log.ts';
import { networksOf } from '#shared/networks.ts';
import type { Question, Seat } from './messages.ts';
import { Slot, type StartProcess } from './slot.ts';

interface WorkerPoolOptions {
  readonly workers: number;
  readonly startProcess: StartProcess;
  readonly seat: (worker: number) => Omit<Seat, 'worker' | 'workers' | 'linkPorts' | 'bans'>;
  /** Connections of one user that may wait for a code, in all workers together. */
  readonly awaitingCodePerUserMax: number;
  /** Bans that are kept for workers that are started again. */
  readonly bansMax: number;
  readonly log: Log;
}

/**
 * The workers of one node, and which of them gets a connection.
 *
 * A source belongs to one worker, with all the networks around it that the guard counts by. So whatever is counted by
 * address is counted in one place, as if there were no other worker (D-133).
 */
export class WorkerPool {
  readonly #slots: readonly Slot[];
  /** With it, nobody can choose networks that all belong to one worker. */
  readonly #salt = randomBytes(16);
  readonly #bans: BoundedMap<OwnBan>;

  constructor({ workers, startProcess, seat, awaitingCodePerUserMax, bansMax, log }: WorkerPoolOptions) {
    this.#bans = new BoundedMap(bansMax);
    this.#slots = Array.from(
      { length: workers },
      (_, worker) =>
        new Slot({
          worker,
          startProcess,
          seat: () => ({
            ...seat(worker),
            worker,
            workers,
            linkPorts: this.#slots.map(({ linkPort }) => linkPort),
            bans: this.#bansOf(worker),
          }),
          hasRoomFor: (user) =>
            this.#slots.reduce((sum, slot) => sum + slot.placesOf(user), 0) < awaitingCodePerUserMax,
          onHeld: () => this.#tellHolders(),
          onBanned: (ban) => this.#bans.set(`${ban.door ?? ''} ${ban.source}`, ban),
          log,
        }),
    );
  }

  get restarts(): number {
    return this.#slots.reduce((sum, { restarts }) => sum + restarts, 0);
  }

  /** Rejects with the first failure. The first worker is the last to start: it tells main of the others. */
  async start(): Promise<void> {
    for (const slot of this.#slots.toReversed()) await slot.start();
  }

  /** To the worker that the source belongs to. The socket is paused, and nothing was read of it. */
  hand(door: DoorName, ip: string, socket: Socket): void {
    const network = widestNetworkOf(ip);
    this.#slots[this.#ownerOf(network)]?.hand({ door, network, socket });
  }

  /** One outcome a worker, in their order. */
  ask(question: Question, timeoutMs: number): Promise<PromiseSettledResult<unknown>[]> {
    return Promise.allSettled(this.#slots.map((slot) => slot.ask(question, timeoutMs)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.stop()));
  }

  /** One main has all workers, or the node would serve two at once. */
  #tellHolders(): void {
    for (const slot of this.#slots) {
      const other = this.#slots.find((one) => one !== slot && one.heldBy !== undefined);
      slot.tell({ type: 'held-elsewhere', by: other?.heldBy });
    }
  }

  #ownerOf(network: string): number {
    const hash = createHash('sha256').update(this.#salt).update(network).digest();
    return hash.readUInt32BE() % this.#slots.length;
  }

  #bansOf(worker: number): readonly OwnBan[] {
    return [...this.#bans.values()].filter(
      ({ source }) => this.#ownerOf(widestNetworkOf(source.replace('/64', ''))) === worker,
    );
  }
}

function widestNetworkOf(ip: string): string {
  return networksOf(ip).at(-1) ?? ip;
}
