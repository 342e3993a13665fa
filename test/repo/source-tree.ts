import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository as the rules see it: files git tracks or would track, and who imports whom. */

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

export function listFiles(): string[] {
  return execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
    .split('\n')
    .filter((file) => file !== '' && existsSync(join(root, file)));
}

export function readText(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

export function listSources(...folders: string[]): string[] {
  return listFiles().filter(
    (file) => /\.(ts|tsx)$/.test(file) && folders.some((folder) => file.startsWith(`${folder}/`)),
  );
}

export interface Import {
  readonly from: string;
  /** A path in the repository, or the name of a package (`node:fs`, `ws`, `@scope/name`). */
  readonly target: string;
  readonly isPackage: boolean;
}

/** The file that is meant, as a path in the repository; undefined: a package. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1);
  return specifier.startsWith('.') ? normalize(join(dirname(from), specifier)) : undefined;
}

const specifierPattern =
  /(?:^|[\n;}])\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

export function importsOf(file: string): Import[] {
  const imports: Import[] = [];
  for (const match of readText(file).matchAll(specifierPattern)) {
    const specifier = match[1] ?? match[2] ?? '';
    const own = resolveImport(file, specifier);
    if (own !== undefined) imports.push({ from: file, target: own, isPackage: false });
    else {
      const parts = specifier.split('/');
      const name = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
      imports.push({ from: file, target: specifier.startsWith('node:') ? specifier : name, isPackage: true });
    }
  }
  return imports;
}
