import { nodeChange } from '#main-agent/help-desk/node-change-view.ts';
import { examinationSchema } from '#shared/health/report.ts';
import { protocols } from '#shared/login.ts';
import { z } from 'zod';
import { names, next, time } from './values.ts';

/**
 * What answers look like, for `/openapi.json` and for the CLI, which reads them with these very schemas; those about
 * users, groups and second factors are in `user-answers.ts`, the audit's in `audit-answers.ts`.
 */

export const tokenRow = z.object({
  id: z.string(),
  owner: z.string(),
  kind: z.enum(['user', 'service']),
  role: z.string(),
  /** What it may do now: not more than its person. */
  effective_role: z.string(),
  groups: names.optional(),
  note: z.string(),
  created_by: z.string(),
  created_at: time,
  expires_at: time,
  used_at: time.optional(),
});
export const tokensPage = z.object({ tokens: z.array(tokenRow), next });
export const madeToken = z.object({ token: z.string(), id: z.string(), expires_at: time });

export const certificateAnswer = z.object({
  /** Directory of the authority. */
  authority: z.string(),
  /** As configured. */
  names,
  /** Missing: there is none yet. */
  present: z
    .object({
      names: z.string(),
      issuer: z.string(),
      serial: z.string(),
      sha256: z.string(),
      from: time,
      until: time,
    })
    .optional(),
  renewed_from: time.optional(),
  /** Of the last order; the certificate before it stays. */
  failure: z.object({ why: z.string(), next_try: time }).optional(),
});

export const nodeHostKeys = z.object({
  node: z.string(),
  /** Where they are; of local ones main knows nothing. */
  host_key: z.enum(['main', 'local']),
  keys: z.array(
    z.object({
      type: z.string(),
      /** As `ssh-keygen -l` prints it. */
      fingerprint: z.string(),
      /** As in a `.pub` file. */
      line: z.string(),
      standing: z.enum(['signs', 'next', 'retired']),
      since: time,
      /** When a retired one goes. */
      until: time.optional(),
      /** Whose it is; of several nodes where they share. */
      nodes: names,
    }),
  ),
});
export const hostKeysAnswer = z.object({ nodes: z.array(nodeHostKeys) });
/** Private keys, each as a file. */
export const privateHostKeys = z.object({ files: z.array(z.string()) });

export const banRow = z.object({
  id: z.string(),
  made_by: z.enum(['admin', 'edge']),
  address: z.string().optional(),
  user: z.string().optional(),
  node: z.string().optional(),
  reason: z.string(),
  created_by: z.string(),
  created_at: time,
  until: time,
});
export const bansPage = z.object({ bans: z.array(banRow), next });
export const lifted = z.object({ lifted: z.number() });

const link = z.object({
  worker: z.number(),
  up: z.boolean(),
  since: time.optional(),
  epoch: z.number(),
  lanes: z.number().optional(),
  software: z.string().optional(),
  clockSkewMs: z.number().optional(),
  rttMs: z.number().optional(),
  configHash: z.string().optional(),
  problem: z.string().optional(),
});
export const nodeRow = z.object({
  name: z.string(),
  address: z.string(),
  state: z.enum(['up', 'down', 'revoked']),
  identity: z.string(),
  signing_key: z.string(),
  software: z.string().optional(),
  config_hash: z.string().optional(),
  clock_skew_ms: z.number().optional(),
  sessions: z.number(),
  revoked: z.object({ at: time, by: z.string(), reason: z.string() }).optional(),
  rotation: z.object({ old_identity: z.string(), until: time }).optional(),
  links: z.array(link),
});
export const nodesPage = z.object({ nodes: z.array(nodeRow), next });
export const ended = z.object({ ended: z.number() });

const transferRow = z.object({
  id: z.string(),
  user: z.string(),
  path: z.string(),
  direction: z.enum(['upload', 'download']),
  bytes: z.number(),
  bytes_per_second: z.number(),
  since: time,
  session: z.string(),
  node: z.string(),
  protocol: z.string(),
  client_ip: z.string(),
});
export const transfersPage = z.object({ transfers: z.array(transferRow), next });

