import { auditOutcomes } from '#main-agent/state/audit-record.ts';
import { protocols } from '#shared/login.ts';
import { z } from 'zod';
import { time } from './values.ts';

/** What `/v1/audit` answers. */

const text = z.string().optional();
const number = z.number().optional();

const auditRecord = z.object({
  time,
  event: z.string(),
  outcome: z.enum(auditOutcomes),
  user: text,
  actor: text,
  node: text,
  protocol: z.enum(protocols).optional(),
  clientIp: text,
  agent: text,
  method: z
    .enum(['totp', 'email', 'sms', 'recovery', 'bypass', 'none', 'lease', 'device', 'trusted-network'])
    .optional(),
  rule: text,
  reference: text,
  sessionKey: text,
  assertion: text,
  path: text,
  toPath: text,
  bytes: number,
  size: number,
  acknowledged: number,
  sha256: text,
  durationMs: number,
  detail: text,
  summed: z.record(z.string(), z.number()).optional(),
  edge: z
    .object({
      worker: z.number(),
      boot: z.string(),
      sequence: z.number(),
      missing: number,
      atMs: number,
      signature: text,
    })
    .optional(),
});
export const auditRecords = z.object({ records: z.array(auditRecord) });
export const auditPage = z.object({
  records: z.array(z.object({ sequence: z.number(), record: auditRecord })),
  /** The `after` to go on with. */
  next: z.number(),
  more: z.boolean(),
});

const head = z.object({ sequence: z.number(), hash: z.string() });
export const auditHeads = z.object({
  file: head,
  state: z.object({ last: z.number(), head: head.optional() }),
  nodes: z.array(head.extend({ node: z.string(), worker: z.number() })),
});
