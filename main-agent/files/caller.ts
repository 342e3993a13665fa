import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';

/** A session as it asks: through one process of its node, which is the one that holds what is opened for it. */
export interface CallerFacts {
  /** Aborts when that process is no more. */
  readonly processGone: AbortSignal;
}
export type Caller = FullSession & CallerFacts;

export function buildCaller(session: FullSession, { processGone }: Pick<NodeLink, 'processGone'>): Caller {
  return { ...session, processGone };
}
