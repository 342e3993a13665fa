import { parseSync } from 'vite';

/**
 * Finds code that stands twice: runs of statements that are the same but for their names and literals.
 *
 * Only what is done counts. Imports, types, limits, tables, schemas, elements of a page and long lists of arguments are
 * alike because they are lists: to join two would hide what each says.
 */

interface Place {
  readonly file: string;
  readonly line: number;
  readonly lastLine: number;
}

/** Lines of code, without empty ones and comments, of the shorter side. */
interface Copy {
  readonly lines: number;
  readonly places: readonly [Place, Place];
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

interface Token {
  readonly shape: string;
  readonly file: string;
  readonly line: number;
}

/** Fewer tokens in a row are no copy, however many lines they are spread over. */
const seedTokens = 40;

/** An object, a call or an element over more lines is a list; what its functions do counts again. */
const listLinesMax = 7;

const words =
  /^(?:as|async|await|break|case|catch|class|const|continue|default|delete|do|else|extends|false|finally|for|function|if|in|instanceof|let|new|null|of|return|static|switch|this|throw|true|try|typeof|undefined|void|while|yield)$/;

/** `sources`: file to text. Every pair of places with a run of more than `linesMax` lines of the same shape. */
export function findCopies(sources: ReadonlyMap<string, string>, linesMax: number): Copy[] {
  const tokens = [...sources].flatMap(([file, source]) => [
    ...readTokens(file, source),
    { shape: `end of ${file}`, file, line: 0 },
  ]);
  const byShape = new Map<string, number>();
  const shapes = tokens.map(({ shape }) => {
    const known = byShape.get(shape) ?? byShape.size;
    byShape.set(shape, known);
    return known;
  });
  const seeds = new Map<number, number[]>();
  const copies: Copy[] = [];
  for (const [at, seed] of rollingHashes(shapes).entries()) {
    const before = seeds.get(seed);
    if (before === undefined) {
      seeds.set(seed, [at]);
      continue;
    }
    for (const other of before) {
      // Only where the run begins: the rest of it would be told again at each token.
      if (other > 0 && shapes[other - 1] === shapes[at - 1]) continue;
      let length = 0;
      while (shapes[other + length] === shapes[at + length] && other + length < at) length += 1;
      if (length < seedTokens) continue;
      const [one, two] = [tokens.slice(other, other + length), tokens.slice(at, at + length)];
      const lines = Math.min(countLines(one), countLines(two));
      if (lines > linesMax) copies.push({ lines, places: [placeOf(one), placeOf(two)] });
    }
    before.push(at);
  }
  return longestOf(copies);
}

/** Steps that repeat are a copy of themselves at each turn: what overlaps a longer one on both sides is that one. */
function longestOf(copies: readonly Copy[]): Copy[] {
  const kept: Copy[] = [];
  for (const copy of copies.toSorted((a, b) => b.lines - a.lines))
    if (!kept.some(({ places }) => places.every((place, side) => overlaps(place, copy.places[side]))))
      kept.push(copy);
  return kept;
}

function overlaps(one: Place, other: Place | undefined): boolean {
  return one.file === other?.file && one.line <= other.lastLine && other.line <= one.lastLine;
}

/** Of each `seedTokens` in a row; two that differ may have the same. */
function rollingHashes(shapes: readonly number[]): number[] {
  const base = 0x01000193;
  let leaving = 1;
  for (let power = 0; power < seedTokens; power += 1) leaving = Math.imul(leaving, base);
  const hashes: number[] = [];
  let hash = 0;
  for (const [at, shape] of shapes.entries()) {
    hash = Math.imul(hash, base) + shape + 1;
    if (at >= seedTokens) hash -= Math.imul(leaving, (shapes[at - seedTokens] ?? 0) + 1);
    hash |= 0;
    if (at >= seedTokens - 1) hashes.push(hash);
  }
  return hashes;
}

function countLines(tokens: readonly Token[]): number {
  return new Set(tokens.map(({ line }) => line)).size;
}

function placeOf(tokens: readonly Token[]): Place {
  const { file = '', line = 0 } = tokens[0] ?? {};
  return { file, line, lastLine: tokens.at(-1)?.line ?? line };
}

/** What a character of a source belongs to. */
const mark = { list: 0, statement: 1, literal: 2, comment: 3 } as const;
type Mark = (typeof mark)[keyof typeof mark];

function readTokens(file: string, source: string): Token[] {
  const { program, comments } = parseSync(file, source);
  const marks = new Uint8Array(source.length);
  paint(program as unknown as Node, source, marks);
  for (const { start, end } of comments) marks.fill(mark.comment, start, end);
  const tokens: Token[] = [];
  let line = 1;
  let last: Mark = mark.list;
  for (const { 0: text, index } of source.matchAll(/\n|[\p{L}\p{N}_$#]+|[^\s]/gu)) {
    if (text === '\n') line += 1;
    const here = marks[index] as Mark;
    if (text === '\n' || here === mark.comment) continue;
    if (here === mark.statement) tokens.push({ shape: shapeOf(text), file, line });
    else if (here === mark.literal && last !== here) tokens.push({ shape: 'literal', file, line });
    // Ends each run: no other token has this shape.
    else if (here === mark.list && last !== here) tokens.push({ shape: `${file} ${index}`, file, line });
    last = here;
  }
  return tokens;
}

function shapeOf(text: string): string {
  return /^[\p{L}\p{N}_$#]/u.test(text) && !words.test(text) ? 'name' : text;
}

const literals: ReadonlySet<string> = new Set(['Literal', 'TemplateElement']);
const lists: ReadonlySet<string> = new Set([
  'ArrayExpression',
  'CallExpression',
  'JSXElement',
  'NewExpression',
  'ObjectExpression',
]);

/** From the outside in, so that what is inside has the last word. */
function paint(node: Node, source: string, marks: Uint8Array): void {
  const { type, start, end } = node;
  if (literals.has(type)) marks.fill(marks[start] === mark.list ? mark.list : mark.literal, start, end);
  else if (type === 'BlockStatement') marks.fill(mark.statement, start, end);
  else if (lists.has(type) && source.slice(start, end).split('\n').length > listLinesMax)
    marks.fill(mark.list, start, end);
  for (const value of Object.values(node).flat())
    if (typeof value === 'object' && value !== null && 'start' in value) paint(value as Node, source, marks);
}
