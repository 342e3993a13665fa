import { SallyportError } from '#shared/error.ts';
import type { Route } from './route.ts';

/** Finds the route of a method and path. */

export interface FoundRoute {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

export type FindRoute = (method: string, pathname: string) => FoundRoute;

/** The function rejects `not-found`. */
export function buildRouteTable(routes: readonly Route[]): FindRoute {
  const compiled = routes.map((route) => ({ route, segments: route.pattern.split('/') }));
  return (method, pathname) => {
    const parts = pathname.split('/');
    for (const { route, segments } of compiled) {
      if (route.method !== method) continue;
      const params = matchSegments(segments, parts);
      if (params !== undefined) return { route, params };
    }
    throw new SallyportError('not-found', 'There is no such route', {
      detail: `${method} ${pathname.slice(0, 200)}`,
    });
  };
}

function matchSegments(
  segments: readonly string[],
  parts: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (segments.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const part = parts[index] ?? '';
    if (segment.startsWith('{')) {
      const value = decodeSegment(part);
      if (value === undefined) return undefined;
      params[segment.slice(1, -1)] = value;
    } else if (segment !== part) return undefined;
  }
  return params;
}

function decodeSegment(part: string): string | undefined {
  try {
    const value = decodeURIComponent(part);
    return value.length > 0 && value.length <= 255 ? value : undefined;
  } catch {
    return undefined;
  }
}
