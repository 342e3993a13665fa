import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { checkYaml } from './check.ts';
import { whyUnusable, type NamedFile } from './file-path.ts';
import { configError, type ConfigProblem } from './problem.ts';

/** Reads a configuration file: schema first, then the files it names; every problem of both at once. */

export type Loaded<T> =
  | { readonly ok: true; readonly config: T }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export async function checkConfigFile<T>(
  file: string,
  schema: z.ZodType<T>,
  options: { readonly namedFiles: (config: T) => readonly NamedFile[]; readonly credentials?: string },
): Promise<Loaded<T>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const message = `the configuration file can not be read (${why})`;
    return { ok: false, problems: [{ file, line: 1, column: 1, message, hint: 'name it with --config' }] };
  }
  const checked = checkYaml(text, file, schema);
  if (!checked.ok) return { ok: false, problems: checked.problems };
  const problems: ConfigProblem[] = [];
  for (const named of options.namedFiles(checked.value)) {
    const why = await whyUnusable(named, options.credentials);
    if (why === undefined) continue;
    const message = `${named.at.join('.')}: ${why.message}`;
    problems.push({ file, ...checked.yaml.locate(named.at), message, hint: why.hint });
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config: checked.value };
}

/** The config, or one `config` error whose detail lists all problems. */
export function requireLoaded<T>(loaded: Loaded<T>): T {
  if (!loaded.ok) throw configError(loaded.problems);
  return loaded.config;
}
