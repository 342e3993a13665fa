/**
 * Connections between two processes: what is sent arrives later, in its order, in pieces of any size, and a connection
 * can be cut at any byte of what is under way.
 */
import type { ByteTransport } from '#shared/link/byte-transport.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import { Line, type Machine, type Process } from './machine.ts';

interface Item {
  readonly bytes: Buffer;
  readonly sent: (() => void) | undefined;
}

interface Receiver {
  deliver(bytes: Buffer): void;
  onClose(reason: string): void;
}

/** What one end has sent and the other has not got. */
class Direction {
  readonly items: Item[] = [];
  readonly line = new Line();
  readonly from: Process;
  readonly to: Process;
  receiver: Receiver | undefined;
  /** The sender is done, or the connection is lost: after what is under way comes this. */
  ending: string | undefined;
  /** The receiver ended it itself, and is told however silent the wire is. */
  isEndedHere = false;
  isOver = false;

  constructor(from: Process, to: Process) {
    this.from = from;
    this.to = to;
  }
}

export interface Wire {
  /** Bytes under way arrive up to any one of them; both ends see it close. */
  cut(reason: string): void;
  /** Nothing arrives until `resume`; nothing says so. */
  hold(): void;
  resume(): void;
  readonly isOpen: boolean;
}

class Connection implements Wire {
  readonly #machine: Machine;
  readonly #directions: readonly [Direction, Direction];
  readonly #isStream: boolean;
  readonly #tap: (bytes: Buffer, from: Process) => void;
  #isHeld = false;

  constructor(
    ends: readonly [Process, Process],
    isStream: boolean,
    tap: (bytes: Buffer, from: Process) => void,
  ) {
    const [one, other] = ends;
    this.#machine = one.machine;
    this.#directions = [new Direction(one, other), new Direction(other, one)];
    this.#isStream = isStream;
    this.#tap = tap;
    for (const process of ends) process.onDeath(() => this.cut(`${process.name} died`));
  }

  get isOpen(): boolean {
    return this.#directions.every((one) => !one.isOver);
  }

  send(direction: Direction, bytes: Buffer, sent?: () => void): void {
    if (direction.isOver || direction.ending !== undefined) {
      if (sent !== undefined) this.#machine.post(direction.from, new Line(), 'not sent', sent);
      return;
    }
    this.#tap(bytes, direction.from);
    direction.items.push({ bytes, sent });
    this.#wake(direction);
  }

  start(direction: Direction, receiver: Receiver): void {
    direction.receiver = receiver;
    this.#wakeAll(direction);
  }

  /** By one end: what it sent still arrives, what it did not get never does. */
  close(own: Direction, theirs: Direction, reason: string): void {
    this.#drop(theirs, 0);
    theirs.isEndedHere = true;
    for (const direction of [own, theirs]) {
      direction.ending ??= reason;
      this.#wake(direction);
    }
  }

  cut(reason: string): void {
    this.resume();
    for (const direction of this.#directions) {
      if (direction.isOver) continue;
      const kept = this.#machine.random(direction.items.length + 1);
      const split = direction.items[kept];
      this.#drop(direction, kept);
      if (this.#isStream && split !== undefined)
        direction.items.push({
          bytes: split.bytes.subarray(0, this.#machine.random(split.bytes.length + 1)),
          sent: undefined,
        });
      direction.ending ??= reason;
      this.#wakeAll(direction);
    }
  }

  hold(): void {
    this.#isHeld = true;
  }

  resume(): void {
    this.#isHeld = false;
    for (const direction of this.#directions) {
      this.#wakeAll(direction);
    }
  }

  #drop(direction: Direction, kept: number): void {
    for (const { sent } of direction.items.splice(kept))
      if (sent !== undefined) this.#machine.post(direction.from, new Line(), 'lost', sent);
  }

  /** A turn for each item, and one for the ending. */
  #wakeAll(direction: Direction): void {
    for (let left = direction.items.length; left >= 0; left -= 1) this.#wake(direction);
  }

  #wake(direction: Direction): void {
    if (direction.receiver === undefined) return;
    this.#machine.post(direction.to, direction.line, 'arrives', () => this.#deliver(direction));
  }

  #deliver(direction: Direction): void {
    const { receiver } = direction;
    if (receiver === undefined || direction.isOver) return;
    if (this.#isHeld && !direction.isEndedHere) return;
    const item = direction.items.shift();
    if (item === undefined) {
      if (direction.ending === undefined) return;
      direction.isOver = true;
      receiver.onClose(direction.ending);
      return;
    }
    const { bytes, sent } = item;
    if (this.#isStream && bytes.length > 1 && this.#machine.chance(1, 8)) {
      const first = 1 + this.#machine.random(bytes.length - 1);
      direction.items.unshift({ bytes: bytes.subarray(first), sent });
      this.#wake(direction);
      receiver.deliver(Buffer.from(bytes.subarray(0, first)));
      return;
    }
    if (sent !== undefined) this.#machine.post(direction.from, new Line(), 'sent', sent);
    if (bytes.length > 0) receiver.deliver(Buffer.from(bytes));
  }

  get ends(): readonly [
    { readonly out: Direction; readonly in: Direction },
    { readonly out: Direction; readonly in: Direction },
  ] {
    const [one, other] = this.#directions;
    return [
      { out: one, in: other },
      { out: other, in: one },
    ];
  }
}

type Tap = (bytes: Buffer, from: Process) => void;

export function buildByteWire(
  ends: readonly [Process, Process],
  tap: Tap,
): [ByteTransport, ByteTransport, Wire] {
  const wire = new Connection(ends, true, tap);
  const [one, other] = wire.ends.map((end): ByteTransport => ({
    start: (receiver) =>
      wire.start(end.in, {
        deliver: (bytes) => receiver.onBytes(bytes, bytes.length),
        onClose: (reason) => receiver.onClose(reason),
      }),
    write: (bytes, done) => wire.send(end.out, Buffer.from(bytes), done),
    close: (reason) => wire.close(end.out, end.in, reason),
  }));
  if (one === undefined || other === undefined) throw new Error('a wire has two ends');
  return [one, other, wire];
}

export function buildMessageWire(
  ends: readonly [Process, Process],
  tap: Tap,
): [MessageTransport, MessageTransport, Wire] {
  const wire = new Connection(ends, false, tap);
  const [one, other] = wire.ends.map((end): MessageTransport => ({
    start: (receiver) =>
      wire.start(end.in, {
        deliver: (bytes) => receiver.onMessage(bytes),
        onClose: (reason) => receiver.onClose(reason),
      }),
    send: (message) => wire.send(end.out, Buffer.from(message)),
    close: (reason) => wire.close(end.out, end.in, reason),
    queuedBytes: 0,
  }));
  if (one === undefined || other === undefined) throw new Error('a wire has two ends');
  return [one, other, wire];
}
