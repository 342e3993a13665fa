import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { Serial } from '#main-agent/turns.ts';
import { inParts } from '#main-agent/state/in-parts.ts';
import type { StoredSession } from '#main-agent/state/session-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';

/** Ends of sessions on their way to the disk. What it does not take now stays here and is tried again. */
export class SessionEnds {
  readonly #state: StateStore;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, AuditRecord>();
  /** One write at a time: what one is committing still waits, and another would write it down a second time. */
  readonly #turns = new Serial();

  constructor(dependencies: { readonly state: StateStore; readonly clock: Clock }) {
    this.#state = dependencies.state;
    this.#clock = dependencies.clock;
  }

  add(stored: StoredSession, reason: string): void {
    const { key, username, node, protocol, clientIp } = stored;
    this.#waiting.set(key, {
      time: new Date(this.#clock.now()).toISOString(),
      event: 'session.ended',
      outcome: 'ok',
      user: username,
      node,
      protocol,
      clientIp,
      sessionKey: key,
      rule: reason,
    });
  }

  /** Everything that waits is durable when it resolves. */
  write(): Promise<void> {
    return this.#turns.run(() => this.#writeWaiting());
  }

  async #writeWaiting(): Promise<void> {
    const changes = [...this.#waiting].flatMap(([key, record]): Change[] => [
      { kind: 'end-session', key },
      { kind: 'audit', record },
    ]);
    for (const part of inParts(changes)) {
      await this.#state.commit(part);
      for (const change of part) if (change.kind === 'end-session') this.#waiting.delete(change.key);
    }
  }
}
