import type { KeyObject } from 'node:crypto';
import type { Clock } from '#shared/clock.ts';
import { signEdgeEvent, type EdgeEvent, type UnsignedEdgeEvent } from '#shared/link/edge-event.ts';
import { edgeEventsMax } from '#shared/link/limits.ts';
import { Rate } from '#shared/rate.ts';
import {
  edgeDetailCharactersMax,
  edgeEventRate,
  edgeRefusalRate,
  edgeRefusalsMax,
  unkeptToldEveryMs,
} from './limits.ts';

/**
 * What this process tells main of its edge, kept until main says that it is in the audit: an event while the link is
 * away, or lost with it, goes out on the next one. What strangers could make too many of is counted instead of kept,
 * and the count is told.
 */

export type EdgeReport = Omit<UnsignedEdgeEvent, 'boot' | 'sequence' | 'atMs'>;

interface EdgeReportsOptions {
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
  /** When the first of them came. */
  #unkeptSince = 0;
  readonly #rate: Rate;
  readonly #refusalRate: Rate;
  #summary: NodeJS.Timeout | undefined;

  constructor(options: EdgeReportsOptions) {
    this.#options = options;
    this.#rate = new Rate(edgeEventRate, options.clock.monotonic());
    this.#refusalRate = new Rate(edgeRefusalRate, options.clock.monotonic());
  }

  add(report: EdgeReport): void {
    this.#tellUnkept();
    if (this.#takeRoom(report.kind)) this.#keep(report);
    else {
      if (this.#unkept === 0) this.#unkeptSince = this.#options.clock.monotonic();
      this.#unkept += 1;
      this.#summary ??= setTimeout(() => {
        this.#summary = undefined;
        this.#tellUnkept();
      }, 1.1 * unkeptToldEveryMs).unref();
    }
  }

  /** Events that main has not said to have. */
  get size(): number {
    return this.#waiting.length;
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
    if (this.#unkept === 0) return;
    const waitedMs = this.#options.clock.monotonic() - this.#unkeptSince;
    if (waitedMs < unkeptToldEveryMs || !this.#takeRoom('limit')) return;
    const unkept = this.#unkept;
    this.#unkept = 0;
    this.#keep({
      kind: 'limit',
      detail: `${unkept} events were not kept: they came too fast, or main was away too long`,
    });
  }

  #takeRoom(kind: EdgeReport['kind']): boolean {
    const isRefusal = kind === 'refused';
    // First: a flood must not cost a look at the queue for each event.
    if (!(isRefusal ? this.#refusalRate : this.#rate).take(this.#options.clock.monotonic())) return false;
    const alike = this.#waiting.filter((event) => (event.kind === 'refused') === isRefusal).length;
    return alike < (isRefusal ? edgeRefusalsMax : edgeEventsMax - edgeRefusalsMax);
  }

  #keep(report: EdgeReport): void {
    const { node, worker, boot, signingKey, clock, send } = this.#options;
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
