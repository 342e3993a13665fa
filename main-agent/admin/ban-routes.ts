import type { Bans, EdgeBan } from '#main-agent/bans/bans.ts';
import { banSecondsMax, banSecondsMin } from '#main-agent/bans/limits.ts';
import type { StoredBan } from '#main-agent/state/kept-records.ts';
import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';
import { banRow, bansPage, lifted } from './answers.ts';
import { pageBy, pageParameters } from './http/page.ts';
import { reason } from './values.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/bans`: those of admins, and those that the nodes made by themselves. */

export interface BanPorts {
  readonly bans: Pick<Bans, 'list' | 'listEdge' | 'get' | 'add' | 'remove' | 'lift'>;
}

const address = z.string().min(2).max(49);
const username = z.string().min(1).max(255);
const defaultReason = reason.default('by an admin');

export function buildBanRoutes({ bans }: BanPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/bans',
      role: 'viewer',
      summary: 'Bans in force: by admins, and by nodes as far as they told since main started',
      query: z.strictObject({
        ...pageParameters(),
        user: username.optional(),
        address: address.optional(),
        node: z.string().max(64).optional(),
      }),
      body: noBody,
      answer: bansPage,
      handle: async ({ query }) => {
        const all = [...bans.list().map(viewBan), ...bans.listEdge().map(viewEdgeBan)].filter(
          (row) =>
            (query.user === undefined || row.user === query.user) &&
            (query.address === undefined || row.address === query.address) &&
            (query.node === undefined || row.node === query.node),
        );
        const { rows, next } = pageBy(all, ({ id }) => id, query);
        return { body: { bans: rows, next } };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/bans',
      role: 'helpdesk',
      summary: 'Ban an address or network, a user, or a user from there; ends what they have open',
      query: noQuery,
      body: z
        .strictObject({
          address: address.optional(),
          user: username.optional(),
          reason,
          for_seconds: z.number().int().min(banSecondsMin).max(banSecondsMax),
        })
        .refine((body) => body.address !== undefined || body.user !== undefined, {
          error: '`address`, `user` or both',
        }),
      answer: banRow,
      status: 201,
      handle: async ({ body, caller }) => {
        const ban = await bans.add({
          ...(body.address !== undefined && { address: body.address }),
          ...(body.user !== undefined && { user: body.user }),
          reason: body.reason,
          actor: caller.actor,
          forMs: body.for_seconds * 1000,
        });
        return { body: viewBan(ban), note: `ban ${ban.id}` };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/bans/{id}',
      role: 'helpdesk',
      summary: 'Take one ban back; one that a node made is lifted on all nodes',
      query: z.strictObject({ reason: defaultReason }),
      body: noBody,
      answer: noAnswer,
      subject: ({ params }) => userOf(bans.get(params['id'] ?? '')),
      handle: async ({ param, query, caller }) => {
        if (await bans.remove(param('id'), caller.actor, query.reason)) return { note: `ban ${param('id')}` };
        throw new SallyportError('not-found', 'There is no such ban', { hint: 'sallyport bans list' });
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/bans',
      role: 'helpdesk',
      summary: 'Lift every ban of an address, here and on all nodes, also those main does not know of',
      query: z.strictObject({ address, reason: defaultReason }),
      body: noBody,
      answer: lifted,
      // An address is nobody in particular.
      subject: () => undefined,
      handle: async ({ query, caller }) => ({
        body: { lifted: await bans.lift(query.address, caller.actor, query.reason) },
        note: `address ${query.address}`,
      }),
    }),
  ];
}

function userOf(ban: StoredBan | EdgeBan | undefined): string | undefined {
  return ban !== undefined && 'user' in ban ? ban.user : undefined;
}

type BanRow = z.output<typeof banRow>;

function viewBan(ban: StoredBan): BanRow {
  return {
    id: ban.id,
    made_by: 'admin',
    ...(ban.address !== undefined && { address: ban.address }),
    ...(ban.user !== undefined && { user: ban.user }),
    reason: ban.reason,
    created_by: ban.createdBy,
    created_at: new Date(ban.createdAtMs).toISOString(),
    until: new Date(ban.untilMs).toISOString(),
  };
}

function viewEdgeBan(ban: EdgeBan): BanRow {
  return {
    id: ban.id,
    made_by: 'edge',
    address: ban.address,
    node: ban.node,
    reason: ban.cause,
    created_by: ban.node,
    created_at: new Date(ban.createdAtMs).toISOString(),
    until: new Date(ban.untilMs).toISOString(),
  };
}
