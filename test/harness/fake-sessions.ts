/** Sessions without a login, for tests that only need somebody to be signed in. */
import type { AnySession, SessionRegistry } from '#main-agent/sessions/session.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import type { Protocol } from '#shared/login.ts';

export interface FakeSessions extends SessionRegistry {
  /** Opens one and returns its id. */
  open(facts: {
    readonly username: string;
    readonly state?: AnySession['state'];
    readonly node?: string;
    readonly worker?: number;
    readonly protocol?: Protocol;
    readonly user?: () => EffectiveUser;
  }): string;
}

export function buildFakeSessions(): FakeSessions {
  const live = new Map<string, { readonly session: AnySession; readonly ended: AbortController }>();
  return {
    open: (facts) => {
      const id = randomId();
      const ended = new AbortController();
      const session: AnySession = {
        key: sessionKey(id),
        username: facts.username,
        node: facts.node ?? 'dmz1',
        worker: facts.worker ?? 0,
        protocol: facts.protocol ?? 'sftp',
        method: 'totp',
        clientIp: '192.0.2.1',
        openedAtMs: 0,
        ended: ended.signal,
        state: facts.state ?? 'signed-in',
        user:
          facts.user ??
          (() => {
            throw new Error('this test gave its session no user');
          }),
      };
      live.set(session.key, { session, ended });
      return id;
    },
    require: (sessionId, from) => {
      const found = live.get(sessionKey(sessionId));
      const isForeign =
        found !== undefined &&
        (found.session.node !== from.node ||
          (found.session.protocol === 'sftp' && found.session.worker !== from.worker));
      if (found === undefined || isForeign) throw new SallyportError('no-session', 'No such session');
      return found.session;
    },
    list: () => [...live.values()].map(({ session }) => session),
    end: async (key, reason) => {
      const found = live.get(key);
      live.delete(key);
      found?.ended.abort(reason);
      return found !== undefined;
    },
    endAllOf: async (username, reason) => {
      let count = 0;
      for (const [key, { session, ended }] of live) {
        if (session.username !== username) continue;
        live.delete(key);
        ended.abort(reason);
        count += 1;
      }
      return count;
    },
  };
}
