import type { DoorName } from '#dmz/guard/door-listen.ts';
import type { Socket } from 'node:net';
import type { OwnBan } from '#dmz/guard/ban-list.ts';
import type { MainHolder } from '#dmz/link/main-link.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { FromWorker, Question, Seat, ToldError, ToWorker } from './messages.ts';

/** A worker as the node's process sees it: a process, or what a test plays. */
export interface WorkerProcess {
  /** What can't be sent is lost with the process, whose end is told. A connection stays open here, too. */
  send(message: ToWorker, socket?: Socket): void;
  /** At once, whatever it does (SIGKILL). */
  kill(): void;
}

export type StartProcess = (
  seat: Seat,
  on: { readonly message: (message: FromWorker) => void; readonly exit: (why: string) => void },
) => WorkerProcess;

interface SlotOptions {
  readonly worker: number;
  readonly startProcess: StartProcess;
  /** Asked for each life. */
  readonly seat: () => Seat;
  /** May one more connection of that user wait for a code? */
  readonly hasRoomFor: (user: string) => boolean;
  readonly onBanned: (ban: OwnBan) => void;
  /** The main that this worker has is another one, or none. */
  readonly onHeld: () => void;
  readonly log: Log;
}

/** A connection that waits for its worker. */
interface Waiting {
  readonly door: DoorName;
  /** The widest network that the guard counts by. */
  readonly network: string;
  readonly socket: Socket;
}

/** A second's flood, or what comes while a worker is started again. */
const waitingMax = 512;
/** A worker that died is started again after this, doubled while it goes on dying. */
const restartMsMin = 100;
const restartMsMax = 10_000;
/** Who lived as long starts with the short wait again. */
const steadyAfterMs = 10_000;
const aliveEveryMs = 5_000;
/** A loop that turns answers in milliseconds; full collections of a large heap and a suspended box end sooner. */
const hungAfterMs = 30_000;
/** Longer than a loop stands still; one that has no descriptor left never gets it, and the kernel does not say so. */
const handedMs = 5_000;
/** SFTP sessions drain for 3 s and have 1.5 s for their goodbyes. */
const stopMs = 6_000;

