import type { EffectiveUser } from '#main-agent/users/effective-user.ts';

/** An effective user as JSON, keys as in the user files. Never the password's hash (S-11). */

export function viewUser(user: EffectiveUser): object {
  return {
    username: user.username,
    display_name: user.displayName,
    status: user.status,
    admin_role: user.adminRole,
    groups: user.groups,
    email: user.email,
    phone: user.phone,
    password: user.passwordHash === undefined ? 'none' : 'set',
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
    hours: user.hours,
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
export function viewUserRow(user: EffectiveUser): object {
  return {
    username: user.username,
    display_name: user.displayName,
    status: user.status,
    groups: user.groups,
    protocols: user.protocols,
    required_on: user.twoFactor.requiredOn,
  };
}

function viewRequiredFrom(value: EffectiveUser['twoFactor']['requiredFrom']): object | string | undefined {
  if (value === undefined) return undefined;
  return 'date' in value ? value.date : { grace_ms: value.graceMs };
}
