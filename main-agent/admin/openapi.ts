import { version } from '#shared/version.ts';
import { z } from 'zod';
import { noBody, type Route } from './route.ts';

/** OpenAPI 3.1 from the very table that serves and validates, so that it can't say anything else. */
export function describeRoutes(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const operations = (paths[route.pattern] ??= {});
    operations[route.method.toLowerCase()] = describeRoute(route);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Sallyport admin API', version },
    paths,
  };
}

function describeRoute(route: Route): object {
  const names = [...route.pattern.matchAll(/\{([a-z_]+)\}/g)].map(([, name]) => name);
  return {
    summary: route.summary,
    'x-role': route.role,
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...describeQuery(route.query),
    ],
    ...(route.body !== noBody && {
      requestBody: { required: true, content: { 'application/json': { schema: toJsonSchema(route.body) } } },
    }),
    responses: {
      '2XX': { description: 'Done' },
      default: { description: 'A problem', content: { 'application/problem+json': {} } },
    },
  };
}

function describeQuery(query: z.ZodType): object[] {
  const schema = toJsonSchema(query);
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    in: 'query',
    required: schema.required?.includes(name) === true,
    schema: property,
  }));
}

function toJsonSchema(schema: z.ZodType): z.core.JSONSchema.BaseSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
}
