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
}): (exchange: Exchange) => Promise<void> {
  const { routes, login, guard, link } = options;
  const ownOrigin = new URL(options.publicUrl).origin;

  async function dispatchApi(exchange: Exchange): Promise<void> {
    if (isForeign(exchange.request, ownOrigin))
      throw new SallyportError('not-allowed', 'Requests from other sites are not served');
    const candidates = routes.filter((route) => matches(route, exchange.path));
    const method = exchange.method === 'HEAD' ? 'GET' : exchange.method;
    const route = candidates.find((candidate) => candidate.method === method);
    if (route?.access === 'public') return route.handler(exchange);
    if (route === undefined && candidates.some(({ access }) => access === 'public'))
      return refuseMethod(exchange, candidates);

    // File operations wait for main as transfers do; everything else is for a person, who is told at once.
    if (!link.isUp && route !== undefined && route.access !== 'full') throw outage();
    const visitor = await recogniseVisitor(login, exchange.request.headers.cookie, exchange.client);
    if (visitor.kind === 'full' || visitor.kind === 'confined') exchange.onSession();
    if (route === undefined) {
      if (visitor.kind !== 'full') throw refuse(visitor);
      if (candidates.length > 0) return refuseMethod(exchange, candidates);
      throw new SallyportError('not-found', 'There is no such thing here');
    }
    switch (route.access) {
      case 'half':
        if (visitor.kind === 'stranger') throw refuse(visitor);
        return route.handler(exchange, visitor);
      case 'setup':
        if (visitor.kind !== 'confined' && visitor.kind !== 'full') throw refuse(visitor);
        return route.handler(exchange, visitor.session);
      case 'full':
        if (visitor.kind !== 'full') throw refuse(visitor);
        return route.handler(exchange, visitor.session);
    }
  }

  /** While main is out of reach nobody can sign in: better told so than sent to the sign-in page. */
  function refuse(visitor: Visitor): SallyportError {
    return link.isUp || visitor.kind === 'confined' ? refuseVisitor(visitor) : outage();
  }

  async function dispatchStatic(exchange: Exchange): Promise<void> {
    if (exchange.method !== 'GET' && exchange.method !== 'HEAD')
      return sendProblem(exchange, new SallyportError('bad-request', 'Only GET and HEAD here'), {
        status: 405,
        reason: 'method-not-allowed',
        headers: ['Allow', 'GET, HEAD'],
      });
    // No cookie and no origin is asked for: such a page is linked from anywhere.
    const page = routes.find(({ access, pattern }) => access === 'public' && pattern === exchange.path);
    if (page?.access === 'public') return page.handler(exchange);
    if (!options.staticFiles.send(exchange)) throw new SallyportError('not-found', 'There is no such page');
  }

  return async (exchange) => {
    try {
      const violation = findViolation(exchange.request);
      if (violation !== undefined) {
        // Never for what a foreign page can make a visitor's browser send, nor for too much of something.
        const isOwn = exchange.request.headers['sec-fetch-site'] !== 'cross-site' && violation.status !== 431;
        if (isOwn) guard.malformed(exchange.client.ip, 'https', violation.what);
        refuseViolation(exchange, violation);
      } else if (exchange.path === '/api' || exchange.path.startsWith('/api/')) await dispatchApi(exchange);
      else await dispatchStatic(exchange);
    } catch (error) {
      await sendProblem(exchange, error);
    }
  };
}

function outage(): SallyportError {
  return new SallyportError('link-down', 'The server inside can not be reached; try again in a moment');
}

function refuseMethod(exchange: Exchange, candidates: readonly Route[]): Promise<void> {
  const allowed = new Set(
    candidates.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])),
  );
  return sendProblem(exchange, new SallyportError('bad-request', 'That method is not for this address'), {
    status: 405,
    reason: 'method-not-allowed',
    headers: ['Allow', [...allowed].join(', ')],
  });
}
