import { sessionKey } from '#shared/random-id.ts';
import type { EvilDmz, EvilNode } from '#test/harness/evil-dmz.ts';
import { waitUntil } from '#test/harness/product.ts';
import { send, signIn } from './login-tries.ts';
import { GotThrough, requireOneOf, requireRefusal, summarize, type Try } from './try.ts';

/**
 * Tries to go on after an administrator has ended something. Each asks as soon as the administrator's command is
 * answered, not later: then it must be over.
 */

const closedMs = 20_000;
const why = 'drill';

const list = (node: EvilNode, session: string): Promise<unknown> =>
  node.request('fs.list', { session, path: [], limit: 10, sort: 'name' });

async function liveSession(evil: EvilDmz, user: string): Promise<string> {
  const session = await signIn(evil, user);
  await list(evil, session);
  return session;
}

export const adminTries: readonly Try[] = [
  {
    id: 'after-a-kick',
    attack: 'goes on with a session that an administrator ended',
    wall: 'S-14-ended',
    run: async (evil) => {
      const session = await liveSession(evil, evil.person());
      await evil.admin('DELETE', `/v1/sessions/${sessionKey(session)}?reason=${why}`);
      return requireRefusal('the next request', list(evil, session), 'no-session');
    },
  },
  {
    id: 'after-a-disabling',
    attack: 'goes on with, or signs in as, a user who was disabled',
    wall: 'S-14-account',
    run: async (evil) => {
      const user = evil.person();
      const session = await liveSession(evil, user);
      const challenge = await evil.begin(user);
      await evil.admin('PATCH', `/v1/users/${user}`, { set: { status: 'disabled' } });
      const code = await evil.authenticator(user).next();
      const params = await evil.assert(challenge, { code });
      return summarize([
        await requireRefusal('the next request', list(evil, session), 'no-session'),
        requireOneOf('a login half way', await send(evil, params), ['refused', 'challenge-gone']),
        await requireRefusal('a new login', evil.begin(user), 'refused'),
      ]);
    },
  },
  {
    id: 'after-a-new-password',
    attack: 'goes on with the session, or the half login, of a password that was replaced',
    wall: 'S-14-account',
    run: async (evil) => {
      const user = evil.person();
      const session = await liveSession(evil, user);
      const challenge = await evil.begin(user);
      await evil.admin('PUT', `/v1/users/${user}/password`, { password: 'a password of another kind' });
      const code = await evil.authenticator(user).next();
      const params = await evil.assert(challenge, { code });
      return summarize([
        await requireRefusal('the next request', list(evil, session), 'no-session'),
        requireOneOf('a login half way', await send(evil, params), ['refused', 'challenge-gone']),
        await requireRefusal('the old password', evil.begin(user), 'refused'),
      ]);
    },
  },
  {
    id: 'after-a-revocation',
    attack: 'goes on as a node that was revoked: its links, its sessions, its key at another node',
    wall: 'S-14-revoked',
    run: async (evil) => {
      const link = await evil.freshLink();
      const user = evil.person();
      const session = await signIn(evil, user, {}, link);
      await list(link, session);
      await evil.admin('POST', '/v1/nodes/dmz2/revoke', { reason: why });
      const asked = await list(link, session).then(
        () => 'answered',
        () => 'unanswered',
      );
      if (asked === 'answered') throw new GotThrough('its session is served');
      const begun = await evil.begin(user, {}, link).then(
        () => 'answered',
        () => 'unanswered',
      );
      if (begun === 'answered') throw new GotThrough('main still talks to it');
      await waitUntil(() => link.played.isClosed, closedMs);
      const challenge = await evil.begin(user);
      const code = await evil.authenticator(user).next();
      const params = await evil.assert(challenge, { code, signingKey: link.signingKey });
      return summarize([
        'link closed',
        requireOneOf('its key at dmz1', await send(evil, params), ['refused']),
        await requireRefusal('its session at dmz1', list(evil, session), 'no-session'),
      ]);
    },
  },
];
