import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { StoredRestore } from '#main-agent/state/kept-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { SignedHead } from './starts.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { randomReference } from '#shared/random-id.ts';
import type { AdminReason } from '#main-agent/administrator.ts';

/**
 * That state.db or the audit files were put back: an alarm that no passing of time ends, only a person with a reason.
 * The audit says it for ever.
 */
export class Restores {
  readonly #state: Pick<StateStore, 'commit' | 'read'>;
  readonly #clock: Clock;
  #all: readonly StoredRestore[] = [];

  constructor(state: Pick<StateStore, 'commit' | 'read'>, clock: Clock) {
    this.#state = state;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    this.#all = await this.#state.read('kept-restore');
  }

  list(): readonly StoredRestore[] {
    return this.#all;
  }

  /** What a node said while main ran: main does not start again before it is accepted. */
  suspected(): StoredRestore | undefined {
    return this.#all.find(({ what, accepted }) => what === 'state' && accepted === undefined);
  }

  /** Durable when it resolves; a second one changes nothing. */
  async suspect(detail: string, { sequence, start }: Pick<SignedHead, 'sequence' | 'start'>): Promise<void> {
    if (this.suspected() !== undefined) return;
    const restore = { ...this.#make('state', detail, sequence), knownStart: start };
    await this.#keep(restore, this.#record('state.contradicted', 'refused', restore));
  }

  async noticeOldAudit(detail: string, known: number): Promise<void> {
    const restore = this.#make('audit', detail, known);
    await this.#keep(restore, this.#record('audit.restored', 'failed', restore));
  }

  /**
   * Before the first step of an acceptance: whatever a crash cuts off, main asks again. Without an audit record, whose
   * number would be one that the files know.
   */
  async expect(detail: string, known: number): Promise<void> {
    if (this.suspected() !== undefined) return;
    const record = this.#make('state', detail, known);
    await this.#state.commit([{ kind: 'keep-record', list: 'restore', record }]);
    this.#all = [...this.#all, record];
  }

  /** The changes that make an acceptance known, for the commit that ends it. */
  accept(detail: string, known: number, reason: string): readonly Change[] {
    const restore: StoredRestore = {
      ...(this.suspected() ?? this.#make('state', detail, known)),
      detail,
      accepted: { atMs: this.#clock.now(), reason },
    };
    return [
      { kind: 'keep-record', list: 'restore', record: restore },
      {
        kind: 'audit',
        record: {
          ...this.#record('state.restored', 'ok', restore),
          rule: reason,
        },
      },
    ];
  }

  /** Rejects `conflict`: nothing waits for it. */
  async acknowledge({ actor, reason }: AdminReason): Promise<void> {
    const waiting = this.#all.filter(({ acknowledged }) => acknowledged === undefined);
    if (waiting.length === 0)
      throw new SallyportError('conflict', 'Nothing was put back that waits for an acknowledgement');
    for (const restore of waiting) {
      const acknowledged = { ...restore, acknowledged: { atMs: this.#clock.now(), by: actor, reason } };
      const record = { ...this.#record(`${restore.what}.restore-acknowledged`, 'ok', restore), actor };
      await this.#keep(acknowledged, { ...record, rule: reason });
    }
  }

  problems(): readonly string[] {
    return this.#all
      .filter(({ acknowledged }) => acknowledged === undefined)
      .map(({ what, detail, noticedAtMs }) => {
        const name = what === 'state' ? 'state.db' : 'the audit';
        return `${name} was put back, noticed ${new Date(noticedAtMs).toISOString()}: ${detail}: \`sallyport audit acknowledge --reason "…"\` when you know why`;
      });
  }

  async #keep(restore: StoredRestore, record: AuditRecord): Promise<void> {
    await this.#state.commit([
      { kind: 'keep-record', list: 'restore', record: restore },
      { kind: 'audit', record },
    ]);
    this.#all = [...this.#all.filter(({ id }) => id !== restore.id), restore];
  }

  #make(what: StoredRestore['what'], detail: string, known: number): StoredRestore {
    return { id: randomReference(), what, noticedAtMs: this.#clock.now(), detail, known };
  }

  #record(event: string, outcome: AuditRecord['outcome'], { id, detail }: StoredRestore): AuditRecord {
    const time = new Date(this.#clock.now()).toISOString();
    return { time, event, outcome, actor: 'system', reference: id, detail };
  }
}
