import { isDeepStrictEqual } from 'node:util';
import {
  isCollection,
  isMap,
  isNode,
  isPair,
  isSeq,
  parseDocument,
  type Document,
  type Node,
  type Pair,
  type YAMLMap,
} from 'yaml';
import { readPlainYaml } from '#shared/config/plain-yaml.ts';
import { SallyportError } from '#shared/error.ts';
import { nameElsewhere, namesIn } from './hash-book.ts';

/**
 * Changes single values in a YAML text and leaves every other octet as people wrote it: comments, order, quotes,
 * spaces. Where a text is written in a way this can't splice, the whole document is printed again, comments kept.
 * Either way the result is read back, and must say exactly what was asked for.
 */

export interface YamlChange {
  /** `two_factor.required_on` as `['two_factor', 'required_on']`. */
  readonly path: readonly string[];
  /** Plain data; undefined takes the key away. */
  readonly value: unknown;
}

/** Values by dotted key. */
export function listChanges(set: Readonly<Record<string, unknown>>): YamlChange[] {
  return Object.entries(set).map(([key, value]) => ({ path: key.split('.'), value }));
}

/** Longer lists are written one entry a line. */
const inlineCharactersMax = 90;

/** Rejects `config` for what can't be done, and for the name of a hash that is no password and does not stand there yet. */
export function editYaml(text: string, changes: readonly YamlChange[]): string {
  for (const { path, value } of changes) requireKnownNames(text, path, value);
  return changes.reduce(editOne, text);
}

/** Whoever typed one elsewhere would read the hash in the file, which may be another person's. */
function requireKnownNames(text: string, path: readonly string[], value: unknown): void {
  if (path.length === 1 && path[0] === 'password') return;
  if (namesIn(JSON.stringify([path, value])).some((name) => !text.includes(name))) throw nameElsewhere();
}

function editOne(text: string, change: YamlChange): string {
  const wanted = withChange(readValue(parseDocument(text)), change);
  for (const edit of [spliceValue, printAgain]) {
    const result = orUndefined(() => edit(text, change));
    if (result === undefined) continue;
    const document = parseDocument(result);
    if (document.errors.length === 0 && isDeepStrictEqual(readValue(document), wanted)) return result;
  }
  throw new SallyportError('config', 'The file can not be changed by a program', {
    detail: `no way found to set ${change.path.join('.')}`,
    hint: 'change it by hand',
  });
}

function readValue(document: Document): unknown {
  return orUndefined(() => document.toJS());
}

/** The library throws where an alias has lost its anchor. */
function orUndefined<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** The same change to the plain value; what the edited text must mean. */
function withChange(root: unknown, { path, value }: YamlChange): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const map = isRecord(root) ? { ...root } : {};
  // Nothing to take away from what is no section.
  if (value === undefined && rest.length > 0 && !isRecord(map[key])) return map;
  const child = rest.length === 0 ? value : withChange(map[key], { path: rest, value });
  const emptied =
    rest.length > 0 && value === undefined && isRecord(child) && Object.keys(child).length === 0;
  if (child === undefined || emptied) delete map[key];
  else map[key] = child;
  return map;
}

function printAgain(text: string, { path, value }: YamlChange): string {
  const document = parseDocument(text);
  if (value === undefined) {
    document.deleteIn(path);
    const parent: unknown = document.getIn(path.slice(0, -1));
    if (path.length > 1 && isCollection(parent) && parent.items.length === 0)
      document.deleteIn(path.slice(0, -1));
  } else {
    for (let length = 1; length < path.length; length += 1) {
      const above = path.slice(0, length);
      if (!isMap(document.getIn(above))) document.setIn(above, document.createNode({}));
    }
    const old: unknown = document.getIn(path, true);
    const fresh = document.createNode(value);
    if (isNode(old)) {
      fresh.comment = old.comment ?? null;
      fresh.commentBefore = old.commentBefore ?? null;
    }
    document.setIn(path, fresh);
  }
  return document.toString({ lineWidth: 0 });
}

function spliceValue(text: string, { path, value }: YamlChange): string | undefined {
  const { contents } = parseDocument(text);
  if (!isMap(contents) || contents.flow === true) return undefined;
  let map: YAMLMap = contents;
  for (const [depth, key] of path.entries()) {
    const rest = path.slice(depth + 1);
    const pair = findPair(map, key);
    if (pair === undefined) {
      return value === undefined ? text : insertPair(text, map, key, nest(rest, value));
    }
    const child = pair.value;
    if (rest.length > 0 && isMap(child) && child.items.length > 0) {
      // Taking away its only key takes the section away.
      const isOnly =
        value === undefined && child.items.length === 1 && findPair(child, rest[0] ?? '') !== undefined;
      if (!isOnly || rest.length > 1) {
        map = child;
        continue;
      }
    }
    if (value === undefined) return rest.length > 0 && !isMap(child) ? text : removePair(text, map, pair);
    return replaceValue(text, pair, nest(rest, value));
  }
  return undefined;
}

