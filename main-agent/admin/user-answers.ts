import { protocols } from '#shared/login.ts';
import { adminRoles } from '#main-agent/administrator.ts';
import { z } from 'zod';
import { names, next, time } from './values.ts';

/** What `/v1/users`, `/v1/groups`, `/v1/two-factor` and `/v1/test-delivery` answer. No answer has a password's hash. */

const text = z.string().optional();
const onProtocols = z.array(z.enum(protocols));
const state = z.enum(['active', 'disabled']);

export const userAnswer = z.object({
  username: z.string(),
  display_name: z.string(),
  status: state,
  admin_role: z.enum(adminRoles).optional(),
  /** Of a group administrator, whose users are theirs. */
  administers: names.optional(),
  groups: names,
  email: text,
  phone: text,
  /** `imported`: still over another system's hash, so its user has not signed in with it yet. */
  password: z.enum(['set', 'imported', 'none']),
  ssh_keys: z.array(z.object({ type: z.string(), fingerprint: z.string(), comment: z.string() })),
  protocols: onProtocols,
  two_factor: z.object({
    required_on: onProtocols,
    registration: z.boolean(),
    force_setup: z.boolean(),
    /** A date, or a time from the first login. */
    required_from: z.union([z.string(), z.object({ grace_ms: z.number() })]).optional(),
    delivered_ttl_ms: z.number().optional(),
    sftp_password_with_code: z.boolean(),
  }),
  expires: text,
  allow_from: names.optional(),
  hours: z
    .object({
      /** 1 = Monday … 7 = Sunday. */
      days: z.array(z.number()),
      /** `07:30`, in `zone`. */
      from: z.string(),
      to: z.string(),
      zone: z.string(),
    })
    .optional(),
  files: z.array(
    z.object({
      path: z.string(),
      storage: z.string(),
      root: z.string(),
      allow: names,
      uploads: z.enum(['atomic', 'direct']),
    }),
  ),
  quota_bytes: z.number().optional(),
  limits: z.object({
    sessions: z.number().optional(),
    upload_bytes_per_second: z.number().optional(),
    download_bytes_per_second: z.number().optional(),
  }),
});
export const userRow = z.object({
  username: z.string(),
  display_name: z.string(),
  status: state,
  groups: names,
  protocols: onProtocols,
  required_on: onProtocols,
});
export const usersPage = z.object({ users: z.array(userRow), next });

/** In the order they were sent. */
export const usersImported = z.object({
  dry_run: z.boolean(),
  results: z.array(z.object({ user: z.string(), outcome: z.enum(['added', 'refused']), problem: text })),
});

export const originsAnswer = z.object({
  username: z.string(),
  values: z.array(
    z.object({ key: z.string(), value: z.unknown().optional(), file: z.string(), line: z.number() }),
  ),
});

const groupRow = z.object({
  name: z.string(),
  /** The groups it lists itself. */
  groups: names,
  users: z.number(),
  broken: z.boolean(),
});
export const groupsPage = z.object({ groups: z.array(groupRow), next });
export const groupAnswer = z.object({
  name: z.string(),
  /** Keys as they stand in the file. */
  fields: z.record(z.string(), z.unknown()),
  users: names,
});

export const storePlan = z.object({
  etag: z.string(),
  files: z.array(
    z.object({
      file: z.string(),
      action: z.enum(['add', 'change', 'remove']),
      keys: z.array(z.object({ key: z.string(), old: z.unknown().optional(), new: z.unknown().optional() })),
    }),
  ),
  unchanged: z.number(),
});

export const twoFactorAnswer = z.object({
  username: z.string(),
  state: z.enum(['none', 'enrolled', 'broken']),
  problem: text,
  confirmed_at: time.optional(),
  via: z.object({ node: z.string(), session: z.string() }).optional(),
  required_on: onProtocols,
  required_from: time.optional(),
  recovery_codes_left: z.number(),
  failures: z.number(),
  locked_until: time.optional(),
  bypass_code_until: time.optional(),
  locked_out_on: onProtocols,
  locked_out_then_on: onProtocols.optional(),
  setup_due_on: onProtocols,
});
/** In the order they were sent. */
export const importAnswer = z.object({
  dry_run: z.boolean(),
  results: z.array(
    z.object({ user: text, outcome: z.enum(['imported', 'replaced', 'refused']), problem: text }),
  ),
});
export const passwordLinkAnswer = z.object({ sent_to: z.string(), expires_at: time });
export const bypassAnswer = z.object({ code: z.string(), expires_at: time });
export const rollOutRow = twoFactorAnswer.extend({
  protection: z.enum([
    'disabled',
    'locked out',
    'set-up due',
    'not required',
    'protected',
    'partly protected',
  ]),
});
export const rollOutPage = z.object({ users: z.array(rollOutRow), warnings: names, next });

export const deliveryResults = z.object({
  user: z.string(),
  results: z.array(
    z.object({
      transport: z.enum(['email', 'sms']),
      address: z.string(),
      accepted: z.boolean(),
      took_ms: z.number(),
      problem: text,
    }),
  ),
});

/** Whose user is gone, and maybe back undecided. */
const orphanRow = z.object({ user: z.string(), gone_at: time, returned_at: time.optional() });
export const orphansAnswer = z.object({ orphans: z.array(orphanRow) });
/** `not_waiting`: nobody has the name, or it is decided already. */
export const keptAnswer = z.object({ kept: names, not_waiting: names });

export const hashKeyAnswer = z.strictObject({ key: z.string() });

export const userRenamed = z.strictObject({
  username: z.string(),
  /** Folders that were called after the user, below the base of their storage. */
  moved: z.array(z.strictObject({ storage: z.string(), from: z.string(), to: z.string() })),
  /** Of the admin API. */
  tokens_ended: z.number().int(),
});
