import type { StoredSession } from '#main-agent/state/session-records.ts';
import { SallyportError } from '#shared/error.ts';
import type { AnySession } from './session.ts';
import type { Sessions } from './sessions.ts';

/** What a session takes along when it goes on under a new id. Rejects `no-session`. */
export function factsOf(
  sessions: Sessions,
  session: AnySession,
): Omit<StoredSession, 'key' | 'openedAtMs' | 'usedAtMs' | 'expiresAtMs'> {
  const stored = sessions.stored(session.key);
  if (stored === undefined) throw new SallyportError('no-session', 'You are signed out');
  const { key: _key, openedAtMs: _opened, usedAtMs: _used, expiresAtMs: _expires, ...facts } = stored;
  return facts;
}
