import type { GroupDirectory } from '#main-agent/users/group-writes.ts';
import { z } from 'zod';
import { pageBy, pageQuery } from './http/page.ts';
import { groupAnswer, groupsPage } from './user-answers.ts';
import { describeChanges, keyChanges, keysToSet, requireChanges } from './values.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route, type UncheckedCall } from './http/route.ts';

/** `/v1/groups`: the templates that users inherit from; `_default` is the one that everybody is in. */

export function buildGroupRoutes({ groups }: { readonly groups: GroupDirectory }): readonly Route[] {
  const answerGroup = async (name: string) => {
    const { etag, ...body } = await groups.show(name);
    return { body, etag };
  };
  const etagOf = async ({ params }: UncheckedCall): Promise<string | undefined> =>
    (await groups.show(params['group'] ?? '')).etag;

  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/groups',
      role: 'viewer',
      summary: 'All groups by name, with how many users are in each; in pages',
      query: pageQuery(),
      body: noBody,
      answer: groupsPage,
      handle: async ({ query }) => {
        const { rows, next } = pageBy(groups.list(), ({ name }) => name, query);
        return {
          body: {
            groups: rows.map(({ isBroken, ...group }) => ({ ...group, broken: isBroken })),
            next,
          },
        };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/groups',
      role: 'admin',
      summary: 'Add a group; `set` as in a change of one that is there',
      query: noQuery,
      body: z.strictObject({ name: z.string().min(1).max(255), set: keysToSet }),
      answer: groupAnswer,
      status: 201,
      handle: async ({ body }) => {
        await groups.create(body.name, body.set);
        return { ...(await answerGroup(body.name)), note: body.name };
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/groups/{group}',
      role: 'viewer',
      summary: 'One group: the keys of its file, and who is in it',
      query: noQuery,
      body: noBody,
      answer: groupAnswer,
      handle: async ({ param }) => answerGroup(param('group')),
    }),
    defineRoute({
      method: 'PATCH',
      pattern: '/v1/groups/{group}',
      role: 'admin',
      etag: etagOf,
      summary: 'Change the group’s file, key by dotted key',
      query: noQuery,
      body: keyChanges,
      answer: groupAnswer,
      handle: async ({ param, body, ifMatch }) => {
        const changes = requireChanges(body);
        await groups.change(param('group'), changes, ifMatch);
        const note = `${param('group')}: ${describeChanges(changes)}`;
        return { ...(await answerGroup(param('group'))), note };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/groups/{group}',
      role: 'admin',
      etag: etagOf,
      summary: 'Remove a group that nobody is in',
      query: noQuery,
      body: noBody,
      answer: noAnswer,
      handle: async ({ param, ifMatch }) => {
        await groups.remove(param('group'), ifMatch);
        return { note: param('group') };
      },
    }),
  ];
}
