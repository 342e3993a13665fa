import { requirementStartMs } from '#main-agent/sessions/account-rules.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { reminderIntervalMs, reminderLookAgainMs, reminderLooksPerSweep, reminderSweepMs } from './limits.ts';

interface Parts {
  readonly users: UserSource;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Mails that remind users of a requirement that begins later (`required_from`), until they have set up an authenticator
 * (D-29): one a week at most, which state.db remembers, and a few at a time, so that a roll-out to thousands does not
 * flood the relay.
 */
export class Reminders {
  readonly #parts: Parts;
  /** When a user need not be looked at before; as many as there are users. */
  readonly #nextLookMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #isSweeping = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => {
      // A slow disk must not make sweeps overlap.
      if (this.#isSweeping) return;
      this.#isSweeping = true;
      this.sweep()
        .catch((error: unknown) => this.#parts.log.error({ err: error }, 'reminders not sent'))
        .finally(() => (this.#isSweeping = false));
    }, reminderSweepMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Looks at the next few who may be due. */
  async sweep(): Promise<void> {
    const { clock, users } = this.#parts;
    const nowMs = clock.now();
    const all = [...users.list()];
    const names = new Set(all.map(({ username }) => username));
    for (const name of this.#nextLookMs.keys()) if (!names.has(name)) this.#nextLookMs.delete(name);
    const due = all
      .filter(
        ({ status, twoFactor, email }) =>
          status === 'active' &&
          email !== undefined &&
          twoFactor.requiredFrom !== undefined &&
          twoFactor.requiredOn.length > 0 &&
          (twoFactor.registration || twoFactor.forceSetup),
      )
      .filter(({ username }) => (this.#nextLookMs.get(username) ?? 0) <= nowMs)
      .slice(0, reminderLooksPerSweep);
    for (const { username } of due) {
      this.#nextLookMs.set(username, nowMs + reminderLookAgainMs);
      await this.#remind(username);
    }
  }

  async #remind(username: string): Promise<void> {
    const { clock, state, users, vault } = this.#parts;
    const nowMs = clock.now();
    const user = users.find(username);
    if (user === undefined) return;
    const { firstLoginAtMs, ...status } = await vault.status(username);
    const { requiredFrom } = user.twoFactor;
    // A grace period begins with the first login; before it there is no day to tell.
    if (requiredFrom !== undefined && 'graceMs' in requiredFrom && firstLoginAtMs === undefined) return;
    const fromMs = requirementStartMs(requiredFrom, { nowMs, firstLoginAtMs });
    if (status.state !== 'none' || fromMs === undefined || fromMs <= nowMs) return;
    const result = await state.commit([
      { kind: 'note-reminder', user: username, atMs: nowMs, intervalMs: reminderIntervalMs },
      {
        kind: 'audit',
        record: buildRecord(this.#parts, 'two-factor.reminded', 'ok', {
          user: username,
          detail: `required from ${new Date(fromMs).toISOString()}`,
        }),
      },
    ]);
    if (result.ok) notifyUser(this.#parts, user, 'two-factor-due', { requiredFromMs: fromMs });
  }
}
