import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';

/**
 * One admin route: method, pattern, the role it needs, the schemas of what it takes, and its handler. The server,
 * the CLI's expectations and `/openapi.json` all come from this table.
 */

export type Role = 'viewer' | 'helpdesk' | 'admin';
const ranks: Readonly<Record<Role, number>> = { viewer: 0, helpdesk: 1, admin: 2 };

export function roleCovers(role: Role, needed: Role): boolean {
  return ranks[role] >= ranks[needed];
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Who calls. On the socket nobody can be asked, so the name is what the caller states: `socket:<name>`. */
export interface Caller {
  readonly actor: string;
  readonly role: Role;
}

export interface Answer {
  /** Default 200, or 204 without a body. */
  readonly status?: number;
  readonly body?: object;
  readonly etag?: string;
  /** What was done, for the audit; never a secret. */
  readonly note?: string;
}

/** A call before its route checked it. */
export interface RawCall {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Parsed JSON; undefined: no body was sent. */
  readonly body: unknown;
  readonly caller: Caller;
  readonly ifMatch: string | undefined;
}

export interface Route {
  readonly method: Method;
  /** `/v1/users/{user}`. */
  readonly pattern: string;
  readonly role: Role;
  readonly summary: string;
  readonly query: z.ZodType;
  readonly body: z.ZodType;
  /** Where a body is larger than those of other routes. */
  readonly bodyBytesMax?: number;
  /** Rejects `bad-request` when a schema does not fit. */
  run(call: RawCall): Promise<Answer>;
}

type ParamNames<Pattern extends string> = Pattern extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParamNames<Rest>
  : never;

interface CheckedCall<Pattern extends string, Query, Body> {
  readonly param: (name: ParamNames<Pattern>) => string;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Caller;
  readonly ifMatch: string | undefined;
}

export const noQuery = z.strictObject({});
export const noBody = z.undefined();

export function defineRoute<Pattern extends string, Query extends z.ZodType, Body extends z.ZodType>(route: {
  readonly method: Method;
  readonly pattern: Pattern;
  readonly role: Role;
  readonly summary: string;
  readonly query: Query;
  readonly body: Body;
  readonly bodyBytesMax?: number;
  handle(call: CheckedCall<Pattern, z.output<Query>, z.output<Body>>): Promise<Answer>;
}): Route {
  const { method, pattern, role, summary, query, body, bodyBytesMax } = route;
  return {
    method,
    pattern,
    role,
    summary,
    query,
    body,
    ...(bodyBytesMax !== undefined && { bodyBytesMax }),
    run: async (call) =>
      route.handle({
        // The server fills exactly the names of the pattern.
        param: (name) => call.params[name] ?? '',
        query: requireValid(query, call.query, 'query'),
        body: requireValid(body, call.body, 'body'),
        caller: call.caller,
        ifMatch: call.ifMatch,
      }),
  };
}

function requireValid<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${[where, ...issue.path].join('.')}: ${issue.message}`);
  throw new SallyportError('bad-request', 'The request does not fit', { detail: issues.join('; ') });
}
