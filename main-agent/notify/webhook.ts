import { createHash } from 'node:crypto';
import { fitsEvent } from '#main-agent/audit/audit-query.ts';
import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';
import {
  webhookBacklogMax,
  webhookPageRecords,
  webhookRetryMsMax,
  webhookRetryMsMin,
  webhookSaveRecords,
} from './limits.ts';
import { buildWebhookMessage } from './webhook-message.ts';

/**
 * One webhook: events in order, each at least once. The audit in state.db is its queue and a number in state.db its
 * place in it, so a restart loses nothing and nothing is written twice. One that fails is tried again, less and less
 * often, and what waits for it is bounded: beyond that the oldest is skipped, with a record that says so.
 */
export interface WebhookOptions {
  readonly url: URL;
  /** `*`, `login.*`, `file.upload`. */
  readonly events: readonly string[];
  readonly secret: Secret<Buffer>;
  readonly main: string;
  readonly state: Pick<StateStore, 'commit' | 'read' | 'onAudit'>;
  readonly outbound: OutboundClient;
  readonly clock: Clock;
  readonly log: Log;
}

export class Webhook {
  readonly #options: WebhookOptions;
  /** How it is named in state.db: addresses may hold a token. */
  readonly #name: string;
  readonly #closing = new AbortController();
  #position = 0;
  #saved = 0;
  #failures = 0;
  #problem: string | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #retry: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#name = createHash('sha256').update(options.url.href).digest('base64url');
  }

  /** A webhook that is new begins with what happens from now on. */
  async start(): Promise<void> {
    const { state } = this.#options;
    const known = await state.read('webhook-position', { webhook: this.#name });
    const { last } = await state.read('audit-extent');
    this.#position = Math.min(known ?? last, last);
    if (known !== this.#position) await this.#save();
    this.#saved = this.#position;
    this.#unsubscribe = state.onAudit(() => this.#wake());
    this.#wake();
  }

  /** Why nothing arrives there, if it does not. Names the host alone. */
  problem(): string | undefined {
    return this.#problem === undefined ? undefined : `webhook ${this.#options.url.host}: ${this.#problem}`;
  }

  /** What is on its way is given up: it is sent again after the next start. */
  async close(): Promise<void> {
    this.#unsubscribe?.();
    clearTimeout(this.#retry);
    this.#closing.abort();
    await this.#running;
    if (this.#saved !== this.#position) await this.#save().catch(() => undefined);
  }

  #wake(): void {
    if (this.#closing.signal.aborted || this.#retry !== undefined) return;
    this.#again = true;
    this.#running ??= this.#sendAll();
  }

  /** Until nothing new came while sending, or it fails. Never rejects. */
  async #sendAll(): Promise<void> {
    while (this.#again && !this.#closing.signal.aborted) {
      this.#again = false;
      try {
        await this.#skipTooOld();
        while (await this.#sendPage());
      } catch (error) {
        this.#again = false;
        this.#waitAfter(error);
      }
    }
    // In the same breath as the last look at `again`: a call in between would be lost.
    this.#running = undefined;
  }

  async #sendPage(): Promise<boolean> {
    const { state, events } = this.#options;
    const rows = await state.read('audit-after', { sequence: this.#position, limit: webhookPageRecords });
    for (const row of rows) {
      if (this.#closing.signal.aborted) return false;
      const isWanted = events.some((pattern) => fitsEvent(row.record.event, pattern));
      if (isWanted) await this.#deliver(row);
      this.#position = row.sequence;
      if (isWanted || this.#position - this.#saved >= webhookSaveRecords) await this.#save();
    }
    return rows.length === webhookPageRecords;
  }

  async #deliver(row: Parameters<typeof buildWebhookMessage>[1]): Promise<void> {
    const { url, secret, main, outbound, clock } = this.#options;
    const message = buildWebhookMessage(main, row, { secret, nowMs: clock.now() });
    const { status } = await outbound.send({
      url,
      method: 'POST',
      ...message,
      signal: this.#closing.signal,
    });
    if (status < 200 || status > 299) throw new Error(`it answered with status ${status}`);
    this.#failures = 0;
    this.#problem = undefined;
  }

  async #save(): Promise<void> {
    const sequence = this.#position;
    await this.#options.state.commit([{ kind: 'note-webhook', webhook: this.#name, sequence }]);
    this.#saved = sequence;
  }

  /** Too much waits, or it left state.db meanwhile: the rest is told, and not sent. */
  async #skipTooOld(): Promise<void> {
    const { state, clock, url } = this.#options;
    const { first, last } = await state.read('audit-extent');
    // A tenth more than needed, so that a full queue does not skip with every record.
    const isTooFar = last - this.#position > webhookBacklogMax;
    const kept = isTooFar ? last - Math.floor(webhookBacklogMax * 0.9) : 0;
    const oldest = Math.max(first - 1, kept);
    if (this.#position >= oldest) return;
    const detail = `records ${this.#position + 1} to ${oldest} were not sent to ${url.host}`;
    this.#options.log.error({ detail }, 'a webhook was away too long');
    await state.commit([
      {
        kind: 'audit',
        record: {
          time: new Date(clock.now()).toISOString(),
          event: 'webhook.skipped',
          outcome: 'failed',
          actor: 'system',
          rule: 'events.webhooks',
          detail,
        },
      },
      { kind: 'note-webhook', webhook: this.#name, sequence: oldest },
    ]);
    this.#position = oldest;
    this.#saved = oldest;
  }

  #waitAfter(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    const { url, log } = this.#options;
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#problem === undefined)
      log.warn({ host: url.host, detail: reason }, 'a webhook does not take events');
    this.#problem = reason;
    const waitMs = Math.min(webhookRetryMsMin * 2 ** Math.min(this.#failures, 20), webhookRetryMsMax);
    this.#failures += 1;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#wake();
    }, waitMs).unref();
  }
}
