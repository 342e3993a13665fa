import type { Clock } from '#shared/clock.ts';
import { viewNodeChange } from '#main-agent/help-desk/node-change-view.ts';
import type { NodeChangeAdmin, NodeChanges } from '#main-agent/help-desk/node-changes.ts';
import { z } from 'zod';
import { nodeChangesPage } from './answers.ts';
import { reason } from './values.ts';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/nodes/{node}/changes`: what users changed through a node, and undoing it. */

const time = z.iso.datetime({ offset: true });

export function buildNodeChangeRoutes({
  nodeChanges,
  clock,
}: {
  readonly nodeChanges: NodeChangeAdmin;
  readonly clock: Clock;
}): readonly Route[] {
  const endOf = (until: string | undefined): number =>
    until === undefined ? clock.now() + 1 : Date.parse(until);

  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/nodes/{node}/changes',
      role: 'viewer',
      summary: 'Enrolments, passwords, keys, devices and leases that came through a node, by time',
      query: z.strictObject({ since: time, until: time.optional() }),
      body: noBody,
      answer: nodeChangesPage,
      // No look at the configured nodes: one that was taken out is asked about most.
      handle: async ({ param, query: { since, until } }) => ({
        body: view(await nodeChanges.list(param('node'), Date.parse(since), endOf(until))),
      }),
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/nodes/{node}/changes/revoke',
      role: 'admin',
      summary: 'Undo all of it that is in force; users whose password goes need a new one from you',
      query: noQuery,
      body: z.strictObject({
        since: time,
        until: time.optional(),
        reason,
      }),
      answer: nodeChangesPage,
      handle: async ({ param, body: { since, until, reason: why }, caller }) => {
        const done = await nodeChanges.revoke(param('node'), Date.parse(since), endOf(until), {
          actor: caller.actor,
          reason: why,
        });
        const count = done.changes.filter((one) => one.state === 'revoked').length;
        return { body: view(done), note: `revoked ${count} changes through ${param('node')}` };
      },
    }),
  ];
}

function view({ changes, isCut }: NodeChanges): z.output<typeof nodeChangesPage> {
  return { changes: changes.map(viewNodeChange), more: isCut };
}
