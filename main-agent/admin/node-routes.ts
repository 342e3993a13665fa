import type { AnySession } from '#main-agent/sessions/session.ts';
import type { SessionAdmin } from '#main-agent/sessions/sessions.ts';
import type { NodeAdmin, NodeReport } from '#main-agent/link/node-admin.ts';
import { z } from 'zod';
import { ended, type nodeRow, nodesPage, rotatedNode } from './answers.ts';
import { pageBy, pageQuery } from './http/page.ts';
import { reason } from './values.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/nodes`: the DMZ nodes, whether main trusts them, and their keys. */

export interface NodePorts {
  readonly nodes: NodeAdmin;
  readonly sessions: Pick<SessionAdmin, 'list'>;
}

const dayS = 24 * 3600;

export function buildNodeRoutes({ nodes, sessions }: NodePorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/nodes',
      role: 'viewer',
      summary: 'DMZ nodes: state, version, keys, links, clock skew, hash of their configuration',
      query: pageQuery(),
      body: noBody,
      answer: nodesPage,
      handle: async ({ query }) => {
        const { rows, next } = pageBy(nodes.list(), ({ name }) => name, query);
        return { body: { nodes: viewNodes(rows, sessions.list()), next } };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/nodes/{node}/revoke',
      role: 'admin',
      summary: 'Trust a node no more: its link, sessions and leases end now, and a restart does not dial it',
      query: noQuery,
      body: z.strictObject({ reason }),
      answer: ended,
      handle: async ({ param, body, caller }) => {
        const why = { actor: caller.actor, reason: body.reason };
        return { body: { ended: await nodes.revoke(param('node'), why) }, note: `node ${param('node')}` };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/nodes/{node}/revoke',
      role: 'admin',
      summary: 'Take a revocation back: the node is dialled again',
      query: z.strictObject({ reason: reason.default('by an admin') }),
      body: noBody,
      answer: noAnswer,
      handle: async ({ param, query, caller }) => {
        await nodes.unrevoke(param('node'), { actor: caller.actor, reason: query.reason });
        return { note: `node ${param('node')}` };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/nodes/rotate',
      role: 'admin',
      summary:
        'Approve new keys of a node by the line that its present key signed; both are good for a while',
      query: noQuery,
      body: z.strictObject({
        line: z.string().max(1024),
        overlap_seconds: z
          .number()
          .int()
          .min(60)
          .max(14 * dayS)
          .default(dayS),
        reason: reason.default('keys rotated'),
      }),
      answer: rotatedNode,
      handle: async ({ body, caller }) => {
        const why = { actor: caller.actor, reason: body.reason };
        const done = await nodes.rotate(body.line, body.overlap_seconds * 1000, why);
        return { body: done, note: `node ${done.name}, new key ${done.identity}` };
      },
    }),
  ];
}

/** Each with how many of these sessions it has. */
export function viewNodes(
  nodes: readonly NodeReport[],
  sessions: readonly AnySession[],
): z.output<typeof nodeRow>[] {
  const counts = Map.groupBy(sessions, ({ node }) => node);
  return nodes.map((node) => viewNode(node, counts.get(node.name)?.length ?? 0));
}

function viewNode(node: NodeReport, sessions: number): z.output<typeof nodeRow> {
  const iso = (ms: number): string => new Date(ms).toISOString();
  const up = node.links.find((link) => link.up);
  const { revoked, rotation } = node;
  return {
    name: node.name,
    address: node.address,
    state: node.state,
    identity: node.identity,
    signing_key: node.signingKey,
    ...(up?.software !== undefined && { software: up.software }),
    ...(up?.configHash !== undefined && { config_hash: up.configHash }),
    ...(up?.clockSkewMs !== undefined && { clock_skew_ms: Math.round(up.clockSkewMs) }),
    sessions,
    ...(revoked !== undefined && {
      revoked: { at: iso(revoked.atMs), by: revoked.by, reason: revoked.reason },
    }),
    ...(rotation !== undefined && {
      rotation: { old_identity: rotation.oldIdentity, until: iso(rotation.untilMs) },
    }),
    links: node.links.map(({ sinceMs, ...link }) => ({
      ...link,
      ...(sinceMs !== undefined && { since: iso(sinceMs) }),
    })),
  };
}
