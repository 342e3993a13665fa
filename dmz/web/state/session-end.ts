import { effect, signal } from '@preact/signals';
import { sessionEndCheckMs, sessionEndWarningMs } from '#dmz/web/limits.ts';
import type { Session } from '#dmz/web/state/session.ts';

export interface SessionEnd {
  readonly atMs: number;
  /** Staying is possible: it would end for want of use, not because its longest life is over. */
  readonly extendable: boolean;
}

/**
 * Warns before the session ends, in time to do something about it. It only counts what this browser did; the server
 * decides, and is asked when the time is up.
 */
export class SessionEndWatch {
  /** Set when it is near. */
  readonly warning = signal<SessionEnd | undefined>(undefined);
  readonly #session: Session;
  #idleMs = Number.POSITIVE_INFINITY;
  #endsAtMs = Number.POSITIVE_INFINITY;

  constructor(session: Session) {
    this.#session = session;
    effect(() => {
      const state = session.state.value;
      if (state.name !== 'signed-in') {
        this.#endsAtMs = this.#idleMs = Number.POSITIVE_INFINITY;
        this.warning.value = undefined;
        return;
      }
      const { idle_seconds: idle, expires_in: left } = state.account.session;
      this.#idleMs = idle * 1000;
      this.#endsAtMs = Date.now() + left * 1000;
      this.#look();
    });
    setInterval(() => this.#look(), sessionEndCheckMs);
  }

  async stay(): Promise<void> {
    await this.#session.refresh();
    this.#look();
  }

  #look(): void {
    const idleEndsAtMs = this.#session.usedAtMs + this.#idleMs;
    const extendable = idleEndsAtMs < this.#endsAtMs;
    const atMs = Math.min(idleEndsAtMs, this.#endsAtMs);
    const leftMs = atMs - Date.now();
    const isNear = leftMs <= sessionEndWarningMs;
    if (!isNear) this.warning.value = undefined;
    else if (this.warning.peek()?.atMs !== atMs) this.warning.value = { atMs, extendable };
    if (leftMs <= 0) void this.#session.refresh();
  }
}
