import { z } from 'zod';
import { backupEvent, describeBackup } from '#main-agent/backup/contents.ts';
import { stateCopyAnswer } from './answers.ts';
import { defineRoute, noQuery, type Route } from './http/route.ts';

/** `/v1/backup`: the part of a backup that only main can give, a copy of its state of one moment. */
export function buildBackupRoute({ copyState }: { readonly copyState: () => Promise<string> }): Route {
  return defineRoute({
    method: 'POST',
    pattern: '/v1/backup',
    role: 'admin',
    event: backupEvent,
    summary: 'A copy of state.db beside it, for `sallyport backup`, which takes it away at once',
    query: noQuery,
    body: z.strictObject({
      /** Where the backup goes, and who may open it: for the audit. */
      file: z.string().min(1).max(4096),
      recipients: z.array(z.string().min(1).max(512)).min(1).max(16),
    }),
    answer: stateCopyAnswer,
    handle: async ({ body }) => ({
      body: { state_copy: await copyState() },
      note: describeBackup(body),
    }),
  });
}
