import { createHash } from 'node:crypto';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { readerPageRecords, readerRetryMsMax, readerRetryMsMin, readerSaveRecords } from './limits.ts';

/**
 * Hands the audit on to somebody outside: records in order, each at least once. The audit in state.db is the queue and a
 * number in state.db the place in it (D-44), so a restart loses nothing and nothing is written twice. Who can't be
 * reached is tried again, less and less often, and is told at least what state.db still has; what they miss is a record.
 */

export interface NumberedRecord {
  readonly sequence: number;
  readonly record: AuditRecord;
}

/** What all readers need of main. */
export interface ReaderSurroundings {
  readonly state: Pick<StateStore, 'commit' | 'read' | 'onAudit'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** `S`: what a reload may change while it runs. */
interface AuditReaderOptions<S> extends ReaderSurroundings {
  readonly settings: S;
  /** The address as configured; only its hash is stored, as it may hold a token. */
  readonly address: string;
  /** For people: `webhook`, `syslog`. */
  readonly kind: 'webhook' | 'syslog' | 'mail';
  /** All of the address that may be shown. */
  readonly host: string;
  /** Where it is configured, for the record of what was skipped. */
  readonly section: string;
  wants(record: AuditRecord, settings: S): boolean;
  /** Records that may wait; beyond them the oldest are skipped. Infinity: as long as they stand in state.db. */
  readonly backlogMax: number;
  /** How many are handed over together. */
  readonly togetherMax: number;
  /** How long after the first of them they are handed over, so that more come together; default at once. */
  gatherMs?(settings: S): number;
  /** Resolves when all of them are certainly there. */
  take(records: readonly NumberedRecord[], signal: AbortSignal, settings: S): Promise<void>;
}

export class AuditReader<S = unknown> {
  readonly #options: AuditReaderOptions<S>;
  readonly #name: string;
  readonly #closing = new AbortController();
  #settings: S;
  #isEnding = false;
  #position = 0;
  #saved = 0;
  #failures = 0;
  #problem: string | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  /** Runs while nothing is to be handed over: after a failure, or until more has come. */
  #pause: NodeJS.Timeout | undefined;
  #isGathering = false;
  #unsubscribe: (() => void) | undefined;

  constructor(options: AuditReaderOptions<S>) {
    this.#options = options;
    this.#settings = options.settings;
    this.#name = createHash('sha256').update(options.address).digest('base64url');
  }

