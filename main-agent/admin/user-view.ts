import type { EffectiveUser, LoginHours } from '#main-agent/users/effective-user.ts';
import { schemeUnder } from '#main-agent/users/hash-book.ts';
import type { Secret } from '#shared/secret.ts';
import type { z } from 'zod';
import type { Given } from './http/route.ts';
import type { userAnswer, userRow } from './user-answers.ts';

/** An effective user as JSON, keys as in the user files. Never the password's hash (S-11). */

type UserAnswer = z.output<typeof userAnswer>;

export function viewUser(user: EffectiveUser): Given<UserAnswer> {
  return {
    username: user.username,
    display_name: user.displayName,
    status: user.status,
    admin_role: user.adminRole,
    administers: user.administers?.length === 0 ? undefined : user.administers,
    groups: user.groups,
    email: user.email,
    phone: user.phone,
    password: viewPassword(user.passwordHash),
    ssh_keys: user.sshKeys.map(({ type, fingerprint, comment }) => ({ type, fingerprint, comment })),
    protocols: user.protocols,
    two_factor: {
      required_on: user.twoFactor.requiredOn,
      registration: user.twoFactor.registration,
      force_setup: user.twoFactor.forceSetup,
      required_from: viewRequiredFrom(user.twoFactor.requiredFrom),
      delivered_ttl_ms: user.twoFactor.deliveredTtlMs,
      sftp_password_with_code: user.twoFactor.sftpPasswordWithCode,
    },
    expires: user.expires,
    allow_from: user.allowFrom,
    hours: viewHours(user.hours),
    files: user.mounts.map((mount) => ({
      path: `/${mount.path.join('/')}`,
      storage: mount.storage,
      root: mount.root.join('/'),
      allow: [...mount.allow],
      uploads: mount.uploads,
    })),
    quota_bytes: user.quotaBytes,
    limits: {
      sessions: user.limits.sessions,
      upload_bytes_per_second: user.limits.uploadBytesPerSecond,
      download_bytes_per_second: user.limits.downloadBytesPerSecond,
    },
  };
}

/** The row of a list. */
export function viewUserRow(user: EffectiveUser): Given<z.output<typeof userRow>> {
  return {
    username: user.username,
    display_name: user.displayName,
    status: user.status,
    groups: user.groups,
    protocols: user.protocols,
    required_on: user.twoFactor.requiredOn,
  };
}

function viewPassword(hash: Secret | undefined): UserAnswer['password'] {
  if (hash === undefined) return 'none';
  return schemeUnder(hash.expose()) === undefined ? 'set' : 'imported';
}

function viewRequiredFrom(
  value: EffectiveUser['twoFactor']['requiredFrom'],
): UserAnswer['two_factor']['required_from'] {
  if (value === undefined) return undefined;
  return 'date' in value ? value.date : { grace_ms: value.graceMs };
}

function viewHours(hours: LoginHours | undefined): Given<UserAnswer['hours']> {
  if (hours === undefined) return undefined;
  const { days, fromMinute, toMinute, zone } = hours;
  return { days, from: clockTime(fromMinute), to: clockTime(toMinute), zone };
}

/** `07:30` */
function clockTime(minute: number): string {
  const [hours, minutes] = [Math.floor(minute / 60), minute % 60].map((part) =>
    String(part).padStart(2, '0'),
  );
  return `${hours}:${minutes}`;
}
