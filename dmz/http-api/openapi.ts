import { z } from 'zod';
import { problemSchema } from '#shared/problem.ts';
import { calls, type Call } from './calls.ts';

/** OpenAPI 3.1 from the table of calls. */
export function describeApi(): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const call of calls) (paths[call.path] ??= {})[call.method.toLowerCase()] = describeCall(call);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sallyport',
      // Of the API. Strangers read this, and which release runs here is none of their business.
      version: '1',
      description:
        'Sign in with `POST /api/login` and go on as `state` says; the session is a cookie. Errors are problems (RFC 9457) ' +
        'whose `code` and `reason` are for programs. Times are RFC 3339 in UTC. Requests of other sites are refused.',
    },
    security: [{ session: [] }],
    paths,
    components: {
      securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: '__Host-sallyport' } },
      schemas: { Problem: toJsonSchema(problemSchema, 'output') },
    },
  };
}

function describeCall(call: Call): object {
  const { method, path, access, parameters = [], body, bytes, answers, refusals = {} } = call;
  const names = [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name);
  return {
    operationId: `${method.toLowerCase()}${path.replace(/^\/api|\.json$/g, '').replace(/[/{}-]+(\w?)/g, (_all, letter: string) => letter.toUpperCase())}`,
    summary: call.summary,
    'x-session': access,
    ...(access === 'public' && { security: [] }),
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...parameters.map(({ name, in: place, means, schema, required = false }) => ({
        name,
        in: place,
        description: means,
        required,
        schema: toJsonSchema(schema, 'input'),
      })),
    ],
    ...((body !== undefined || bytes !== undefined) && {
      requestBody: {
        required: body?.safeParse(undefined).success === false,
        content: describeContent(body, bytes, 'input'),
      },
    }),
    responses: {
      ...Object.fromEntries(
        answers.map(({ status, means, body: answered, bytes: sent, headers = {} }) => [
          status,
          {
            description: means,
            ...(Object.keys(headers).length > 0 && {
              headers: Object.fromEntries(
                Object.entries(headers).map(([name, said]) => [
                  name,
                  { description: said, schema: { type: 'string' } },
                ]),
              ),
            }),
            ...((answered !== undefined || sent !== undefined) && {
              content: describeContent(answered, sent, 'output'),
            }),
          },
        ]),
      ),
      ...Object.fromEntries(
        Object.entries({ ...accessRefusals[access], ...refusals }).map(([status, said]) => [
          status,
          describeProblem(said),
        ]),
      ),
      default: describeProblem('Anything else that went wrong.'),
    },
  };
}

const accessRefusals: Readonly<Record<Call['access'], Readonly<Record<number, string>>>> = {
  public: {},
  half: { 401: 'No sign-in is under way.' },
  setup: { 401: 'Not signed in.' },
  full: { 401: 'Not signed in.', 403: 'setup-required: set up the second factor first. Or not allowed.' },
};

function describeProblem(description: string): object {
  return {
    description,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
}

function describeContent(
  json: z.ZodType | undefined,
  bytes: string | undefined,
  io: 'input' | 'output',
): object {
  return {
    ...(json !== undefined && { 'application/json': { schema: toJsonSchema(json, io) } }),
    ...(bytes !== undefined && { [bytes]: {} }),
  };
}

function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): z.core.JSONSchema.BaseSchema {
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, {
    io,
    // `format` says it; the pattern beside it is 300 characters of leap years.
    override: ({ jsonSchema }) => {
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
    },
  });
  return json;
}
