import type { StoredDevice, StoredLease } from '#main-agent/state/session-records.ts';
import type { OwnSshKey, Result } from '#shared/link/messages.ts';
import { sessionKey } from '#shared/random-id.ts';
import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import { sshKeyId } from './self-service.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';

/** A user's own sessions, leases, devices and keys as the user may see them: named by hashes, nothing that opens a door. */

type OwnSession = Result<'account.sessions'>['sessions'][number];
type OwnLease = Result<'account.leases'>['leases'][number];
type OwnDevice = Result<'account.devices'>['devices'][number];

/** The ids of leases and devices are half of what opens them. */
export const publicId = sessionKey;

export function viewOwnSession(session: AnySession, current: AnySession): OwnSession {
  const { key, node, protocol, method, clientIp, agent, openedAtMs } = session;
  return {
    id: key,
    current: key === current.key,
    node,
    protocol,
    method,
    clientIp,
    startedAtMs: openedAtMs,
    ...(agent === undefined ? {} : { agent }),
  };
}

export function viewOwnLease(lease: StoredLease): OwnLease {
  const { id, node, protocol, clientIp, agent, openedAtMs, usedAtMs, ttlMs, expiresAtMs } = lease;
  return {
    id: publicId(id),
    node,
    protocol,
    clientIp,
    agent,
    startedAtMs: openedAtMs,
    usedAtMs,
    expiresAtMs: Math.min(expiresAtMs, usedAtMs + ttlMs),
  };
}

export function viewOwnDevice(device: StoredDevice): OwnDevice {
  const { id, node, agent, openedAtMs, rotatedAtMs, expiresAtMs } = device;
  return {
    id: publicId(id),
    node,
    startedAtMs: openedAtMs,
    usedAtMs: rotatedAtMs,
    expiresAtMs,
    ...(agent === undefined ? {} : { agent }),
  };
}

export function viewOwnKey(
  key: SshPublicKey,
  removable: boolean,
  added: OwnSshKey['added'] | undefined,
): OwnSshKey {
  const { type, fingerprint, comment } = key;
  return {
    id: sshKeyId(key),
    type,
    fingerprint,
    comment,
    removable,
    ...(added === undefined ? {} : { added }),
  };
}
