import { incidentReport, type IncidentReport } from '#main-agent/incident/report.ts';
import type { IncidentAdmin } from '#main-agent/incident/incident.ts';
import { z } from 'zod';
import { reason } from './values.ts';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/nodes/{node}/incident`: a node was broken into. */

export interface IncidentPorts {
  readonly incidents: IncidentAdmin;
}

const time = z.iso.datetime({ offset: true });

export function buildIncidentRoutes({ incidents }: IncidentPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/nodes/{node}/incident',
      role: 'admin',
      summary:
        'Rehearse the day on which a node was broken into: what came through it, and what undoing it would do',
      query: z.strictObject({ since: time, until: time.optional() }),
      body: noBody,
      answer: incidentReport,
      handle: async ({ param, query: { since, until }, caller: { actor } }) => {
        const asked = {
          node: param('node'),
          fromMs: Date.parse(since),
          toMs: endOf(until),
          mode: 'rehearsed',
        } as const;
        return { body: await incidents.report(asked, { actor, reason: 'a rehearsal' }) };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/nodes/{node}/incident',
      role: 'admin',
      summary:
        'A node was broken into: revoke it and list what came through it; with `undo`, undo what can be undone',
      query: noQuery,
      body: z.strictObject({
        since: time,
        until: time.optional(),
        undo: z.boolean().default(false),
        reason: reason.default('the node was broken into'),
      }),
      answer: incidentReport,
      handle: async ({ param, body: { since, until, undo, reason: why }, caller: { actor } }) => {
        const mode = undo ? 'undone' : 'listed';
        const asked = { node: param('node'), fromMs: Date.parse(since), toMs: endOf(until), mode } as const;
        const body = await incidents.report(asked, { actor, reason: why });
        return { body, note: describe(body) };
      },
    }),
  ];
}

function endOf(until: string | undefined): number | undefined {
  return until === undefined ? undefined : Date.parse(until);
}

function describe({ node, since, mode, counts, changes }: IncidentReport): string {
  const count = (state: string): number => counts[state] ?? 0;
  const done =
    mode === 'undone'
      ? `undone ${count('undone')} files, left ${count('left')}, revoked ${changes.filter(({ state }) => state === 'revoked').length} changes`
      : 'listed';
  return `node ${node} since ${since}: ${done}`;
}
