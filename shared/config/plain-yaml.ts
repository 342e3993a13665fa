/**
 * Reads the plain part of YAML that nearly every user file keeps to, fifteen times as fast as the whole language
 * (D-30): lines of `key: value`, one level of indented maps and lists, values on one line. Ten thousand files are read
 * at each start.
 *
 * Trust: files of admins. Anything not certain is not read here but left to the whole parser, which also finds all
 * errors; a property test holds every answer of this reader against that parser's.
 */

type Plain = Record<string, unknown>;

/** Deeper values are left to the whole parser, and the stack stays shallow whatever the text is. */
const depthMax = 4;
/** Honest files are far smaller; the whole parser has the bound for the rest. */
const charactersMax = 64 * 1024;

/** No tab, no carriage return, no byte order mark, nothing invisible. */
const readable = /^[\n\x20-\x7e\p{L}\p{M}]*$/u;
const nothing = /^ *(?:#.*)?$/;
const pairLine = /^( *)(\+?[a-z][a-z_]*):(?: +(.*))?$/;
const itemLine = /^( *)- +(.*)$/;
const restOfLine = / *(?: #.*)?$/y;

const quoted = /"([^"\\\n]*)"|'([^'\n]*)'(?!')/y;
/** Starts with no indicator; holds no `: `, ` #` and no bracket anywhere. */
const plainInBlock = /[\p{L}0-9_$/](?:[\p{L}\p{M}0-9_$/.@+=,~%()-]| (?=[\p{L}0-9_$/.@+=~%()-]))*/uy;
const plainInFlow = /[\p{L}0-9_$/](?:[\p{L}\p{M}0-9_$/.@+=~%()-]| (?=[\p{L}0-9_$/.@+=~%()-]))*/uy;
const flowKey = / *(\+?[a-z][a-z_]*): +/y;
const comma = / *, */y;
const spaces = / */y;

/** Undefined: the text is more than plain, or wrong. */
export function readPlainYaml(text: string): Readonly<Plain> | undefined {
  if (text.length > charactersMax || !readable.test(text)) return undefined;
  const root: Plain = {};
  /** The key whose value is on the lines below it, and their indentation. */
  let open: { readonly key: string; indent: number } | undefined;
  for (const line of text.split('\n')) {
    if (nothing.test(line)) continue;
    const item = itemLine.exec(line);
    const [, before = '', name = '', rest] = item === null ? (pairLine.exec(line) ?? []) : ['', item[1]];
    if (item === null && name === '') return undefined;
    const indent = before.length;
    const value = readLineValue(item === null ? rest : item[2]);
    if (value === undefined) return undefined;
    if (item === null && indent === 0) {
      if (Object.hasOwn(root, name)) return undefined;
      root[name] = value;
      open = value === null && isEmpty(rest) ? { key: name, indent: -1 } : undefined;
      continue;
    }
    if (open === undefined || (open.indent !== -1 && open.indent !== indent)) return undefined;
    open.indent = indent;
    const child = (root[open.key] ??= item === null ? {} : []);
    if (item !== null) {
      if (!Array.isArray(child)) return undefined;
      child.push(value);
    } else {
      if (!isPlain(child) || Object.hasOwn(child, name) || isEmpty(rest)) return undefined;
      child[name] = value;
    }
  }
  return Object.keys(root).length === 0 ? undefined : root;
}

function isEmpty(rest: string | undefined): boolean {
  return rest === undefined || rest === '' || rest.startsWith('#');
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value that takes the rest of a line, null where there is none; undefined: not plain. */
function readLineValue(rest: string | undefined): unknown {
  if (rest === undefined || isEmpty(rest)) return null;
  const reader = new ValueReader(rest);
  const value = reader.read(plainInBlock, 0);
  return value !== undefined && reader.skip(restOfLine) && reader.isAtEnd ? value : undefined;
}

class ValueReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#text.length;
  }

  skip(pattern: RegExp): boolean {
    return this.#match(pattern) !== undefined;
  }

  /** Undefined: not plain. */
  read(plain: RegExp, depth: number): unknown {
    if (depth > depthMax) return undefined;
    const first = this.#text[this.#at];
    if (first === '[') return this.#readList(depth);
    if (first === '{') return this.#readMap(depth);
    if (first === '"' || first === "'") {
      const match = this.#match(quoted);
      return match === undefined ? undefined : (match[1] ?? match[2]);
    }
    const match = this.#match(plain);
    return match === undefined ? undefined : resolveScalar(match[0]);
  }

  #readList(depth: number): unknown {
    const list: unknown[] = [];
    return this.#readEntries(']', () => {
      const value = this.read(plainInFlow, depth + 1);
      list.push(value);
      return value !== undefined;
    })
      ? list
      : undefined;
  }

  #readMap(depth: number): unknown {
    const map: Plain = {};
    return this.#readEntries('}', () => {
      const key = this.#match(flowKey)?.[1];
      if (key === undefined || Object.hasOwn(map, key)) return false;
      map[key] = this.read(plainInFlow, depth + 1);
      return map[key] !== undefined;
    })
      ? map
      : undefined;
  }

  /** Entries between commas, up to the closing bracket. */
  #readEntries(close: string, readOne: () => boolean): boolean {
    this.#at += 1;
    this.skip(spaces);
    if (this.#take(close)) return true;
    do {
      if (!readOne()) return false;
    } while (this.skip(comma));
    this.skip(spaces);
    return this.#take(close);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }
}

/** YAML 1.2's core schema, as far as it is beyond doubt. */
function resolveScalar(text: string): unknown {
  if (text === 'null') return null;
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (/^(?:0|[1-9]\d{0,8})$/.test(text)) return Number(text);
  if (/^\d{4}-\d\d-\d\d$/.test(text)) return text;
  if (/^(?:null|true|false)$/i.test(text) || /^[\d.eE+-]+$/.test(text) || /^0[xo]/.test(text))
    return undefined;
  return text;
}
