import { z } from 'zod';
import { count, path, protocol, seconds, time, type Shown } from './values.ts';

/** The account of whoever is signed in: what they may do, what of theirs is open, and changing what they prove it with. */

const grant = z.strictObject({
  path,
  allow: z.array(z.string()).describe('Verbs: list, read, write, overwrite, delete, rename, mkdir.'),
  bin_seconds: z
    .exactOptional(seconds)
    .describe('What is deleted or replaced there can be had back for so long; absent: it is gone.'),
});
/** The longest path above a place counts. */
export type Grant = Shown<typeof grant>;

export const account = z.strictObject({
  username: z.string(),
  display_name: z.string(),
  state: z.enum(['signed-in', 'setup-required']),
  two_factor: z.strictObject({
    enrolled: z.boolean(),
    required_on: z.array(protocol),
    registration: z.boolean(),
    may_set_up: z
      .boolean()
      .describe('Here and now: also to replace the present one, with a code from the administrator.'),
    recovery_codes_left: count,
    required_from: z.exactOptional(z.string()).describe('The day from which it is a duty.'),
  }),
  may: z.strictObject({ password: z.boolean(), ssh_keys: z.boolean() }),
  files: z.array(grant).describe('What may be done where; the longest path above a place counts.'),
  quota: z.strictObject({
    used_bytes: count,
    limit_bytes: z.exactOptional(count).describe('Absent: unlimited.'),
  }),
  session: z.strictObject({
    started_at: time,
    method: z.string().describe('What the sign-in was proven with, besides the password.'),
    idle_seconds: seconds.describe('Without use the session ends after so many seconds.'),
    expires_in: seconds.describe('Whatever happens, it ends then.'),
  }),
  notice: z.exactOptional(z.string()).describe('Something the administrator wants this person to know.'),
});
export type Account = Shown<typeof account>;

const agent = z.exactOptional(z.string()).describe('What the client called itself when it signed in.');

const ownSession = z.strictObject({
  id: z.string(),
  current: z.boolean(),
  node: z.string(),
  protocol,
  method: z.string(),
  client_ip: z.string(),
  started_at: time,
  agent,
});
export const ownSessions = z.strictObject({ sessions: z.array(ownSession) });
export type OwnSessions = Shown<typeof ownSessions>;

const ownLease = z.strictObject({
  id: z.string(),
  node: z.string(),
  protocol,
  client_ip: z.string(),
  agent: z.string(),
  started_at: time,
  used_at: time,
  expires_at: time,
});
/** Further SFTP connections go without a code while one lives. */
export const ownLeases = z.strictObject({ leases: z.array(ownLease) });
export type OwnLeases = Shown<typeof ownLeases>;

const ownDevice = z.strictObject({
  id: z.string(),
  node: z.string(),
  started_at: time,
  used_at: time,
  expires_at: time,
  agent,
});
/** Browsers that are remembered. */
export const ownDevices = z.strictObject({ devices: z.array(ownDevice) });
export type OwnDevices = Shown<typeof ownDevices>;

export const ownSshKey = z.strictObject({
  id: z.string(),
  type: z.string(),
  fingerprint: z.string(),
  comment: z.string(),
  removable: z.boolean().describe('False: given by the administrator, for example to a whole group.'),
  added_at: z.exactOptional(time),
  added_through: z.exactOptional(z.string()).describe('The node it was added through.'),
});
export type OwnSshKey = Shown<typeof ownSshKey>;

export const ownSshKeys = z.strictObject({ ssh_keys: z.array(ownSshKey) });
export type OwnSshKeys = Shown<typeof ownSshKeys>;

const password = z.string().max(1024);

export const passwordChange = z.strictObject({ current: password, new: password });
export type PasswordChange = Shown<typeof passwordChange>;

export const stepUp = z.strictObject({ current: password.describe('The password again.') });
export type StepUp = Shown<typeof stepUp>;

export const newSshKey = z.strictObject({
  key: z.string().max(8192).describe('A line as in `id_ed25519.pub`.'),
  current: password,
});
export type NewSshKey = Shown<typeof newSshKey>;

export const recoveryCodes = z.strictObject({ recovery_codes: z.array(z.string()) });
export type RecoveryCodes = Shown<typeof recoveryCodes>;
