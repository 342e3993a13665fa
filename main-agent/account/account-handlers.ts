import { endDevice } from '#main-agent/sessions/devices.ts';
import type { AccountHandlers } from '#main-agent/link/handlers.ts';
import type { StoredDevice } from '#main-agent/state/session-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';
import type { AccountChanges } from './account-changes.ts';
import { publicId, viewOwnDevice, viewOwnKey, viewOwnLease, viewOwnSession } from './own-views.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import { type AuditEvent, buildRecord } from '#main-agent/state/audit-record.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { OwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { Clock } from '#shared/clock.ts';

interface Parts {
  readonly state: StateStore;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly credentials: OwnCredentials;
  readonly clock: Clock;
}

/** A user's own account over the link: what is open, ending it, and changes that need a step-up. */
export function buildAccountHandlers(parts: Parts, changes: AccountChanges): AccountHandlers {
  const { clock, credentials, leases, sessions, state } = parts;

  const devicesOf = async ({ username }: FullSession): Promise<readonly StoredDevice[]> =>
    (await state.read('devices', { user: username })).filter((one) => one.expiresAtMs > clock.now());
  const leasesOf = ({ username }: FullSession) => leases.list().filter((one) => one.username === username);

  function audit(event: AuditEvent, session: FullSession): Change {
    const { username: user, node, protocol, clientIp, key } = session;
    const facts = { user, node, protocol, clientIp, sessionKey: key, detail: 'by the user' };
    return { kind: 'audit', record: buildRecord(parts, event, 'ok', facts) };
  }

  /** False: there is none of that name. */
  async function end(what: 'session' | 'lease' | 'device', id: string, by: FullSession): Promise<boolean> {
    switch (what) {
      case 'session': {
        const own = sessions.list().some((one) => one.key === id && one.username === by.username);
        return own && sessions.end(id, 'ended by the user');
      }
      case 'lease': {
        const lease = leasesOf(by).find((one) => publicId(one.id) === id);
        return lease !== undefined && leases.end(lease.id, [audit('lease.ended', by)]);
      }
      case 'device': {
        const device = (await devicesOf(by)).find((one) => publicId(one.id) === id);
        if (device === undefined) return false;
        await state.commit([endDevice(device.id), audit('device.ended', by)]);
        return true;
      }
    }
  }

  return {
    'account.sessions': async (_params, session) => ({
      sessions: sessions
        .list()
        .filter(({ username }) => username === session.username)
        .map((one) => viewOwnSession(one, session))
        .slice(0, listedMax),
    }),

    'account.leases': async (_params, session) => ({
      leases: leasesOf(session).slice(0, listedMax).map(viewOwnLease),
    }),

    'account.devices': async (_params, session) => ({
      devices: (await devicesOf(session)).map(viewOwnDevice),
    }),

    'account.ssh-keys': async (_params, session) => {
      const [own, additions] = await Promise.all([
        credentials.ownKeys(session.username),
        state.read('ssh-key-additions', { user: session.username }),
      ]);
      const added = new Map(additions.map(({ subject, atMs, node }) => [subject, { atMs, node }]));
      return {
        sshKeys: session
          .user()
          .sshKeys.map((key) => viewOwnKey(key, own.has(key.fingerprint), added.get(key.fingerprint)))
          .slice(0, 64),
      };
    },

    'account.end': async ({ what, id }, session) => {
      if (await end(what, id, session)) return {};
      throw new SallyportError('not-found', 'There is no such thing of yours');
    },

    'account.step-up': ({ purpose }, session) => changes.open(session, purpose),
    'account.change': (params, session, link, asker) => changes.change(params, session, link, asker),
  };
}

/** As many as one answer over the link holds, whatever their clients called themselves. */
const listedMax = 500;
