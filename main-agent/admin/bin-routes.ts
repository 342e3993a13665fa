import { binIdsMax } from '#shared/link/messages.ts';
import { shellCommand } from '#shared/command-line/shell-words.ts';
import { SallyportError } from '#shared/error.ts';
import type { BinAdmin, KeptEntry } from '#main-agent/files/bins.ts';
import { isUsername } from '#main-agent/users/username.ts';
import { z } from 'zod';
import { binPage, droppedAnswer, restoredAnswer } from './answers.ts';
import { requireRole } from './http/authorization.ts';
import { pageBy, pageQuery, timeKey } from './http/page.ts';
import { reason } from './values.ts';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';

/**
 * `/v1/users/{user}/bin`: what a user deleted or replaced and can have back. The user need not be there any more: files
 * are most missed when somebody has gone.
 */

export interface BinPorts {
  readonly bins: BinAdmin;
}

const id = z.string().regex(/^[A-Za-z0-9_-]{22}$/);

export function buildBinRoutes({ bins }: BinPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/users/{user}/bin',
      role: 'viewer',
      summary: 'What a user deleted or replaced and the bin keeps, newest first',
      query: pageQuery(),
      body: noBody,
      answer: binPage,
      handle: async ({ param, query }) => {
        const { rows, next } = pageBy(bins.list(param('user')), newestFirst, query);
        return { body: { entries: rows.map(viewEntry), next } };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/bin/{id}/restore',
      role: 'helpdesk',
      summary:
        'Put one entry back to where it was; folders that are gone are made again. What a node’s bin has, an admin does',
      query: noQuery,
      body: z.strictObject({
        reason,
        /** Beside what has its name, under another one. */
        keep_both: z.boolean().default(false),
        /** Also what an earlier holder of the name deleted; it becomes the present one's. */
        earlier_holder: z.boolean().default(false),
      }),
      answer: restoredAnswer,
      handle: async ({ param, body, caller }) => {
        // What was taken back from a node: to put it back is to undo what an admin did.
        if (!isUsername(param('user'))) requireRole(caller, { role: 'admin' });
        const entry = bins.list(param('user')).find((one) => one.id === param('id'));
        if (entry === undefined)
          throw new SallyportError('not-found', 'That is not in the bin of this user', {
            hint: shellCommand('sallyport', 'bin', 'list', param('user')),
          });
        if (entry.isFormer && !body.earlier_holder)
          throw new SallyportError('conflict', 'An earlier holder of the name deleted that', {
            hint: 'With earlier_holder it becomes the present one’s.',
          });
        const path = await bins.restore(param('user'), entry.id, {
          keepBoth: body.keep_both,
          actor: caller.actor,
          reason: body.reason,
        });
        return { body: { id: entry.id, path }, note: `restored ${path}: ${body.reason}` };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/bin/empty',
      role: 'admin',
      summary: 'Remove entries of a user’s bin for good; without ids all',
      query: noQuery,
      body: z.strictObject({ reason, ids: z.array(id).min(1).max(binIdsMax).optional() }),
      answer: droppedAnswer,
      handle: async ({ param, body, caller }) => {
        const why = { actor: caller.actor, reason: body.reason };
        const dropped = await bins.empty(param('user'), body.ids, why);
        return { body: { dropped }, note: `${dropped} entries: ${body.reason}` };
      },
    }),
  ];
}

/** Later than any time there is. */
const endMs = 1e15;

function newestFirst({ deletedAtMs, id: entry }: KeptEntry): string {
  return timeKey(endMs - deletedAtMs, entry);
}

function viewEntry(entry: KeptEntry): z.output<typeof binPage>['entries'][number] {
  return {
    id: entry.id,
    path: entry.path,
    type: entry.type,
    bytes: entry.bytes,
    reason: entry.reason,
    deleted_at: new Date(entry.deletedAtMs).toISOString(),
    expires_at: new Date(entry.expiresAtMs).toISOString(),
    storage: entry.storage,
    earlier_holder: entry.isFormer,
  };
}