const binRow = z.object({
  id: z.string(),
  path: z.string(),
  type: z.enum(['file', 'folder']),
  /** Of a folder missing until all that is in it is added up. */
  bytes: z.number().optional(),
  reason: z.enum(['deleted', 'replaced']),
  deleted_at: time,
  expires_at: time,
  storage: z.string(),
  /** Somebody deleted it who had the name before. */
  earlier_holder: z.boolean(),
});
export const binPage = z.object({ entries: z.array(binRow), next });
/** Where it is now. */
export const restoredAnswer = z.object({ id: z.string(), path: z.string() });
const dueRow = z.object({
  storage: z.string(),
  /** Below the storage's base. */
  place: z.string(),
  /** As the first user of the rule sees it. */
  path: z.string(),
  /** Whose own folder it is in. */
  user: z.string().optional(),
  type: z.enum(['file', 'folder']),
  bytes: z.number(),
  changed_at: time,
  due_at: time,
  /** Of the run that deletes it. */
  deleted_at: time,
});
export const retentionPage = z.object({
  /** When the first of these runs begins. */
  at: time,
  /** Of all pages. */
  count: z.number(),
  bytes: z.number(),
  /** False: more falls due than one run lists. */
  complete: z.boolean(),
  /** Folders that could not be looked into, and entries that no listing shows and that stay. */
  unlooked: z.number(),
  unserved: z.number(),
  entries: z.array(dueRow),
  next,
});
export const retentionAnswer = z.object({
  deleted: z.number(),
  bytes: z.number(),
  left: z.number(),
  failed: z.number(),
  /** Due, and on no list before: the next run deletes them. */
  newly_listed: z.number(),
  /** False: it goes on by itself, and its record in the audit says how it ended. */
  complete: z.boolean(),
});
export const droppedAnswer = z.object({ dropped: z.number() });

const sessionRow = z.object({
  key: z.string(),
  user: z.string(),
  node: z.string(),
  protocol: z.string(),
  state: z.string(),
  method: z.string(),
  client_ip: z.string(),
  opened_at: time,
});
export const sessionsPage = z.object({ sessions: z.array(sessionRow), next });

const leaseRow = z.object({
  id: z.string(),
  user: z.string(),
  protocol: z.string(),
  node: z.string(),
  client_ip: z.string(),
  agent: z.string(),
  opened_at: time,
  used_at: time,
  expires_at: time,
  opens_left: z.number(),
});
export const leasesPage = z.object({ leases: z.array(leaseRow), next });

const { findings: findingList, unlooked } = examinationSchema.shape;

export const identityAnswer = z.object({ actor: z.string(), role: z.string(), groups: names.optional() });

const head = z.object({ sequence: z.number(), hash: z.string() });
export const statusAnswer = z.object({
  ok: z.boolean(),
  problems: names,
  /** What should be known or mended soon: users let in with a password alone, a certificate that ends in days. */
  notices: names,
  /** Both of these with their cures; the sentences are those of `/v1/doctor`. */
  findings: findingList,
  /** What could not be looked at, and why. */
  unlooked,
  /** How many checks were looked at. */
  looked: z.number(),
  name: z.string(),
  version: z.string(),
  started_at: time,
  /** The file it was started with, on its machine. */
  config_file: z.string().optional(),
  two_factor: z.object({
    validated_logins: z.boolean(),
    /** Asked of everybody, and answered once. */
    sealed: z.boolean(),
    auto_enable: z.boolean(),
  }),
  users: z.object({
    count: z.number(),
    /** Of user files. */
    problems: z.array(
      z.object({
        file: z.string(),
        line: z.number(),
        column: z.number(),
        message: z.string(),
        hint: z.string().optional(),
      }),
    ),
  }),
  sessions: z.number(),
  nodes: z.array(nodeRow),
  /** Names on each storage that no client is served, as far as they were looked at. */
  storages: z.array(
    z.object({
      storage: z.string(),
      looked: z.number(),
      complete: z.boolean(),
      unserved: z.number(),
      looked_at: time.optional(),
    }),
  ),
  audit: head,
});

export const explanation = z.object({
  /** Without a user it is about the address alone, and `open` says that no door shuts it out. */
  user: z.string().optional(),
  protocol: z.enum(protocols).optional(),
  outcome: z.enum(['admitted', 'totp', 'email', 'sms', 'bypass', 'setup', 'refused', 'open']),
  chain: z.array(z.object({ rule: z.string(), result: z.string(), origin: z.string().optional() })),
});

export const nodeChangesPage = z.object({
  changes: z.array(nodeChange),
  /** Ask again from the time of the last. */
  more: z.boolean(),
});
export const rotatedNode = z.object({ name: z.string(), identity: z.string() });
export const config = z.record(z.string(), z.unknown());

/** A file on main's box, for its user and root to read. */
export const stateCopyAnswer = z.strictObject({ state_copy: z.string() });
