import { type AuditEvent, type AuditRecord, buildRecord } from '#main-agent/state/audit-record.ts';
import type { StoredRestore } from '#main-agent/state/kept-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { SignedHead } from './starts.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { reasonCharactersMax, unknownRecordsMax } from './limits.ts';
import { randomReference } from '#shared/random-id.ts';
import type { AdminReason } from '#main-agent/administrator.ts';

/**
 * Marks a state that came from a backup, before any main runs on it: the next start accepts it by this reason, and the
 * alarm waits for a person. `known`: of the newest record that main may have written since; where the audit files do not
 * reach it, all that could have been spent is void.
 */
export async function markRestored(
  state: Pick<StateStore, 'commit' | 'read'>,
  clock: Clock,
  { why, detail, known }: { readonly why: AdminReason; readonly detail: string; readonly known: number },
): Promise<void> {
  const reason = requireReason(why.reason, '--reason');
  // One that waited already when the backup was made is accepted with it; what was moved is where it was moved to.
  const { isMoved: _, ...waiting } = findSuspected(await state.read('kept-restore')) ?? makeRestore(clock);
  const record: StoredRestore = {
    ...waiting,
    noticedAtMs: clock.now(),
    detail,
    known: Math.max(known, waiting.known),
    restoredBy: { actor: why.actor, reason },
  };
  await state.commit([{ kind: 'keep-record', list: 'restore', record }]);
}

/**
 * Marks a state that goes to another box, so that two mains never have one identity: main does not start on it any more
 * but as on one that was put back, for which it is by then. Resolves with what takes the mark off.
 */
export async function markMoved(
  state: Pick<StateStore, 'commit' | 'read'>,
  clock: Clock,
  detail: string,
): Promise<() => Promise<void>> {
  const before = findSuspected(await state.read('kept-restore'));
  const { last } = await state.read('audit-extent');
  const record: StoredRestore = {
    ...(before ?? makeRestore(clock)),
    detail,
    known: last + unknownRecordsMax,
    isMoved: true,
  };
  await state.commit([{ kind: 'keep-record', list: 'restore', record }]);
  return async () => {
    await state.commit([
      before === undefined
        ? { kind: 'drop-record', list: 'restore', id: record.id }
        : { kind: 'keep-record', list: 'restore', record: before },
    ]);
  };
}

function makeRestore(clock: Clock): StoredRestore {
  return { id: randomReference(), what: 'state', noticedAtMs: clock.now(), detail: '', known: 0 };
}

function findSuspected(all: readonly StoredRestore[]): StoredRestore | undefined {
  return all.find(({ what, accepted }) => what === 'state' && accepted === undefined);
}

/** Throws `config`. */
export function requireReason(text: string, option: string): string {
  const reason = text.trim();
  if (reason !== '' && reason.length <= reasonCharactersMax) return reason;
  throw new SallyportError('config', `${option} takes a reason`, {
    detail: `of 1 to ${reasonCharactersMax} characters`,
  });
}

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
    return findSuspected(this.#all);
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
          ...(restore.restoredBy !== undefined && { actor: restore.restoredBy.actor }),
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

  #record(event: AuditEvent, outcome: AuditRecord['outcome'], { id, detail }: StoredRestore): AuditRecord {
    const facts = { actor: 'system', reference: id, detail };
    return buildRecord({ clock: this.#clock }, event, outcome, facts);
  }
}
