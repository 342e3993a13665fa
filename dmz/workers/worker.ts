import type { Socket } from 'node:net';
import { openDmzConfig } from '#dmz/config.ts';
import type { HandedOver } from '#dmz/guard/door-listen.ts';
import type { UserPlaces } from '#dmz/guard/user-places.ts';
import type { MainHolder } from '#dmz/link/main-link.ts';
import { startDmz, type DmzSystem } from '#dmz/system.ts';
import { systemClock } from '#shared/clock.ts';
import type { LoadOptions } from '#shared/config/load.ts';
import { toSallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import type { FromWorker, Question, Seat, ToldError, ToWorker } from './messages.ts';

/** A worker's life, told by the node's process: one start, then connections and questions, one stop. */
interface Worker {
  receive(message: ToWorker, socket: Socket | undefined): void;
}

export function buildWorker(
  send: (message: FromWorker) => void,
  {
    handedOver,
    toJournal,
    exit,
  }: {
    /** By systemd, with what a reload renewed. */
    readonly handedOver: LoadOptions;
    readonly toJournal: boolean;
    readonly exit: (code: number) => void;
  },
): Worker {
  const doors = { https: new Door(), sftp: new Door(), plain: new Door() };
  const places = new Places(send);
  let system: DmzSystem | undefined;
  let elsewhere: MainHolder | undefined;

  async function start({
    config,
    configFile,
    watched,
    worker,
    workers,
    link,
    linkPorts,
    bans,
  }: Seat): Promise<void> {
    const source = await openDmzConfig(configFile, handedOver);
    system = await startDmz(config, {
      ...handedOver,
      configFile,
      clock: systemClock,
      log: buildLog(config.log.level, { node: config.node, worker: String(worker) }, { toJournal }),
      inherited: new Map(),
      ...(watched !== undefined && { watched }),
      reread: () => source.reread(),
      seat: {
        worker,
        workers,
        link,
        linkPorts,
        doors,
        userPlaces: places,
        bans,
        onBanned: (ban) => send({ type: 'banned', ban }),
        heldElsewhere: () => elsewhere,
        onHeld: (by) => send({ type: 'held', by }),
      },
    });
    send({ type: 'started', linkPort: system.linkPort });
  }

  async function answer(question: Question): Promise<unknown> {
    switch (question) {
      case 'alive':
        return true;
      case 'checks':
        return system?.examine();
      case 'metrics':
        return system?.metrics();
      case 'reload':
        return system?.reload();
    }
  }

  return {
    receive(message, socket) {
      switch (message.type) {
        case 'start':
          start(message.seat).catch((error: unknown) => send({ type: 'failed', error: toldError(error) }));
          return;
        case 'connection':
          send({ type: 'taken' });
          // It may have gone on its way here.
          if (socket !== undefined) doors[message.door].take(socket);
          return;
        case 'ask': {
          const { id } = message;
          answer(message.question).then(
            (value) => send({ type: 'answer', id, value }),
            (error: unknown) => send({ type: 'answer', id, error: toldError(error) }),
          );
          return;
        }
        case 'entered':
          places.answered(message.id, message.hasRoom);
          return;
        case 'held-elsewhere':
          elsewhere = message.by;
          return;
        case 'stop':
          (system?.close() ?? Promise.resolve()).then(
            () => exit(0),
            () => exit(1),
          );
      }
    },
  };
}

class Door implements HandedOver {
  /** Before the door is open nothing comes: the node's process waits until the worker has started. */
  take: (socket: Socket) => void = (socket) => socket.destroy();

  onConnection(take: (socket: Socket) => void): void {
    this.take = take;
  }
}

/** Asks the node's process, which counts for all workers. */
class Places implements UserPlaces {
  readonly #send: (message: FromWorker) => void;
  readonly #asked = new Map<number, (hasRoom: boolean) => void>();
  #lastId = 0;

  constructor(send: (message: FromWorker) => void) {
    this.#send = send;
  }

  async enter(user: string): Promise<(() => void) | undefined> {
    const id = (this.#lastId += 1);
    const hasRoom = await new Promise<boolean>((resolve) => {
      this.#asked.set(id, resolve);
      this.#send({ type: 'enter', id, user });
    });
    if (!hasRoom) return undefined;
    let isLeft = false;
    return () => {
      if (isLeft) return;
      isLeft = true;
      this.#send({ type: 'leave', user });
    };
  }

  answered(id: number, hasRoom: boolean): void {
    this.#asked.get(id)?.(hasRoom);
    this.#asked.delete(id);
  }
}

function toldError(error: unknown): ToldError {
  const { code, publicMessage, detail, hint } = toSallyportError(error);
  return { code, message: publicMessage, detail, hint };
}