function findPair(map: YAMLMap, key: string): Pair<Node, Node | null> | undefined {
  for (const item of map.items) {
    if (isPair<Node, Node | null>(item) && isNode(item.key) && String(item.key) === key) return item;
  }
  return undefined;
}

function nest(path: readonly string[], value: unknown): unknown {
  return path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
}

function replaceValue(text: string, pair: Pair<Node, Node | null>, value: unknown): string | undefined {
  const start = pair.value?.range?.[0];
  const end = endOf(pair.value);
  if (start === undefined || end === undefined) return undefined;
  const printed = print(value, columnOf(text, pair.key.range?.[0] ?? 0));
  const rest = text.slice(end);
  // A block list stays below the comments that stood between key and value; anything else goes before them.
  if (printed.startsWith('\n')) return `${text.slice(0, start).trimEnd()}${printed}${rest}`;
  const colon = text.indexOf(':', pair.key.range?.[1]);
  if (colon === -1 || colon >= start) return undefined;
  const between = text.slice(colon + 1, start).trimEnd();
  // The last entry's comment must not run into one that stood above it.
  const after = between.includes('#') && /^ *#/.test(rest) ? `\n${rest.trimStart()}` : rest;
  return `${text.slice(0, colon + 1)} ${printed}${between}${after}`;
}

function insertPair(text: string, map: YAMLMap, key: string, value: unknown): string | undefined {
  if (map.flow === true) {
    const close = (map.range?.[1] ?? 0) - 1;
    if (text[close] !== '}') return undefined;
    const before = text.slice(0, close).trimEnd();
    const separator = before.endsWith('{') || before.endsWith(',') ? ' ' : ', ';
    return `${before}${separator}${printKey(key)}: ${printInline(value)} }${text.slice(close + 1)}`;
  }
  const last = map.items.at(-1);
  const first = map.items[0];
  if (!isPair<Node, Node | null>(last) || !isPair<Node>(first)) return undefined;
  const end = endOf(last.value) ?? last.key.range?.[1];
  if (end === undefined) return undefined;
  const indent = columnOf(text, first.key.range?.[0] ?? 0);
  const lineEnd = endOfLine(text, end);
  const printed = print(value, indent);
  const line = `${' '.repeat(indent)}${printKey(key)}:${printed.startsWith('\n') ? '' : ' '}${printed}`;
  return `${text.slice(0, lineEnd)}\n${line}${text.slice(lineEnd) === '' ? '\n' : text.slice(lineEnd)}`;
}

function removePair(text: string, map: YAMLMap, pair: Pair<Node, Node | null>): string | undefined {
  const start = pair.key.range?.[0];
  const end = endOf(pair.value) ?? pair.key.range?.[1];
  if (start === undefined || end === undefined) return undefined;
  if (map.flow === true) return removeFromFlow(text, map, pair);
  const lineStart = start - columnOf(text, start);
  const lineEnd = endOfLine(text, end);
  return text.slice(0, lineStart) + text.slice(Math.min(text.length, lineEnd + 1));
}

/** The one-line map is written anew; what stands around it stays. */
function removeFromFlow(text: string, map: YAMLMap, pair: Pair<Node, Node | null>): string | undefined {
  const [start, end] = map.range ?? [];
  const { [String(pair.key)]: _removed, ...kept }: Record<string, unknown> = map.toJSON();
  return start === undefined || end === undefined
    ? undefined
    : text.slice(0, start) + printInline(kept) + text.slice(end);
}

/** Where the last visible octet of a value ends; a block collection's own range runs on into blank lines. */
function endOf(node: Node | null | undefined): number | undefined {
  if (!isNode(node)) return undefined;
  if ((isMap(node) || isSeq(node)) && node.flow !== true && node.items.length > 0) {
    const last: unknown = node.items.at(-1);
    if (isPair<Node, Node | null>(last)) return endOf(last.value) ?? last.key.range?.[1];
    return isNode(last) ? endOf(last) : undefined;
  }
  return node.range?.[1];
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}

function endOfLine(text: string, offset: number): number {
  const at = text.indexOf('\n', offset);
  return at === -1 ? text.length : at;
}

function print(value: unknown, indent: number): string {
  const inline = printInline(value);
  if (!Array.isArray(value) || value.length === 0 || inline.length <= inlineCharactersMax) return inline;
  const entries: readonly unknown[] = value;
  return entries.map((entry) => `\n${' '.repeat(indent + 2)}- ${printInline(entry)}`).join('');
}

function printKey(key: string): string {
  return /^\+?[A-Za-z_]+$/.test(key) ? key : JSON.stringify(key);
}

function printInline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printInline).join(', ')}]`;
  if (isRecord(value)) {
    const entries = Object.entries(value).map(([key, child]) => `${printKey(key)}: ${printInline(child)}`);
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
  }
  if (typeof value === 'string' && !isPlain(value)) return JSON.stringify(value);
  return String(value);
}

/** Text that needs no quotes anywhere in YAML; anything doubtful gets them (JSON's are YAML's). */
function isPlain(text: string): boolean {
  return /^[\w./@ -]+$/.test(text) && isDeepStrictEqual(readPlainYaml(`k: [${text}]`), { k: [text] });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
