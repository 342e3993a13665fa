import type { z } from 'zod';
import { nearestWord } from './nearest-word.ts';
import type { ConfigProblem } from './problem.ts';
import { keysAt } from './schema-keys.ts';
import { parseYaml, type YamlText } from './yaml-text.ts';

/**
 * Compares a YAML text with its schema and says all that is wrong at once: where, what stands there, what was expected.
 */

type Checked<T> =
  | { readonly ok: true; readonly value: T; readonly yaml: YamlText }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[]; readonly yaml: YamlText };

export function checkYaml<T>(text: string, file: string, schema: z.ZodType<T>): Checked<T> {
  return checkValue(parseYaml(text, file), schema);
}

export function checkValue<T>(yaml: YamlText, schema: z.ZodType<T>): Checked<T> {
  const parsed = schema.safeParse(yaml.value ?? {}, { reportInput: true });
  if (parsed.success && yaml.problems.length === 0) return { ok: true, value: parsed.data, yaml };
  // After a syntax error the rest of the text may mean anything; a duplicate key leaves the others readable.
  const readable = yaml.problems.every(({ message }) => !message.startsWith('not '));
  const found = parsed.success || !readable ? [] : withoutConsequences(parsed.error.issues);
  const problems = found.flatMap((issue) => describeIssue(yaml, schema, issue, []));
  return { ok: false, problems: [...yaml.problems, ...problems].toSorted(byPlace), yaml };
}

function byPlace(a: ConfigProblem, b: ConfigProblem): number {
  return a.line - b.line || a.column - b.column;
}

type Issue = z.core.$ZodIssue;

/** A text where a list belongs is no list that is too long: the length is asked of whatever has one. */
function withoutConsequences(issues: readonly Issue[]): readonly Issue[] {
  const misfits = new Set(
    issues.filter(({ code }) => code === 'invalid_type').map(({ path }) => path.join('\0')),
  );
  return issues.filter(({ code, path }) => code === 'invalid_type' || !misfits.has(path.join('\0')));
}

function describeIssue(
  yaml: YamlText,
  schema: z.ZodType,
  issue: Issue,
  prefix: readonly PropertyKey[],
): ConfigProblem[] {
  const path = [...prefix, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path);
    return issue.keys.map((key) => ({
      file: yaml.file,
      ...yaml.locateKey([...path, key]),
      message: `${printPath([...path, key])}: unknown key`,
      ...hintOf(suggest(key, known)),
    }));
  }
  if (issue.code === 'invalid_union') {
    const inner = fittingBranch(issue.errors);
    if (inner !== undefined) return inner.flatMap((one) => describeIssue(yaml, schema, one, path));
  }
  const missing = issue.input === undefined && issue.code !== 'custom';
  const place = missing ? yaml.locate(path.slice(0, -1)) : yaml.locate(path);
  const shown = missing ? 'is missing' : printValue(path, issue.input);
  const options = issue.code === 'invalid_value' ? issue.values.map(String) : [];
  return [
    {
      file: yaml.file,
      ...place,
      message: `${printPath(path)}: ${shown}; expected ${expectation(issue)}`,
      ...hintOf(typeof issue.input === 'string' ? didYouMean(issue.input, options) : undefined),
    },
  ];
}

/** The branch the writer meant: the one whose outer type fits, so that its own mistakes are told. */
function fittingBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const fits = (issues: readonly Issue[]) =>
    issues.every((issue) => issue.path.length > 0 || issue.code === 'unrecognized_keys');
  return branches.filter(fits).toSorted((a, b) => a.length - b.length)[0];
}

function expectation(issue: Issue): string {
  if (issue.code === 'invalid_type') {
    return issue.message.startsWith('Invalid input') ? typeName(issue.expected) : issue.message;
  }
  if (issue.code === 'invalid_value') {
    const words = issue.values.map((value) => `\`${String(value)}\``);
    return words.length === 1 ? words.join('') : `one of ${words.join(', ')}`;
  }
  if (issue.code === 'too_small') return `at least ${String(issue.minimum)}${unit(issue.origin)}`;
  if (issue.code === 'too_big') return `at most ${String(issue.maximum)}${unit(issue.origin)}`;
  if (issue.code === 'invalid_union' && issue.message.startsWith('Invalid input')) {
    const branches = issue.errors.flatMap((branch) => branch.slice(0, 1).map(expectation));
    return [...new Set(branches)].join(', or ');
  }
  return issue.message;
}

function typeName(type: string): string {
  const names: Record<string, string> = {
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    object: 'a map (key: value)',
    record: 'a map (key: value)',
    array: 'a list',
  };
  return names[type] ?? type;
}

function unit(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' ? ' entries' : '';
}

function printPath(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return text === '' ? 'the file' : text.replace(/^\./, '');
}

/** What stands there, short; values of keys that sound secret are not shown (S-11). */
function printValue(path: readonly PropertyKey[], value: unknown): string {
  if (path.some((key) => /password|secret|token/i.test(String(key)))) return 'this value does not fit';
  if (value !== null && typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a map';
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}…"` : text;
}

function suggest(key: string, known: readonly string[]): string | undefined {
  return didYouMean(key, known) ?? (known.length > 0 ? `known here: ${known.join(', ')}` : undefined);
}

function didYouMean(word: string, known: readonly string[]): string | undefined {
  const near = nearestWord(word, known);
  return near === undefined ? undefined : `did you mean \`${near}\`?`;
}

function hintOf(hint: string | undefined): { hint?: string } {
  return hint === undefined ? {} : { hint };
}
