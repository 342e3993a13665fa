import type { Admitted } from '#dmz/login/login-service.ts';
import type { Exchange } from './exchange.ts';

/** Who asks, as far as the cookie and main say. A later kind may do what an earlier may, unless the route says less. */
export type Visitor =
  | { readonly kind: 'stranger' }
  /** Between the factors; `challenge` is the cookie's word until the handler resumes it on main. */
  | { readonly kind: 'half'; readonly challenge: string }
  /** A session that may only set up its second factor. */
  | { readonly kind: 'confined'; readonly session: Admitted }
  | { readonly kind: 'full'; readonly session: Admitted };

interface RouteBase {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
  /** A path, matched byte for byte; a trailing `*` takes whatever follows. */
  readonly pattern: string;
}

/**
 * One route. What its handler is given depends on what the route demands, so a handler can't forget to ask:
 * `public`: anybody · `half`: any cookie that main may know · `setup`: any session · `full`: a session that is not
 * confined.
 */
export type Route = RouteBase &
  (
    | { readonly access: 'public'; readonly handler: (exchange: Exchange) => Promise<void> }
    | {
        readonly access: 'half';
        readonly handler: (
          exchange: Exchange,
          visitor: Exclude<Visitor, { kind: 'stranger' }>,
        ) => Promise<void>;
      }
    | {
        readonly access: 'setup' | 'full';
        readonly handler: (exchange: Exchange, session: Admitted) => Promise<void>;
      }
  );

export function matches(route: Route, path: string): boolean {
  return route.pattern.endsWith('*') ? path.startsWith(route.pattern.slice(0, -1)) : path === route.pattern;
}
