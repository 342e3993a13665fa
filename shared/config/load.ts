import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { checkYaml } from './check.ts';
import { newestOf, whyUnusable, type NamedFile, type PathContext } from './file-path.ts';
import { configError, type ConfigProblem } from './problem.ts';
import { digestFiles, type ReadConfig } from './reload.ts';

/** Reads a configuration file: schema first, then the files it names; every problem of both at once. */

export type Loaded<T> =
  | { readonly ok: true; readonly config: T; readonly document: unknown }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

type LoadFileOptions<T> = LoadOptions & { readonly namedFiles: (config: T) => readonly NamedFile[] };

/** What systemd handed over to the process, as `credentialsOf` finds it. */
export type LoadOptions = Omit<PathContext, 'folder'>;

export async function checkConfigFile<T>(
  file: string,
  schema: z.ZodType<T>,
  options: LoadFileOptions<T>,
): Promise<Loaded<T>> {
  let text: string;
  try {
    text = await readFile(newestOf(file, options), 'utf8');
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
  return problems.length > 0
    ? { ok: false, problems }
    : { ok: true, config: checked.value, document: checked.yaml.value };
}

/** For a process that may be told to read it again. Rejects as `requireLoaded`. */
export async function readConfigFile<T>(
  file: string,
  schema: z.ZodType<T>,
  options: LoadFileOptions<T>,
): Promise<ReadConfig<T>> {
  const loaded = await checkConfigFile(file, schema, options);
  const config = requireLoaded(loaded);
  return {
    config,
    document: loaded.ok ? loaded.document : undefined,
    digests: await digestFiles(options.namedFiles(config)),
    parse: (document) => schema.safeParse(document ?? {}).data,
  };
}

/** The config, or one `config` error whose detail lists all problems. */
export function requireLoaded<T>(loaded: Loaded<T>): T {
  if (!loaded.ok) throw configError(loaded.problems);
  return loaded.config;
}
