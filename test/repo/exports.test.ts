import { parseSync } from 'vite';
import { describe, expect, it } from 'vitest';
import { listSources, readText, resolveImport } from './source-tree.ts';

/** All names, which is what an import of a whole module may use. */
const everything = '*';

interface Names {
  /** Names that a file offers. */
  readonly exported: readonly string[];
  /** `file name`, of other files. */
  readonly imported: readonly string[];
}

function readNames(file: string): Names {
  const source = readText(file);
  const { staticImports, staticExports, dynamicImports } = parseSync(file, source).module;
  const named = [
    ...staticImports.flatMap(({ moduleRequest, entries }) =>
      entries.map(({ importName }) => ({ from: moduleRequest.value, importName })),
    ),
    ...staticExports
      .flatMap(({ entries }) => entries)
      .flatMap(({ moduleRequest, importName }) =>
        moduleRequest === null ? [] : [{ from: moduleRequest.value, importName }],
      ),
  ].map(({ from, importName }) => {
    const name = importName.kind === 'Default' ? 'default' : (importName.name ?? everything);
    return `${resolveImport(file, from)} ${name}`;
  });
  const whole = dynamicImports.map(({ moduleRequest: { start, end } }) => {
    const specifier = source.slice(start, end).replaceAll(/['"`]/g, '');
    return `${resolveImport(file, specifier)} ${everything}`;
  });
  return {
    exported: staticExports
      .flatMap(({ entries }) => entries)
      // The default is what a tool asks its configuration for; nothing else here has one.
      .flatMap(({ exportName }) => exportName.name ?? []),
    imported: [...named, ...whole],
  };
}

describe('exports', () => {
  it('are what another file imports', () => {
    const product = listSources('dmz', 'main-agent', 'shared').filter((file) => !file.endsWith('.d.ts'));
    const others = listSources('scripts', 'test');
    const names = new Map([...product, ...others].map((file) => [file, readNames(file)]));
    const imported = new Set([...names.values()].flatMap((one) => one.imported));
    expect(imported.size).toBeGreaterThan(1000);
    const wrong = product
      .filter((file) => !imported.has(`${file} ${everything}`))
      .flatMap((file) =>
        (names.get(file)?.exported ?? [])
          .filter((name) => !imported.has(`${file} ${name}`))
          .map((name) => `${file}: ${name}`),
      );
    expect(
      wrong,
      'an export promises that somebody outside relies on it: take the word `export` away, or what nobody uses at all',
    ).toEqual([]);
  });
});
