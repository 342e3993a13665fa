import type { AuditEvent } from '#main-agent/state/audit-record.ts';
import { SallyportError } from '#shared/error.ts';
import type { AdminRole, Caller } from '#main-agent/administrator.ts';
import { z } from 'zod';

/**
 * One admin route (D-54): method, pattern, the role it needs, the schemas of what it takes, and its handler. The
 * server, the CLI's expectations and `/openapi.json` all come from this table.
 */

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface Answer {
  readonly body?: unknown;
  readonly etag?: string;
  /** What was done, for the audit; never a secret. */
  readonly note?: string;
}

/** A call before its route checked it. */
interface RawCall {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Parsed JSON; undefined: no body was sent. */
  readonly body: unknown;
  readonly caller: Caller;
  /** The entity tag the change is meant for; undefined: `*`, or none was needed. */
  readonly ifMatch: string | undefined;
}

/** Before its body was checked: what the questions below may look at. */
export type UncheckedCall = Pick<RawCall, 'params' | 'query' | 'body'>;

interface RouteExtras {
  /** Where a body is larger than those of other routes. */
  readonly bodyBytesMax?: number;
  /** Of a good answer; default 200, or 204 without a body. */
  readonly status?: 201;
  /** What a call is in the audit; default `admin.call`. */
  readonly event?: AuditEvent;
  /** Answers also when no record of the call can be written: it changes nothing. */
  readonly saysWhatIsWrong?: true;
  /**
   * Whom a call acts on, where that is not the `user` of path, query or body. A helpdesk of some groups may act only
   * where this names a user of them.
   */
  subject?(call: UncheckedCall): string | undefined | Promise<string | undefined>;
  /**
   * What a group administrator gets of it; absent: nothing. `scoped`: the handler lets them see and add their own users
   * (`usersOf`), or names nobody. `theirs`: it is about one user of theirs, and the user files stand still while it is
   * done. `judged`: the same, but the handler looks again by itself, in the write of the user's file or before what
   * takes long.
   */
  readonly groupAdmin?: 'scoped' | 'theirs' | 'judged';
  /**
   * The present entity tag of what is changed. A route that has it answers 428 without If-Match and 412 to a stale one:
   * whoever replaces or removes what others edit too must have read it, or say `*`.
   */
  etag?(call: UncheckedCall): Promise<string | undefined>;
}

export interface Route extends RouteExtras {
  readonly method: Method;
  /** `/v1/users/{user}`. */
  readonly pattern: string;
  readonly role: AdminRole;
  readonly summary: string;
  readonly query: z.ZodType;
  readonly body: z.ZodType;
  /** What a good answer looks like. */
  readonly answer: z.ZodType;
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
export const noAnswer = z.undefined();

/** Handlers give what they have; nobody changes it on its way out. */
export type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Given<T[Key]> }
    : T;

type AnswerOf<Body> = Answer &
  (undefined extends Body ? { readonly body?: undefined } : { readonly body: Given<Body> });

export function statusOf(route: Pick<Route, 'answer' | 'status'>): number {
  return route.status ?? (route.answer === noAnswer ? 204 : 200);
}

export function defineRoute<
  Pattern extends string,
  Query extends z.ZodType,
  Body extends z.ZodType,
  Shown extends z.ZodType,
>(
  route: RouteExtras & {
    readonly method: Method;
    readonly pattern: Pattern;
    readonly role: AdminRole;
    readonly summary: string;
    readonly query: Query;
    readonly body: Body;
    readonly answer: Shown;
    handle(call: CheckedCall<Pattern, z.output<Query>, z.output<Body>>): Promise<AnswerOf<z.output<Shown>>>;
  },
): Route {
  const { query, body } = route;
  return {
    ...route,
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