/** One worker's place: the process that has it now, and what waits for it. */
export class Slot {
  readonly #options: SlotOptions;
  #process: WorkerProcess | undefined;
  #isStarted = false;
  #isStopping = false;
  /** Who waits for the first life to start. */
  #first: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  #onGone: (() => void) | undefined;
  #waiting: Waiting[] = [];
  /**
   * On its way, and open here until it has arrived: Node would never close one whose process died before it said so. The
   * next one goes then, so no more than one is lost with a process.
   */
  #handed: Socket | undefined;
  #handedTimer: NodeJS.Timeout | undefined;
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;
  /** Connections of this process that wait for a code, by user. */
  readonly #places = new Map<string, number>();
  #attempt = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  #steadyTimer: NodeJS.Timeout | undefined;
  #aliveTimer: NodeJS.Timeout | undefined;
  /** Where main dials this worker; 0 before its first start. */
  linkPort = 0;
  restarts = 0;
  heldBy: MainHolder | undefined;

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  /** Rejects when the first process does not start; later ones are tried again and again. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#first = { resolve, reject };
      this.#spawn();
    });
  }

  hand(connection: Waiting): void {
    connection.socket.on('error', () => undefined);
    this.#waiting.push(connection);
    if (this.#waiting.length > waitingMax) this.#dropOne();
    this.#handNext();
  }

  /** Rejects when it has not answered in time, or is gone. */
  ask(question: Question, timeoutMs: number): Promise<unknown> {
    if (!this.#isStarted) return Promise.reject(new SallyportError('internal', 'The worker does not run'));
    const id = (this.#lastId += 1);
    const asked = Promise.withResolvers<unknown>();
    this.#asked.set(id, asked);
    const late = setTimeout(
      () => asked.reject(new SallyportError('deadline', 'The worker does not answer')),
      timeoutMs,
    );
    this.#process?.send({ type: 'ask', id, question });
    return asked.promise.finally(() => {
      clearTimeout(late);
      this.#asked.delete(id);
    });
  }

  /** Lost on a process that does not run; the next one is told when it begins. */
  tell(message: ToWorker): void {
    this.#process?.send(message);
  }

  placesOf(user: string): number {
    return this.#places.get(user) ?? 0;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restartTimer);
    for (const { socket } of this.#waiting.splice(0)) socket.destroy();
    const running = this.#process;
    if (running === undefined) return;
    const gone = new Promise<void>((resolve) => {
      this.#onGone = resolve;
    });
    running.send({ type: 'stop' });
    const tooLate = setTimeout(() => running.kill(), stopMs);
    await gone;
    clearTimeout(tooLate);
  }

  #spawn(): void {
    const running = this.#options.startProcess(this.#options.seat(), {
      message: (message) => {
        if (this.#process === running) this.#receive(message);
      },
      exit: (why) => {
        if (this.#process === running) this.#ended(why);
      },
    });
    this.#process = running;
    // It learns whose the others are before its own link can come up.
    this.#options.onHeld();
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        // Answered where processes are started.
        return;
      case 'started':
        this.#started(message.linkPort);
        return;
      case 'failed':
        this.#failed(message.error);
        return;
      case 'taken':
        this.#handedOver();
        return;
      case 'answer':
        if (message.error === undefined) this.#asked.get(message.id)?.resolve(message.value);
        else this.#asked.get(message.id)?.reject(asError(message.error));
        return;
      case 'enter': {
        const hasRoom = this.#options.hasRoomFor(message.user);
        if (hasRoom) this.#places.set(message.user, this.placesOf(message.user) + 1);
        this.#process?.send({ type: 'entered', id: message.id, hasRoom });
        return;
      }
      case 'leave': {
        const left = this.placesOf(message.user) - 1;
        if (left > 0) this.#places.set(message.user, left);
        else this.#places.delete(message.user);
        return;
      }
      case 'banned':
        this.#options.onBanned(message.ban);
        return;
      case 'held':
        this.heldBy = message.by;
        this.#options.onHeld();
    }
  }

  #started(linkPort: number): void {
    this.linkPort = linkPort;
    this.#isStarted = true;
    this.#first?.resolve();
    this.#first = undefined;
    this.#steadyTimer = setTimeout(() => {
      this.#attempt = 0;
    }, steadyAfterMs);
    void this.#watch();
    this.#handNext();
  }

  #failed(error: ToldError): void {
    this.#options.log.error({ worker: this.#options.worker, error }, 'a worker could not start');
    if (this.#first !== undefined) this.#isStopping = true;
    this.#first?.reject(asError(error));
    this.#first = undefined;
    this.#process?.kill();
  }

  /** A process whose event loop stands still is ended; a new one takes its place. */
  async #watch(): Promise<void> {
    const watched = this.#process;
    try {
      await this.ask('alive', hungAfterMs);
    } catch {
      if (watched !== this.#process || !this.#isStarted) return;
      this.#options.log.error({ worker: this.#options.worker }, 'a worker hangs and is ended');
      watched?.kill();
      return;
    }
    if (watched === this.#process) this.#aliveTimer = setTimeout(() => void this.#watch(), aliveEveryMs);
  }

  #ended(why: string): void {
    this.#process = undefined;
    this.#isStarted = false;
    this.#letGoOfHanded();
    this.#places.clear();
    this.heldBy = undefined;
    this.#options.onHeld();
    clearTimeout(this.#steadyTimer);
    clearTimeout(this.#aliveTimer);
    for (const { reject } of this.#asked.values())
      reject(new SallyportError('internal', 'The worker is gone'));
    this.#onGone?.();
    if (this.#isStopping) return;
    if (this.#first !== undefined) {
      this.#isStopping = true;
      this.#first.reject(
        new SallyportError('internal', 'A worker ended before it had started', { detail: why }),
      );
      return;
    }
    const waitMs = Math.min(restartMsMin * 2 ** this.#attempt, restartMsMax);
    this.#attempt = Math.min(this.#attempt + 1, 16);
    this.restarts += 1;
    this.#options.log.error(
      { worker: this.#options.worker, why, waitMs },
      'a worker is gone and is started again',
    );
    this.#restartTimer = setTimeout(() => this.#spawn(), waitMs);
  }

  #handNext(): void {
    if (!this.#isStarted || this.#handed !== undefined) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#handed = next.socket;
    this.#handedTimer = setTimeout(() => this.#handedOver(), handedMs);
    this.#process?.send({ type: 'connection', door: next.door }, next.socket);
  }

  #handedOver(): void {
    this.#letGoOfHanded();
    this.#handNext();
  }

  /** A worker that has taken it has it open itself. */
  #letGoOfHanded(): void {
    clearTimeout(this.#handedTimer);
    this.#handed?.destroy();
    this.#handed = undefined;
  }

  /** Of the network that has the most here, the one that has waited longest: a flood pushes out itself (D-94). */
  #dropOne(): void {
    const counts = new Map<string, number>();
    for (const { network } of this.#waiting) counts.set(network, (counts.get(network) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const index = this.#waiting.findIndex(({ network }) => counts.get(network) === most);
    for (const { socket } of this.#waiting.splice(index, 1)) socket.destroy();
  }
}

function asError({ code, message, detail, hint }: ToldError): SallyportError {
  return new SallyportError(code, message, {
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
  });
}
