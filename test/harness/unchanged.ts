import type { Reread } from '#shared/config/reload.ts';

/** What a node reads again whose configuration stays as it is. */
export function unchanged<T>(config: T): Reread<T> {
  return { config, changed: [], choose: () => ({ config, keys: [] }), take: () => undefined };
}
