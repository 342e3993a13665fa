import { parseSync } from 'vite';
import { describe, expect, it } from 'vitest';
import { listSources, readText } from './source-tree.ts';

/** As much as is read in one sitting, with what is around it in mind. */
const linesMax = 120;

/** One statement for each row: read by the row, and whatever cuts them cuts them anywhere. */
const tables: ReadonlySet<string> = new Set([
  'dmz/cli/run.ts',
  'dmz/sftp/plain-requests.ts',
  'main-agent/admin/user-routes.ts',
  'main-agent/cli/user-commands.ts',
  'main-agent/config.ts',
  'main-agent/state/sqlite/changes.ts',
  'main-agent/state/sqlite/queries.ts',
]);

describe('functions', () => {
  const long = listSources('dmz', 'main-agent', 'shared').filter((file) => longestFunction(file) > linesMax);

  it(`have at most ${linesMax} lines, outside of tables and schemas`, () => {
    const wrong = long.filter((file) => !tables.has(file));
    expect(wrong, 'a function is read as one piece: give its parts names').toEqual([]);
  });

  it.each([...tables])('%s has one that is longer', (file) => {
    expect(long, 'take it off the list').toContain(file);
  });

  it('are measured with their first and last line', () => {
    expect(longestIn('x.ts', 'const a = 1;\nfunction b() {\n  return () => {\n  };\n}\n')).toBe(4);
  });
});

function longestFunction(file: string): number {
  return longestIn(file, readText(file));
}

function longestIn(file: string, text: string): number {
  let longest = 0;
  const look = (node: unknown): void => {
    if (Array.isArray(node)) for (const one of node) look(one);
    if (typeof node !== 'object' || node === null || Array.isArray(node)) return;
    const { type, start, end } = node as { type?: unknown; start?: unknown; end?: unknown };
    if (
      typeof type === 'string' &&
      /Function/.test(type) &&
      typeof start === 'number' &&
      typeof end === 'number'
    )
      longest = Math.max(longest, text.slice(start, end).split('\n').length);
    for (const child of Object.values(node)) look(child);
  };
  look(parseSync(file, text).program);
  return longest;
}
