import type { Guard } from '#dmz/guard/guard.ts';
import type { LoginService } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import { refuseViolation, sendProblem, type Exchange } from './exchange/exchange.ts';
import { isForeign } from './exchange/origin.ts';
import { matches, type Route, type Visitor } from './exchange/route.ts';
import type { StaticFiles } from './static.ts';
import { findViolation } from './exchange/strictness.ts';
import { recogniseVisitor, refuseVisitor } from './exchange/visitor.ts';

/**
 * From a parsed request to the handler that may have it: form, origin, route, visitor, in this order.
 *
 * Trust: everything in the request is a stranger's. May not decide: who somebody is; that is main's word on the cookie.
 */
export function buildDispatch(options: {
  readonly routes: readonly Route[];
  readonly login: LoginService;
  readonly guard: Guard;
  readonly staticFiles: StaticFiles;
  readonly link: { readonly isUp: boolean };
  /** Origin browsers know us by, such as `https://files.example.com`. */
  readonly publicUrl: string;
}): (x: Exchange) => Promise<void> {
  const { routes, login, guard, link } = options;
  const ownOrigin = new URL(options.publicUrl).origin;

  async function dispatchApi(x: Exchange): Promise<void> {
    if (isForeign(x.request, ownOrigin))
      throw new SallyportError('not-allowed', 'Requests from other sites are not served');
    const candidates = routes.filter((route) => matches(route, x.path));
    const method = x.method === 'HEAD' ? 'GET' : x.method;
    const route = candidates.find((candidate) => candidate.method === method);
    if (route?.access === 'public') return route.handler(x);
    if (route === undefined && candidates.some(({ access }) => access === 'public'))
      return refuseMethod(x, candidates);

    // File operations wait for main as transfers do; everything else is for a person, who is told at once.
    if (!link.isUp && route !== undefined && route.access !== 'full') throw outage();
    const visitor = await recogniseVisitor(login, x.request.headers.cookie, x.client);
    if (visitor.kind === 'full' || visitor.kind === 'confined') x.onSession();
    if (route === undefined) {
      if (visitor.kind !== 'full') throw refuse(visitor);
      if (candidates.length > 0) return refuseMethod(x, candidates);
      throw new SallyportError('not-found', 'There is no such thing here');
    }
    switch (route.access) {
      case 'half':
        if (visitor.kind === 'stranger') throw refuse(visitor);
        return route.handler(x, visitor);
      case 'setup':
        if (visitor.kind !== 'confined' && visitor.kind !== 'full') throw refuse(visitor);
        return route.handler(x, visitor.session);
      case 'full':
        if (visitor.kind !== 'full') throw refuse(visitor);
        return route.handler(x, visitor.session);
    }
  }

  /** While main is out of reach nobody can sign in: better told so than sent to the sign-in page. */
  function refuse(visitor: Visitor): SallyportError {
    return link.isUp || visitor.kind === 'confined' ? refuseVisitor(visitor) : outage();
  }

  async function dispatchStatic(x: Exchange): Promise<void> {
    if (x.method !== 'GET' && x.method !== 'HEAD')
      return sendProblem(x, new SallyportError('bad-request', 'Only GET and HEAD here'), {
        status: 405,
        reason: 'method-not-allowed',
        headers: ['Allow', 'GET, HEAD'],
      });
    // No cookie and no origin is asked for: such a page is linked from anywhere.
    const page = routes.find(({ access, pattern }) => access === 'public' && pattern === x.path);
    if (page?.access === 'public') return page.handler(x);
    if (!options.staticFiles.send(x)) throw new SallyportError('not-found', 'There is no such page');
  }

  return async (x) => {
    try {
      const violation = findViolation(x.request);
      if (violation !== undefined) {
        // Never for what a foreign page can make a visitor's browser send, nor for too much of something.
        const isOwn = x.request.headers['sec-fetch-site'] !== 'cross-site' && violation.status !== 431;
        if (isOwn) guard.malformed(x.client.ip, 'https', violation.what);
        refuseViolation(x, violation);
      } else if (x.path === '/api' || x.path.startsWith('/api/')) await dispatchApi(x);
      else await dispatchStatic(x);
    } catch (error) {
      await sendProblem(x, error);
    }
  };
}

function outage(): SallyportError {
  return new SallyportError('link-down', 'The server inside can not be reached; try again in a moment');
}

function refuseMethod(x: Exchange, candidates: readonly Route[]): Promise<void> {
  const allowed = new Set(
    candidates.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])),
  );
  return sendProblem(x, new SallyportError('bad-request', 'That method is not for this address'), {
    status: 405,
    reason: 'method-not-allowed',
    headers: ['Allow', [...allowed].join(', ')],
  });
}
