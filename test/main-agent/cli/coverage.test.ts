import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
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

it('a line that names one command finds all there is of it', async () => {
  async function help(...args: readonly string[]): Promise<string> {
    const terminal = buildPlayedTerminal();
    await runCommand(args, { terminal, folder: '.', nowMs: 0, actor: 'eva' });
    return terminal.printed();
  }
  const whole = await help('--help');
  const words = [...whole.matchAll(/^ {2}([a-z][a-z-]+) /gm)].map(([, word = '']) => word);
  expect(words).toEqual(expect.arrayContaining(['users', 'nodes', 'status', 'main', 'completion']));
  for (const word of words) {
    const among = await help(word, '--help', ...words);
    expect(await help(word, '--help'), 'its room is in the table of run.ts under that name').toBe(among);
  }
});
