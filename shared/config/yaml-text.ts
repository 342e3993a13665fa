import {
  isAlias,
  isCollection,
  isMap,
  isNode,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
} from 'yaml';
import { readPlainYaml } from './plain-yaml.ts';
import type { ConfigProblem } from './problem.ts';

/**
 * Reads YAML 1.2 (core schema) and remembers where everything stood.
 *
 * Trust: files of admins; broken, hostile and half-written ones must end in problems, never in a crash or in a value
 * that looks right. YAML 1.2 has no `yes`/`no`, no times and no sexagesimals, so `07:00` is text and `on` is a word.
 */

/** No configuration or user file of ours comes near; a larger one is a mistake, and parsing is not linear in memory. */
export const yamlBytesMax = 1024 * 1024;
/** Expansions of anchors: enough for honest reuse, far too few for a "billion laughs" file. */
const aliasesMax = 100;

export interface YamlText {
  readonly file: string;
  readonly document: Document;
  /** The plain value; undefined where the text could not be read at all. */
  readonly value: unknown;
  /** Syntax errors and duplicate keys. */
  readonly problems: readonly ConfigProblem[];
  /** Line and column of a key's value, or of the nearest thing above it that exists. */
  locate(path: readonly PropertyKey[]): { readonly line: number; readonly column: number };
  /** Line and column of a key itself. */
  locateKey(path: readonly PropertyKey[]): { readonly line: number; readonly column: number };
}

/** A plain text gets its value from the plain reader, and a document only when a place in it is asked for. */
export function parseYaml(text: string, file: string): YamlText {
  const value = readPlainYaml(text);
  if (value === undefined) return parseWhole(text, file);
  let parsed: YamlText | undefined;
  const whole = (): YamlText => (parsed ??= parseWhole(text, file));
  return {
    file,
    value,
    problems: [],
    get document() {
      return whole().document;
    },
    locate: (path) => whole().locate(path),
    locateKey: (path) =>
      (path.length === 1 ? locatePlainKey(text, path) : undefined) ?? whole().locateKey(path),
  };
}

/** Keys of a plain text's top level begin their lines. */
function locatePlainKey(text: string, [key]: readonly PropertyKey[]) {
  const at = `\n${text}`.indexOf(`\n${String(key)}:`);
  return at === -1 ? undefined : { line: text.slice(0, at).split('\n').length, column: 1 };
}

/** The whole language, with all its errors. */
export function parseWhole(text: string, file: string): YamlText {
  const lines = new LineCounter();
  const position = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const tooLong = Buffer.byteLength(text) > yamlBytesMax;
  const read = (content: string) =>
    parseDocument(content, {
      version: '1.2',
      schema: 'core',
      strict: true,
      uniqueKeys: true,
      stringKeys: true,
      prettyErrors: false,
      // Its warnings would quote the file on the standard error; they are in `problems`.
      logLevel: 'error',
      keepSourceTokens: false,
      lineCounter: lines,
    });
  let document: Document;
  let tooDeep = false;
  try {
    document = read(tooLong ? '' : text);
  } catch {
    // The parser calls itself for each level; it throws for nothing else.
    tooDeep = true;
    document = read('');
  }
  const merge = document.errors.length > 0 ? findMergeConflict(text, file) : undefined;
  const problems: ConfigProblem[] =
    merge === undefined
      ? [...document.errors, ...document.warnings].map((error) => ({
          file,
          ...position(error.pos[0]),
          message:
            error.code === 'DUPLICATE_KEY' ? 'this key stands here twice' : `not YAML: ${error.message}`,
        }))
      : [merge];
  if (tooLong) problems.push({ file, line: 1, column: 1, message: `larger than ${yamlBytesMax} bytes` });
  if (tooDeep) problems.push({ file, line: 1, column: 1, message: 'not YAML: nested too deeply' });

  // A key that is a map would be written out as text, with all keys in it, again and again: for minutes.
  const hasMapAsKey = document.errors.some(({ code }) => code === 'NON_STRING_KEY');
  let value: unknown;
  try {
    value = tooLong || tooDeep || hasMapAsKey ? undefined : document.toJS({ maxAliasCount: aliasesMax });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    problems.push({ file, line: 1, column: 1, message: `not usable YAML: ${why}` });
  }

  const locateNode = (node: Node | undefined) => position(node?.range?.[0] ?? 0);
  return {
    file,
    document,
    value,
    problems,
    locate: (path) => locateNode(nearestNode(document, path)),
    locateKey: (path) => locateNode(keyNode(document, path) ?? nearestNode(document, path)),
  };
}

/** What git leaves in a file that two people changed; told once, instead of all that YAML thinks of it. */
function findMergeConflict(text: string, file: string): ConfigProblem | undefined {
  const lines = text.split(/\r?\n/);
  const first = lines.findIndex((line) => /^<{7}( |$)/.test(line));
  if (first === -1 || !lines.some((line) => /^>{7}( |$)/.test(line))) return undefined;
  return {
    file,
    line: first + 1,
    column: 1,
    message: 'not YAML: conflict markers, so two versions of this file stand in it',
    hint: 'keep one, and take out the lines that begin with <<<<<<<, ======= and >>>>>>>',
  };
}

function nearestNode(document: Document, path: readonly PropertyKey[]): Node | undefined {
  let node: Node | undefined = isNode(document.contents) ? document.contents : undefined;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    const child: unknown = isCollection(node) ? node.get(key, true) : undefined;
    if (!isNode(child)) break;
    node = child;
  }
  return node;
}

function keyNode(document: Document, path: readonly PropertyKey[]): Node | undefined {
  const parent = nearestNode(document, path.slice(0, -1));
  const name = path.at(-1);
  if (!isMap(parent)) return undefined;
  const pair = parent.items.find(({ key }) => isNode(key) && String(key) === String(name));
  return isNode(pair?.key) ? pair.key : undefined;
}
