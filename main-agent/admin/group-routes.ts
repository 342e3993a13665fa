import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';
import type { GroupDirectory, UserChange } from './ports.ts';
import { defineRoute, noBody, noQuery, type Answer, type Route, type UncheckedCall } from './route.ts';

/** `/v1/groups`: the templates that users inherit from; `_default` is the one that everybody is in. */

const fields = z.record(z.string().max(64), z.json());
const dottedKey = z
  .string()
  .max(128)
  .regex(/^\+?[a-z_]+(\.\+?[a-z_]+)*$/, { error: 'keys joined by dots, such as two_factor.required_on' });

export function buildGroupRoutes({ groups }: { readonly groups: GroupDirectory }): readonly Route[] {
  const answerGroup = async (name: string, status?: number): Promise<Answer> => {
    const { etag, ...body } = await groups.show(name);
    return { ...(status !== undefined && { status }), body, etag };
  };
  const etagOf = async ({ params }: UncheckedCall): Promise<string | undefined> =>
    (await groups.show(params['group'] ?? '')).etag;

  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/groups',
      role: 'viewer',
      summary: 'All groups, with how many users are in each',
      query: noQuery,
      body: noBody,
      handle: async () => ({
        body: {
          groups: groups.list().map(({ name, groups: above, users, isBroken }) => ({
            name,
            groups: above,
            users,
            broken: isBroken,
          })),
        },
      }),
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/groups',
      role: 'admin',
      summary: 'Add a group; `fields` as they would stand in the file',
      query: noQuery,
      body: z.strictObject({ name: z.string().min(1).max(255), fields: fields.default({}) }),
      handle: async ({ body }) => {
        await groups.create(body.name, body.fields);
        return { ...(await answerGroup(body.name, 201)), note: body.name };
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/groups/{group}',
      role: 'viewer',
      summary: 'One group: the keys of its file, and who is in it',
      query: noQuery,
      body: noBody,
      handle: async ({ param }) => answerGroup(param('group')),
    }),
    defineRoute({
      method: 'PATCH',
      pattern: '/v1/groups/{group}',
      role: 'admin',
      etag: etagOf,
      summary: 'Change the group’s file, key by dotted key',
      query: noQuery,
      body: z.strictObject({
        set: z.record(dottedKey, z.json()).default({}),
        unset: z.array(dottedKey).max(64).default([]),
      }),
      handle: async ({ param, body, ifMatch }) => {
        const changes: UserChange[] = [
          ...Object.entries(body.set).map(([key, value]) => ({ path: key.split('.'), value })),
          ...body.unset.map((key) => ({ path: key.split('.'), value: undefined })),
        ];
        if (changes.length === 0) {
          throw new SallyportError('bad-request', 'Nothing to change', {
            hint: 'name a key in `set` or `unset`',
          });
        }
        await groups.change(param('group'), changes, ifMatch);
        const what = changes.map(
          ({ path, value }) => `${value === undefined ? 'unset' : 'set'} ${path.join('.')}`,
        );
        return { ...(await answerGroup(param('group'))), note: `${param('group')}: ${what.join(', ')}` };
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
      handle: async ({ param, ifMatch }) => {
        await groups.remove(param('group'), ifMatch);
        return { note: param('group') };
      },
    }),
  ];
}
