import { z } from 'zod';
import type { NodeChange } from './node-changes.ts';

/** What a user changed through a node, as answers tell it: by itself, and in the report of a node that was broken into. */
export const nodeChange = z.object({
  kind: z.enum([
    'enrolled',
    'recovery-codes',
    'password',
    'ssh-key-added',
    'ssh-key-removed',
    'device',
    'lease',
  ]),
  user: z.string(),
  at: z.string().meta({ format: 'date-time' }),
  session: z.string().optional(),
  client_ip: z.string().optional(),
  /** Enrolment, credential, or fingerprint of a key. */
  subject: z.string().optional(),
  /** `gone`: something later took its place, or it can't be undone. */
  state: z.enum(['in force', 'gone', 'revoked', 'failed']),
  note: z.string().optional(),
});

export function viewNodeChange({
  kind,
  user,
  atMs,
  session,
  clientIp,
  subject,
  state,
  note,
}: NodeChange): z.output<typeof nodeChange> {
  const at = new Date(atMs).toISOString();
  return { kind, user, at, session, client_ip: clientIp, subject, state, note };
}
