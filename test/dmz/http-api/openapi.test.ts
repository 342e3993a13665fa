import { describe, expect, it } from 'vitest';
import { calls } from '#dmz/http-api/calls.ts';
import { describeApi } from '#dmz/http-api/openapi.ts';
import { findOpenApiFaults } from '#test/harness/openapi-structure.ts';

interface Document {
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its structure is what is tested
const document = JSON.parse(JSON.stringify(describeApi())) as Document;

describe('/api/openapi.json', () => {
  it('has the structure of an OpenAPI 3.1 document', () => {
    expect(findOpenApiFaults(document)).toEqual([]);
  });

  it('describes exactly the calls of the table', () => {
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.toSorted()).toEqual(calls.map(({ method, path }) => `${method} ${path}`).toSorted());
  });

  it('tells a stranger nothing of the release that runs here', () => {
    expect(document.info.version).toBe('1');
  });

  it('a document that is broken is found out', () => {
    const { '/api/login': login, ...rest } = document.paths;
    const without = (key: string): object => ({
      ...document,
      paths: { ...rest, '/api/login': { post: { ...(login?.['post'] as object), [key]: undefined } } },
    });
    expect(findOpenApiFaults({ ...document, openapi: '3.0.3' })).not.toEqual([]);
    expect(findOpenApiFaults(without('responses'))).not.toEqual([]);
    expect(findOpenApiFaults({ ...document, paths: { ...document.paths, nowhere: {} } })).not.toEqual([]);
    const twice = { ...document.paths, '/api/again': login };
    expect(findOpenApiFaults({ ...document, paths: twice })).toEqual(['two operations are called postLogin']);
    expect(findOpenApiFaults({ ...document, components: {} })).toContain(
      'nothing is at #/components/schemas/Problem',
    );
    const nameless = {
      ...document.paths,
      '/api/x/{id}': { get: { operationId: 'x', responses: { default: { description: 'x' } } } },
    };
    expect(findOpenApiFaults({ ...document, paths: nameless })).toEqual([
      '/api/x/{id} get: {id} is no parameter',
    ]);
  });
});
