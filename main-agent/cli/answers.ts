import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';

/** The parts of main's answers that tables show. Looser than what main sends: JSON output shows everything anyway. */

const names = z.array(z.string());
const optionalText = z.string().optional();

export const usersPage = z.object({
  users: z.array(
    z.object({
      username: z.string(),
      display_name: z.string(),
      status: z.string(),
      groups: names,
      protocols: names,
      required_on: names,
    }),
  ),
  next: optionalText,
});

export const originsAnswer = z.object({
  values: z.array(z.object({ key: z.string(), value: z.unknown(), file: z.string(), line: z.number() })),
});

export const facts = z.record(z.string(), z.unknown());

export const bypassAnswer = z.object({ code: z.string(), expires_at: z.string() });

const link = z.object({
  worker: z.number(),
  up: z.boolean(),
  epoch: z.number(),
  lanes: z.number().optional(),
  clockSkewMs: z.number().optional(),
  problem: optionalText,
});
export const nodesAnswer = z.object({
  nodes: z.array(
    z.object({ name: z.string(), address: z.string(), identity: z.string(), links: z.array(link) }),
  ),
});

export const statusAnswer = z.object({
  ok: z.boolean(),
  problems: names,
  name: z.string(),
  version: z.string(),
  started_at: z.string(),
  two_factor: z.object({ validated_logins: z.boolean(), auto_enable: z.boolean() }),
  users: z.object({
    count: z.number(),
    problems: z.array(
      z.object({
        file: z.string(),
        line: z.number(),
        column: z.number(),
        message: z.string(),
        hint: optionalText,
      }),
    ),
  }),
  sessions: z.number(),
  nodes: nodesAnswer.shape.nodes,
});

export const explanation = z.object({
  outcome: z.string(),
  chain: z.array(z.object({ rule: z.string(), result: z.string(), origin: optionalText })),
});

export const recordsAnswer = z.object({ records: z.array(facts) });
export const auditPage = z.object({
  records: z.array(z.object({ sequence: z.number(), record: facts })),
  next: z.number(),
  more: z.boolean().optional(),
});

const head = z.object({ sequence: z.number(), hash: z.string() });
export const auditHeads = z.object({
  file: head,
  state: z.object({ last: z.number(), head: head.optional() }),
  nodes: z.array(head.extend({ node: z.string(), worker: z.number() })),
});

/** An answer of another version than ours is told, not guessed at. */
export function readAnswer<S extends z.ZodType>(schema: S, json: unknown): z.output<S> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new SallyportError('internal', 'Main-agent answered something else', {
    detail: z.prettifyError(result.error),
    hint: 'are CLI and main-agent of the same version? --json shows the answer as it is',
  });
}
