import { describe, expect, it } from 'vitest';
import { findCopies } from './copies.ts';
import { listSources, readText } from './source-tree.ts';

/** A shorter one is a turn of phrase; joining two costs more than it saves. */
const linesMax = 8;

/** Lists that are written as steps. */
const lists: Readonly<Record<string, string>> = {
  'main-agent/state/sqlite/queries.ts': 'prepared statements, one for each query',
};

function tell(sources: ReadonlyMap<string, string>): string[] {
  return findCopies(sources, linesMax).map(
    ({ lines, places }) =>
      `${lines} lines: ${places.map(({ file, line, lastLine }) => `${file}:${line}-${lastLine}`).join(' and ')}`,
  );
}

describe('copies', () => {
  it('of what the product does there are none: one piece of code serves where the logic is the same', () => {
    const files = listSources('dmz', 'main-agent', 'shared').filter((file) => lists[file] === undefined);
    expect(tell(new Map(files.map((file) => [file, readText(file)])))).toEqual([]);
  });

  const steps = (lines: number, name: string) =>
    Array.from(
      { length: lines },
      (_, n) => `  const ${name}${n} = ${name}.read(${n}, '${name}') ?? fallback;\n`,
    );
  const body = (lines: number, name: string) => `function f(${name}) {\n${steps(lines, name).join('')}}\n`;

  it('are found under other names, with other texts and numbers, and with comments between', () => {
    const other = body(9, 'b').replace(';\n', '; // here\n\n/* and\nthere */\n').replace('9', '1_000');
    expect(
      tell(
        new Map([
          ['one.ts', `// above\n${body(8, 'a')}`],
          ['two.ts', other],
        ]),
      ),
    ).toEqual([expect.stringMatching(/^9 lines: one\.ts:2-10 and two\.ts:1-12$/)]);
  });

  it('are found in one file too', () => {
    expect(tell(new Map([['one.ts', `${body(12, 'a')}const x = 1;\n${body(12, 'b')}`]]))).toHaveLength(1);
  });

  it('are no runs that are as short as the bound, no other steps, and no lists', () => {
    const list = (name: string) =>
      `const ${name} = {\n${"  key: 'value',\n  other: [1, 2, 3],\n".repeat(20)}};\n`;
    const inside = (name: string) => `function g() {\n  ${list(name)}  return ${name};\n}\n`;
    const texts = [
      [body(5, 'a'), body(5, 'b')],
      [body(12, 'a'), body(12, 'b').replaceAll('??', '||')],
      [list('a'), list('b')],
      [inside('a'), inside('b')],
    ];
    for (const [one = '', two = ''] of texts)
      expect(
        tell(
          new Map([
            ['one.ts', one],
            ['two.ts', two],
          ]),
        ),
      ).toEqual([]);
  });
});
