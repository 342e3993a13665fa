import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import { startPlayedMain, type PlayedMain } from '#test/main-agent/admin/played-main.ts';

/** What the commands call, read from their source: `call('GET', '/v1/…')` and `readPages(context, '/v1/…')`. */
const calls =
  /\bcall\(\s*'([A-Z]+)',\s*(?:'([^']+)'|`([^`]+)`)|\breadPages\(\s*context,\s*(?:'([^']+)'|`([^`]+)`)/g;

function listCalls(): Set<string> {
  const found = new Set<string>();
  for (const file of readdirSync('main-agent/cli')) {
    const source = readFileSync(`main-agent/cli/${file}`, 'utf8');
    for (const [, method = 'GET', plain, template, pages, pagesOf] of source.matchAll(calls)) {
      const path = (plain ?? template ?? pages ?? pagesOf ?? '').replaceAll(/\$\{[^}]*\}/g, '{}');
      found.add(`${method} ${path}`);
    }
  }
  return found;
}

let main: PlayedMain;
beforeAll(async () => {
  main = await startPlayedMain();
});
afterAll(() => main.close());

it('every route of the admin API has a command that calls it', () => {
  const called = listCalls();
  const missing = buildAdminRoutes(main.ports)
    .map(({ method, pattern }) => `${method} ${pattern}`)
    .filter((route) => !called.has(route.replaceAll(/\{[^}]*\}/g, '{}')));
  expect(missing, 'give each a command in main-agent/cli, or take the route away').toEqual([]);
});

it('no command calls a route that is not there', () => {
  const served = new Set(
    buildAdminRoutes(main.ports).map(
      ({ method, pattern }) => `${method} ${pattern.replaceAll(/\{[^}]*\}/g, '{}')}`,
    ),
  );
  expect([...listCalls()].filter((call) => !served.has(call))).toEqual([]);
});
