import { z } from 'zod';

/**
 * What makes a document OpenAPI 3.1.0 (spec.openapis.org/oas/v3.1.0), as far as our documents go: only members that the
 * specification names, those that must be there, references that lead somewhere, operations with names of their own.
 */

/** Draft 2020-12, taken as it comes: zod wrote it. */
const jsonSchema = z.looseObject({});
const mediaTypes = z.record(
  z.string().regex(/^[\w*.+-]+\/[\w*.+-]+$/),
  z.strictObject({ schema: jsonSchema.optional() }),
);
const parameter = z.strictObject({
  name: z.string().min(1),
  in: z.enum(['query', 'header', 'path', 'cookie']),
  description: z.string().optional(),
  required: z.boolean().optional(),
  schema: jsonSchema,
});
const response = z.strictObject({
  description: z.string().min(1),
  headers: z.record(z.string(), z.strictObject({ description: z.string(), schema: jsonSchema })).optional(),
  content: mediaTypes.optional(),
});
const security = z.array(z.record(z.string(), z.array(z.string())));
const operation = z.object({
  operationId: z.string().regex(/^[A-Za-z][A-Za-z0-9]*$/),
  summary: z.string().optional(),
  security: security.optional(),
  parameters: z.array(parameter).optional(),
  requestBody: z.strictObject({ required: z.boolean().optional(), content: mediaTypes }).optional(),
  responses: z
    .record(z.string().regex(/^([1-5]\d\d|default)$/), response)
    .refine((all) => Object.keys(all).length > 0, 'no response'),
});
const isExtension = (name: string): boolean => name.startsWith('x-');
const pathItem = z.partialRecord(
  z.enum(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']),
  operation.catchall(z.unknown()).refine((one) => {
    const unknown = Object.keys(one).filter((name) => !(name in operation.shape) && !isExtension(name));
    return unknown.length === 0;
  }, 'a member that no operation has'),
);
const documentSchema = z.strictObject({
  openapi: z.literal('3.1.0'),
  info: z.strictObject({ title: z.string(), version: z.string(), description: z.string().optional() }),
  security: security.optional(),
  paths: z.record(z.string().regex(/^\//), pathItem),
  components: z.strictObject({
    schemas: z.record(z.string(), jsonSchema).optional(),
    securitySchemes: z.record(z.string(), z.looseObject({ type: z.enum(['apiKey', 'http']) })).optional(),
  }),
});

/** In words; empty: it is well. */
export function findOpenApiFaults(document: unknown): string[] {
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
