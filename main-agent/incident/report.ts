import { nodeChange } from '#main-agent/help-desk/node-change-view.ts';
import { z } from 'zod';
import { protocols } from '#shared/login.ts';

/**
 * What is told of what came through a node: one structure for the admin API, the command's JSON and its text.
 */

/** RFC 3339 in UTC, by main's own clock, as everything in the audit. */
const time = z.string().meta({ format: 'date-time' });
const names = z.array(z.string());
/** `new`: not seen of this user before the window. */
const seen = z.object({ value: z.string(), new: z.boolean() });

const person = z.object({
  user: z.string(),
  signed_in: z.number(),
  /** By what, first factor and second: `pwd totp`, `key lease`. */
  factors: names,
  /** Why tries were refused, and how often. */
  refused: z.record(z.string(), z.number()),
  /** A password was typed through the node, right or wrong. */
  password_seen: z.boolean(),
  addresses: z.array(seen),
  agents: z.array(seen),
  first: time,
  last: time,
});

const session = z.object({
  /** As in audit and `sallyport sessions list`. */
  session: z.string(),
  user: z.string(),
  protocol: z.enum(protocols).optional(),
  client_ip: z.string().optional(),
  /** When it was opened; missing: before the window. */
  at: time.optional(),
  ended: time.optional(),
});

const file = z.object({
  /** Number of its record in the audit. */
  record: z.number(),
  at: time,
  user: z.string(),
  what: z.string(),
  path: z.string(),
  to_path: z.string().optional(),
  outcome: z.string(),
  bytes: z.number().optional(),
  /** Of what was written, where the audit has it. */
  sha256: z.string().optional(),
  session: z.string().optional(),
  client_ip: z.string().optional(),
  undo: z.object({
    /** `none`: of this nothing can be undone. `can be`: nobody asked for it. `before`: an earlier run undid it. */
    state: z.enum(['none', 'can be', 'would be', 'undone', 'before', 'nothing', 'left']),
    note: z.string(),
  }),
});

const otherRecord = z.object({
  record: z.number(),
  at: time,
  event: z.string(),
  what: z.string(),
  outcome: z.string(),
  user: z.string().optional(),
  client_ip: z.string().optional(),
  detail: z.string().optional(),
  undo: z.string(),
});

const step = z.object({
  title: z.string(),
  why: z.string(),
  users: names.optional(),
  commands: names.optional(),
});

export const incidentReport = z.object({
  node: z.string(),
  since: time,
  until: time,
  /** `rehearsed`: nothing was changed, the node is as it was. */
  mode: z.enum(['listed', 'undone', 'rehearsed']),
  node_state: z.object({
    state: z.enum(['revoked now', 'revoked before', 'trusted', 'not configured']),
    sessions_ended: z.number().optional(),
  }),
  known: z.object({
    /** Records of the window that were looked at, of all nodes. */
    records: z.number(),
    /** What else is not known; without any, and `more` false, the lists are whole. */
    gaps: z.array(z.object({ from: time.optional(), to: time.optional(), why: z.string() })),
    /** What no record is made of. */
    never: names,
    /** What each user did before was looked at since then. */
    compared_since: time,
  }),
  people: z.array(person),
  sessions: z.array(session),
  changes: z.array(nodeChange),
  files: z.array(file),
  other: z.array(otherRecord),
  /**
   * How many there are; a list has the newest. `strangers`: tries under names that are no user's, which are not listed.
   * And what became of files, listed or not, by the states of `undo`.
   */
  counts: z.record(z.string(), z.number()),
  /** There are more than one answer holds. */
  more: z.boolean(),
  /** Until when to ask for the next, where it is older records. */
  more_until: time.optional(),
  steps: z.array(step),
});

export type IncidentReport = z.output<typeof incidentReport>;
