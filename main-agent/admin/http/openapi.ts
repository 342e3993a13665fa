import { version } from '#shared/version.ts';
import { z } from 'zod';
import { adminProblemSchema } from './problem.ts';
import { noAnswer, noBody, statusOf, type Route } from './route.ts';

/** OpenAPI 3.1 from the very table that serves and validates, so that it can't say anything else. */

export function describeRoutes(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const operations = (paths[route.pattern] ??= {});
    operations[route.method.toLowerCase()] = describeRoute(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sallyport admin API',
      version,
      description:
        'Roles: viewer reads; helpdesk also resets, unlocks, bans and ends sessions, of its groups if it has some; ' +
        'group-admin has the users of some groups (`x-group-admin` says where: `scoped` to them, or one of them); ' +
        'admin does everything. Errors are problems (RFC 9457). Lists come in pages: `next` is the `cursor` of the next.',
    },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description:
            'Made with `sallyport tokens add`. On the unix socket not needed unless `socket_tokens: required`.',
        },
      },
      schemas: { Problem: toJsonSchema(adminProblemSchema, 'output') },
    },
  };
}

function describeRoute(route: Route): object {
  const names = [...route.pattern.matchAll(/\{([a-z_]+)\}/g)].map(([, name]) => name);
  return {
    operationId: `${route.method.toLowerCase()}${route.pattern.replace(/[/{}-]+(\w?)/g, (_all, letter: string) => letter.toUpperCase())}`,
    summary: route.summary,
    'x-role': route.role,
    ...(route.groupAdmin !== undefined && { 'x-group-admin': route.groupAdmin }),
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...describeQuery(route.query),
      ...(route.etag === undefined
        ? []
        : [{ name: 'If-Match', in: 'header', required: true, schema: { type: 'string' } }]),
    ],
    ...(route.body !== noBody && {
      requestBody: {
        required: !route.body.safeParse(undefined).success,
        content: { 'application/json': { schema: toJsonSchema(route.body, 'input') } },
      },
    }),
    responses: {
      [statusOf(route)]: {
        description: 'Done',
        ...(route.answer !== noAnswer && {
          content: { 'application/json': { schema: toJsonSchema(route.answer, 'output') } },
        }),
      },
      '401': problem('No token, or one that does not work'),
      '403': problem(`Needs ${route.role}, or a user of your groups`),
      ...(route.etag !== undefined && {
        '412': problem('It was changed since it was read'),
        '428': problem('If-Match is needed'),
      }),
      default: problem('Anything else that went wrong'),
    },
  };
}

function problem(description: string): object {
  return {
    description,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
}

function describeQuery(query: z.ZodType): object[] {
  const schema = toJsonSchema(query, 'input');
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    in: 'query',
    required: schema.required?.includes(name) === true,
    schema: property,
  }));
}

export function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): z.core.JSONSchema.BaseSchema {
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return json;
}
