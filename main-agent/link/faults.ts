import { describeCode } from '#shared/error-codes.ts';
import { toSallyportError, withReference } from '#shared/error.ts';
import type { AnyRequest } from '#shared/link/codec.ts';
import { randomReference } from '#shared/random-id.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';

/** A fault of ours while a node's request was answered: what a user is shown leads an admin to what happened. */

export type Fault = Omit<AuditRecord, 'time' | 'event'>;

/**
 * Written down under a reference, which the error then has. Whoever answers a request with a status of 500 has this
 * reference to show.
 *
 * @param write must not reject: the fault may be that nothing can be written
 */
export async function noteFault(
  thrown: unknown,
  { node, worker }: { readonly node: string; readonly worker: number },
  request: AnyRequest,
  write: (fault: Fault) => Promise<void>,
): Promise<unknown> {
  const error = toSallyportError(thrown);
  const { code, publicMessage, detail } = error;
  if (describeCode(code).http !== faultStatus || error.reference !== undefined) return thrown;
  const reference = randomReference();
  await write({
    outcome: 'failed',
    node,
    rule: request.verb,
    reference,
    detail: `${code}: ${detail ?? publicMessage} (worker ${worker})`.slice(0, detailCharactersMax),
  });
  return withReference(error, reference);
}

const faultStatus = 500;
/** A sentence with a path in it; a whole stack is the log's. */
const detailCharactersMax = 1024;
