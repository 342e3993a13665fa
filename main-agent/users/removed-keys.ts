import type { UserSource } from './user-source.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { forgetKeysIntervalMs, removedKeysKeptMs } from '#main-agent/state/limits.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';

/**
 * Used signatures are remembered as long as their key is stored with a user, and a while longer: a key that comes back
 * from a backup must not make them good again. After that nothing can be signed in with them.
 */
export function startForgettingRemovedKeys(options: {
  readonly state: Pick<StateStore, 'commit'>;
  readonly users: Pick<UserSource, 'list'>;
  readonly clock: Clock;
  readonly log: Log;
}): { close(): void } {
  const { state, users, clock, log } = options;
  const forget = (): void => {
    const nowMs = clock.now();
    const stored = [...users.list()].flatMap((user) => user.sshKeys.map((key) => key.fingerprint));
    state
      .commit([{ kind: 'forget-removed-keys', stored, nowMs, removedBeforeMs: nowMs - removedKeysKeptMs }])
      .catch((error: unknown) => log.error({ err: error }, 'signatures of removed keys not forgotten'));
  };
  forget();
  const timer = setInterval(forget, forgetKeysIntervalMs).unref();
  return { close: () => clearInterval(timer) };
}
