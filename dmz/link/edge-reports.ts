import type { KeyObject } from 'node:crypto';
import type { Clock } from '#shared/clock.ts';
import { signEdgeEvent, type EdgeEvent, type UnsignedEdgeEvent } from '#shared/link/edge-event.ts';
import { edgeEventsMax } from '#shared/link/limits.ts';
import { edgeDetailCharactersMax, edgeEventsBurst, edgeEventsPerSecond } from './limits.ts';

/**
 * What this process tells main of its edge, kept until main says that it is in the audit: an event while the link is
 * away, or lost with it, goes out on the next one. What strangers could make too many of is counted instead of kept,
 * and the count is told.
 */

export type EdgeReport = Omit<UnsignedEdgeEvent, 'boot' | 'sequence' | 'atMs'>;

export interface EdgeReportsOptions {
  readonly node: string;
  readonly worker: number;
  readonly boot: string;
  readonly signingKey: KeyObject;
  readonly clock: Clock;
  /** To the present link, if there is one. */
  readonly send: (event: EdgeEvent) => void;
}

export class EdgeReports {
  readonly #options: EdgeReportsOptions;
  #waiting: EdgeEvent[] = [];
  #sequence = 0;
  #unkept = 0;
  #tokens = edgeEventsBurst;
  #filledAt: number;
  #summary: NodeJS.Timeout | undefined;

  constructor(options: EdgeReportsOptions) {
    this.#options = options;
    this.#filledAt = options.clock.monotonic();
  }

  add(report: EdgeReport): void {
    this.#tellUnkept();
    if (this.#hasRoom()) this.#keep(report);
    else {
      this.#unkept += 1;
      this.#summary ??= setTimeout(() => {
        this.#summary = undefined;
        this.#tellUnkept();
      }, 1000).unref();
    }
  }

  /** On a new link: all that main has not said to have. */
  sendAgain(): void {
    for (const event of this.#waiting) this.#options.send(event);
  }

  /** Main has all up to this one. */
  taken(boot: string, sequence: number): void {
    if (boot !== this.#options.boot) return;
    this.#waiting = this.#waiting.filter((event) => event.sequence > sequence);
    this.#tellUnkept();
  }

  close(): void {
    clearTimeout(this.#summary);
  }

  #tellUnkept(): void {
    if (this.#unkept === 0 || !this.#hasRoom()) return;
    const unkept = this.#unkept;
    this.#unkept = 0;
    this.#keep({
      kind: 'limit',
      detail: `${unkept} events were not kept: they came too fast, or main was away too long`,
    });
  }

  #hasRoom(): boolean {
    const now = this.#options.clock.monotonic();
    const refill = ((now - this.#filledAt) / 1000) * edgeEventsPerSecond;
    this.#tokens = Math.min(edgeEventsBurst, this.#tokens + refill);
    this.#filledAt = now;
    return this.#waiting.length < edgeEventsMax && this.#tokens >= 1;
  }

  #keep(report: EdgeReport): void {
    const { node, worker, boot, signingKey, clock, send } = this.#options;
    this.#tokens -= 1;
    this.#sequence += 1;
    const event = signEdgeEvent(
      {
        ...report,
        detail: report.detail.slice(0, edgeDetailCharactersMax),
        boot,
        sequence: this.#sequence,
        atMs: clock.now(),
      },
      { node, worker },
      signingKey,
    );
    this.#waiting.push(event);
    send(event);
  }
}
