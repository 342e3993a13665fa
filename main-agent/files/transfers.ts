/** What flows now: open files whose bytes have begun to move, for admins. */
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Protocol } from '#shared/login.ts';
import type { HandleTable, Opened } from './handles.ts';
import type { Openings } from './openings.ts';

/** Bytes on their way, by open file. */
export interface TransferAdmin {
  list(): readonly Transfer[];
  /** False: there was none. */
  end(id: string): Promise<boolean>;
}

export interface Transfer {
  readonly id: string;
  readonly username: string;
  readonly path: string;
  readonly direction: 'upload' | 'download';
  readonly bytes: number;
  readonly bytesPerSecond: number;
  readonly startedAtMs: number;
  readonly sessionKey: string;
  readonly node: string;
  readonly protocol: Protocol;
  readonly clientIp: string;
}

/** A rate is measured over at least this long; looks in between see the last one. */
const sampleMs = 1_000;

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

export class Transfers implements TransferAdmin {
  readonly #handles: HandleTable;
  readonly #openings: Openings;
  readonly #clock: Clock;
  readonly #samples = new WeakMap<Opened, Sample>();

  constructor(handles: HandleTable, openings: Openings, clock: Clock) {
    this.#handles = handles;
    this.#openings = openings;
    this.#clock = clock;
  }

  list(): readonly Transfer[] {
    return [...this.#handles.list()].flatMap((opened) => {
      const facts = factsOf(opened);
      if (facts === undefined || (facts.bytes === 0 && !facts.isRunning)) return [];
      const { session } = opened;
      return [
        {
          id: idOf(opened),
          username: session.username,
          path: facts.path,
          direction: facts.direction,
          bytes: facts.bytes,
          bytesPerSecond: this.#rateOf(opened, facts),
          startedAtMs: facts.startedAtMs,
          sessionKey: session.key,
          node: session.node,
          protocol: session.protocol,
          clientIp: session.clientIp,
        },
      ];
    });
  }

  /** What was uploaded may be resumed. */
  async end(id: string): Promise<boolean> {
    const opened = [...this.#handles.list()].find((one) => idOf(one) === id);
    if (opened === undefined) return false;
    const reason = new SallyportError('not-allowed', 'The transfer was ended by an administrator');
    await this.#openings.release(opened.session, opened.number, 'keep', { reason });
    return true;
  }

  #rateOf(
    opened: Opened,
    { bytes, startedAtMs }: { readonly bytes: number; readonly startedAtMs: number },
  ): number {
    const nowMs = this.#clock.now();
    const last = this.#samples.get(opened);
    if (last !== undefined && nowMs - last.atMs < sampleMs) return last.bytesPerSecond;
    const since = last ?? { atMs: startedAtMs, bytes: 0 };
    const seconds = Math.max(1, nowMs - since.atMs) / 1000;
    const bytesPerSecond = Math.max(0, Math.round((bytes - since.bytes) / seconds));
    this.#samples.set(opened, { atMs: nowMs, bytes, bytesPerSecond });
    return bytesPerSecond;
  }
}

function factsOf({ handle }: Opened) {
  if (handle.kind === 'folder') return undefined;
  const { kind, streams } = handle;
  const path = kind === 'read' ? handle.located.path : handle.path;
  const shared = { path: path.toString(), isRunning: streams.isRunning };
  if (handle.kind === 'read') {
    const bytes = handle.sentBytes + handle.streams.runningBytes;
    return { ...shared, direction: 'download' as const, bytes, startedAtMs: handle.startedAtMs };
  }
  const { startedAtMs } = handle.upload.record;
  return { ...shared, direction: 'upload' as const, bytes: handle.writtenBytes, startedAtMs };
}

function idOf({ number }: Opened): string {
  return number.toString(36);
}