  /** One that is new begins with what happens from now on. */
  async start(): Promise<void> {
    const { state } = this.#options;
    const known = await state.read('audit-reader-position', { reader: this.#name });
    const { last } = await state.read('audit-extent');
    this.#position = Math.min(known ?? last, last);
    if (known !== this.#position) await this.#save();
    this.#saved = this.#position;
    this.#listen();
  }

  /** Why nothing arrives there, if it does not. Names the host alone. */
  problem(): string | undefined {
    return this.#problem === undefined ? undefined : `${this.label}: ${this.#problem}`;
  }

  /** For people: which one it is; names the host alone. */
  get label(): string {
    return `${this.#options.kind} ${this.#options.host}`;
  }

  /** The number of the last record that is certainly there, or that it did not ask for. */
  position(): number {
    return this.#position;
  }

  /** Nothing is late: what there is waits for more. */
  isGathering(): boolean {
    return this.#isGathering;
  }

  /** For what is not on its way yet; that ends as it began, and is not sent again. One that ends goes on. */
  use(settings: S): void {
    this.#settings = settings;
    this.#isEnding = false;
    this.#failures = 0;
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#isGathering = false;
    this.#listen();
  }

  /** What is on its way arrives; nothing else is begun. Its place stays, for one that comes later. */
  async end(): Promise<void> {
    this.#isEnding = true;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    clearTimeout(this.#pause);
    await this.#running;
    if (this.#saved !== this.#position) await this.#save().catch(() => undefined);
  }

  /** What is on its way is given up: it is sent again after the next start. */
  close(): Promise<void> {
    this.#closing.abort();
    return this.end();
  }

  #listen(): void {
    this.#unsubscribe ??= this.#options.state.onAudit(() => this.#wake());
    this.#wake();
  }

  #wake(): void {
    if (this.#isEnding || this.#pause !== undefined) return;
    this.#again = true;
    this.#running ??= this.#sendAll();
  }

  /** Until nothing new came while sending, or it fails. Never rejects. */
  async #sendAll(): Promise<void> {
    while (this.#again && !this.#isEnding) {
      this.#again = false;
      try {
        await this.#skipTooOld();
        await this.#sendRest();
      } catch (error) {
        this.#again = false;
        this.#waitAfter(error);
      }
    }
    // In the same breath as the last look at `again`: a call in between would be lost.
    this.#running = undefined;
  }

  async #sendRest(): Promise<void> {
    const { state, togetherMax } = this.#options;
    const settings = this.#settings;
    let together: NumberedRecord[] = [];
    for (let seen = this.#position, isEnd = false; !isEnd;) {
      const rows = await state.read('audit-after', { sequence: seen, limit: readerPageRecords });
      isEnd = rows.length < readerPageRecords;
      for (const row of rows) {
        // By others from here on: `use` has asked for another round.
        if (this.#isEnding || this.#settings !== settings) return;
        seen = row.sequence;
        if (this.#options.wants(row.record, settings)) together.push(row);
        if (together.length === togetherMax) {
          await this.#handOver(together, seen);
          together = [];
        } else if (together.length === 0) await this.#pass(seen);
      }
      if (!isEnd || together.length === 0) continue;
      if (this.#isEnding || this.#settings !== settings) return;
      if (this.#gathers(together, this.#options.gatherMs?.(settings) ?? 0)) return;
      await this.#handOver(together, seen);
    }
  }

  /** Whether more may come to them first. */
  #gathers([first]: readonly NumberedRecord[], gatherMs: number): boolean {
    const { clock } = this.#options;
    const ageMs = first === undefined ? gatherMs : clock.now() - Date.parse(first.record.time);
    // Never longer than that, whatever the clock was when it was written.
    const leftMs = Math.min(gatherMs - ageMs, gatherMs);
    if (leftMs <= 0) return false;
    this.#isGathering = true;
    this.#pauseFor(leftMs);
    return true;
  }

  async #handOver(records: readonly NumberedRecord[], position: number): Promise<void> {
    await this.#options.take(records, this.#closing.signal, this.#settings);
    this.#failures = 0;
    this.#problem = undefined;
    this.#position = position;
    await this.#save();
  }

  /** Nobody wanted those up to there. */
  async #pass(position: number): Promise<void> {
    this.#position = position;
    if (position - this.#saved >= readerSaveRecords) await this.#save();
  }

  async #save(): Promise<void> {
    const sequence = this.#position;
    await this.#options.state.commit([{ kind: 'note-audit-reader', reader: this.#name, sequence }]);
    this.#saved = sequence;
  }

  /** Too much waits, or it left state.db meanwhile: the rest is told, and not sent. */
  async #skipTooOld(): Promise<void> {
    const { state, clock, kind, host, section, backlogMax, log } = this.#options;
    const { first, last } = await state.read('audit-extent');
    // A tenth more than needed, so that a full queue does not skip with every record.
    const isTooFar = last - this.#position > backlogMax;
    const kept = isTooFar ? last - Math.floor(backlogMax * 0.9) : 0;
    const oldest = Math.max(first - 1, kept);
    if (this.#position >= oldest) return;
    const detail = `records ${this.#position + 1} to ${oldest} were not sent to ${host}`;
    log.error({ detail }, `a ${kind} was away too long`);
    await state.commit([
      {
        kind: 'audit',
        record: {
          time: new Date(clock.now()).toISOString(),
          event: `${kind}.skipped`,
          outcome: 'failed',
          actor: 'system',
          rule: section,
          detail,
        },
      },
      { kind: 'note-audit-reader', reader: this.#name, sequence: oldest },
    ]);
    this.#position = oldest;
    this.#saved = oldest;
  }

  #waitAfter(error: unknown): void {
    if (this.#isEnding) return;
    const { kind, host, log } = this.#options;
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#problem === undefined) log.warn({ host, detail: reason }, `a ${kind} does not take events`);
    this.#problem = reason;
    const waitMs = Math.min(readerRetryMsMin * 2 ** Math.min(this.#failures, 20), readerRetryMsMax);
    this.#failures += 1;
    this.#pauseFor(waitMs);
  }

  #pauseFor(waitMs: number): void {
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#isGathering = false;
      this.#wake();
    }, waitMs).unref();
  }
}
