import { plainName } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import type { StoredToken } from '#main-agent/state/kept-records.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { adminRoles, lowerRole } from '#main-agent/administrator.ts';
import {
  tokenLifeSecondsMin,
  tokenLifeSecondsMax,
  tokenLifeSecondsDefault,
} from '#main-agent/admin/access/limits.ts';
import { z } from 'zod';
import { identityAnswer, madeToken, type tokenRow, tokensPage } from './answers.ts';
import { reasonCharactersMax } from './limits.ts';
import { pageBy, pageQuery } from './http/page.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Given, type Route } from './http/route.ts';
import type { Tokens } from './access/tokens.ts';

/** `/v1/tokens`: who may call this API. The token itself is in one answer, once. */

export interface TokenPorts {
  readonly tokens: Pick<Tokens, 'list' | 'make' | 'revoke'>;
  readonly users: { find(username: string): EffectiveUser | undefined };
}

const owner = {
  user: z.string().min(1).max(255).optional(),
  service: plainName.optional(),
};

export function buildTokenRoutes({ tokens, users }: TokenPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/whoami',
      role: 'viewer',
      groupAdmin: 'scoped',
      summary: 'Who this call comes from, and what that may do',
      query: noQuery,
      body: noBody,
      answer: identityAnswer,
      handle: async ({ caller: { actor, role, groups } }) => ({ body: { actor, role, groups } }),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/tokens',
      role: 'admin',
      summary: 'Tokens, without what they are made of',
      query: pageQuery(),
      body: noBody,
      answer: tokensPage,
      handle: async ({ query }) => {
        const { rows, next } = pageBy(tokens.list(), ({ id }) => id, query);
        const effectiveRole = (token: StoredToken): string => {
          if (!('user' in token.owner)) return token.role;
          const person = users.find(token.owner.user)?.adminRole;
          return (person === undefined ? undefined : lowerRole(token.role, person)) ?? 'none';
        };
        return { body: { tokens: rows.map((token) => viewToken(token, effectiveRole(token))), next } };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/tokens',
      role: 'admin',
      summary: 'Make a token for a person (a user with an admin_role) or a service; it is shown once',
      query: noQuery,
      body: z
        .strictObject({
          ...owner,
          role: z.enum(adminRoles),
          groups: z.array(plainName).min(1).max(32).optional(),
          note: z.string().max(reasonCharactersMax).default(''),
          life_seconds: z
            .number()
            .int()
            .min(tokenLifeSecondsMin)
            .max(tokenLifeSecondsMax)
            .default(tokenLifeSecondsDefault),
        })
        .refine((body) => (body.user === undefined) !== (body.service === undefined), {
          error: 'either `user` or `service`',
        }),
      answer: madeToken,
      status: 201,
      handle: async ({ body, caller }) => {
        const { token, text } = await tokens.make({
          owner: body.user === undefined ? { service: body.service ?? '' } : { user: body.user },
          role: body.role,
          ...(body.groups !== undefined && { groups: body.groups }),
          note: body.note,
          lifeMs: body.life_seconds * 1000,
          createdBy: caller.actor,
        });
        const { id, expiresAtMs } = token;
        return {
          body: { token: text.expose(), id, expires_at: new Date(expiresAtMs).toISOString() },
          note: `token ${id}, ${ownerOf(token)}, ${token.role}`,
        };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/tokens/{id}',
      role: 'admin',
      summary: 'Revoke a token; its next call is refused',
      query: noQuery,
      body: noBody,
      answer: noAnswer,
      handle: async ({ param }) => {
        if (await tokens.revoke(param('id'))) return { note: `token ${param('id')}` };
        throw new SallyportError('not-found', 'There is no such token', { hint: 'sallyport tokens list' });
      },
    }),
  ];
}

function ownerOf({ owner: of }: StoredToken): string {
  return 'user' in of ? of.user : of.service;
}

function viewToken(token: StoredToken, effectiveRole: string): Given<z.output<typeof tokenRow>> {
  const iso = (ms: number): string => new Date(ms).toISOString();
  return {
    id: token.id,
    owner: ownerOf(token),
    kind: 'user' in token.owner ? 'user' : 'service',
    role: token.role,
    effective_role: effectiveRole,
    groups: token.groups,
    note: token.note,
    created_by: token.createdBy,
    created_at: iso(token.createdAtMs),
    expires_at: iso(token.expiresAtMs),
    used_at: token.usedAtMs === undefined ? undefined : iso(token.usedAtMs),
  };
}
