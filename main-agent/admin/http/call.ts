import type { IncomingMessage } from 'node:http';
import type { Audit } from '#main-agent/state/audit-record.ts';
import type { AdministeredUsers } from '#main-agent/users/administered-users.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError, toSallyportError, withReference } from '#shared/error.ts';
import { randomReference } from '#shared/random-id.ts';
import type { Authentication, CallSource } from '#main-agent/admin/access/authentication.ts';
import { namedUser, requireRole, requireSubject, subjectOf } from './authorization.ts';
import { requireIfMatch } from './entity-tag.ts';
import type { Caller } from '#main-agent/administrator.ts';
import { toProblem } from './problem.ts';
import { readJson } from './request-body.ts';
import { statusOf, type Answer } from './route.ts';
import type { FindRoute, FoundRoute } from './route-table.ts';
import { detailCharactersMax } from './limits.ts';

/** One call from its bytes to its answer: who, what, may they, is it still so, do it, write it down. */

export interface CallOptions {
  readonly findRoute: FindRoute;
  readonly authentication: Authentication;
  readonly findUser: (username: string) => EffectiveUser | undefined;
  /** The users of a group administrator. */
  readonly administered: (administrator: string) => AdministeredUsers;
  readonly audit: Audit;
  readonly clock: Clock;
}

export interface DoneCall extends Answer {
  readonly status: number;
}

export async function answerCall(
  request: IncomingMessage,
  source: CallSource,
  options: CallOptions,
): Promise<DoneCall> {
  const url = parseUrl(request.url);
  const { method = '' } = request;
  const { headers } = request;
  // No browser calls this: a page that makes one is up to no good.
  if (headers.origin !== undefined)
    throw new SallyportError('not-allowed', 'Pages of other sites may not call this');
  const caller = await options.authentication.identify(
    { authorization: headers.authorization, name: headerText(headers['sallyport-actor']) },
    source,
    `${method} ${url.pathname}`,
  );
  const found = options.findRoute(method, url.pathname);
  return runAudited(request, url, found, caller, source, options);
}

function parseUrl(text = ''): URL {
  if (text.startsWith('/') && URL.canParse(text, 'http://admin')) return new URL(text, 'http://admin');
  throw new SallyportError('bad-request', 'The address does not fit');
}

const faultStatus = 500;

/** The record is durable before the caller hears how it went. */
async function runAudited(
  request: IncomingMessage,
  url: URL,
  { route, params }: FoundRoute,
  caller: Caller,
  source: CallSource,
  options: CallOptions,
): Promise<DoneCall> {
  const query = Object.fromEntries(url.searchParams);
  let body: unknown;
  const record = async (
    outcome: 'ok' | 'refused' | 'failed',
    detail?: string,
    reference?: string,
  ): Promise<void> => {
    const user = namedUser({ params, query, body });
    await options.audit.append({
      time: new Date(options.clock.now()).toISOString(),
      event: route.event ?? 'admin.call',
      outcome,
      actor: caller.actor,
      ...(user !== undefined && { user: user.slice(0, 255) }),
      ...(source.kind === 'tls' && { clientIp: source.ip }),
      rule: `${route.method} ${route.pattern}`,
      ...(reference !== undefined && { reference }),
      ...(detail !== undefined && { detail: detail.slice(0, detailCharactersMax) }),
    });
  };
  try {
    requireRole(caller, route);
    body = await readJson(request, route);
    const call = { params, query, body };
    await requireSubject(caller, route, call, options);
    const ifMatch = await requireIfMatch(route, request.headers['if-match'], call);
    const run = () => route.run({ ...call, caller, ifMatch });
    const result =
      caller.administrator !== undefined && route.groupAdmin === 'theirs' && route.method !== 'GET'
        ? await options.administered(caller.administrator).hold((await subjectOf(route, call)) ?? '', run)
        : await run();
    await record('ok', result.note).catch((error: unknown) => {
      // What is wrong is said also while nothing can be written, for that may be what is wrong.
      if (route.saysWhatIsWrong !== true) throw error;
    });
    return { ...result, status: statusOf(route) };
  } catch (error) {
    const problem = toProblem(error);
    // What a group administrator is not told stands here for whoever asks why.
    const unsaid = caller.administrator === undefined ? undefined : problem.private;
    // What the caller is shown of a fault of ours leads to what happened.
    const isFault = problem.status === faultStatus && problem.reference === undefined;
    const reference = isFault ? randomReference() : problem.reference;
    const said = isFault ? problem.private : unsaid;
    await record(
      problem.status >= 500 ? 'failed' : 'refused',
      `${problem.code}: ${problem.detail}${said === undefined ? '' : ` (${said})`}`,
      reference,
    );
    const thrown = isFault && reference !== undefined ? withReference(error, reference) : error;
    throw caller.administrator === undefined ? thrown : withoutOthers(thrown);
  }
}

/**
 * What a group administrator is told of a refusal: the private half, which may name other users and folders, is in the
 * audit; what was wrong with what they sent they may read.
 */
function withoutOthers(error: unknown): SallyportError {
  const known = toSallyportError(error);
  const { code, publicMessage, detail, hint, reference, data } = known;
  const isAboutRequest = code === 'bad-request' || code === 'config';
  return new SallyportError(code, publicMessage, {
    ...(isAboutRequest && detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
    ...(reference !== undefined && { reference }),
    ...(data !== undefined && { data }),
    cause: error,
  });
}

function headerText(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
