import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import type { OperationName } from './storage/storage.ts';

/** A session as it asks: through one process of its node, which is the one that holds what is opened for it. */
interface CallerFacts {
  /** Aborts when that process is no more. */
  readonly processGone: AbortSignal;
  /** A file is about to be changed whose content was told with that handle. */
  readonly tellChanging: (handle: number) => void;
  /** Whether it would hear so: an answer that is given again over the next link can't be taken back over this one. */
  readonly isThere: () => boolean;
}
export type Caller = FullSession & CallerFacts;

export function buildCaller(
  session: FullSession,
  link: Pick<NodeLink, 'processGone' | 'isOpen' | 'send'>,
): Caller {
  const { processGone } = link;
  return {
    ...session,
    processGone,
    tellChanging: (handle) => link.send('file.changing', { handle }),
    isThere: () => link.isOpen,
  };
}

/** A change as its session numbered it. */
export function operationName(session: FullSession, { op }: { readonly op: number }): OperationName {
  return { session: session.key, operation: op };
}

/** What its receipt tells of. */
export function receiptOf({ op }: { readonly op: number }): string {
  return `operation ${op}`;
}
