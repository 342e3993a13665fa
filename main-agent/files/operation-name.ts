import type { FullSession } from '#main-agent/sessions/session.ts';
import type { OperationName } from './storage/storage.ts';

/** A change as its session numbered it. */
export function operationName(session: FullSession, { op }: { readonly op: number }): OperationName {
  return { session: session.key, operation: op };
}
