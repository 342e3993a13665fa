import { parseSync } from 'vite';

/**
 * One small wrong change of a source at a time (D-100): the operators of mutation testing, and the source with all of
 * them in it, each behind a switch.
 *
 * Only what runs inside a function is changed: a constant that is computed while a module loads cannot be switched
 * without loading it anew. Messages, log lines and types are not rules and are left alone.
 */

export interface Mutant {
  readonly file: string;
  readonly line: number;
  /** What stands there, and what stands there instead; '' is a removed statement. */
  readonly original: string;
  readonly changed: string;
}

interface MutatedSource {
  readonly mutants: readonly Mutant[];
  /** The source in which `globalThis.__mutant(first + index)` switches mutant `index` on. */
  build(first: number): string;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

interface Change {
  readonly node: Node;
  readonly kind: 'expression' | 'removal';
  readonly changed: string;
}

const opposite: Readonly<Record<string, string>> = {
  '>=': '>',
  '>': '>=',
  '<=': '<',
  '<': '<=',
  '===': '!==',
  '!==': '===',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
};

export function mutate(file: string, source: string): MutatedSource {
  const { program, errors } = parseSync(file, source);
  if (errors.length > 0) throw new Error(`${file} cannot be parsed`);
  const changes: Change[] = [];
  visit(program as unknown as Node, undefined, '', false, { source, changes });
  const mutants = changes.map(({ node, changed }) => ({
    file,
    line: source.slice(0, node.start).split('\n').length,
    original: flat(source.slice(node.start, node.end)),
    changed: flat(changed),
  }));
  return { mutants, build: (first) => rewrite(source, changes, first) };
}

interface Search {
  readonly source: string;
  readonly changes: Change[];
}

function visit(node: Node, parent: Node | undefined, key: string, inFunction: boolean, search: Search): void {
  if (node.type.startsWith('TS') && !isTransparent(node)) return;
  if (node.type === 'ExpressionStatement' && isLogLine(node, search.source)) return;
  if (inFunction) propose(node, parent, key, search);
  const inside = inFunction || isFunction(node) || node.type === 'StaticBlock';
  for (const [name, value] of Object.entries(node)) {
    if (name === 'key' && node['computed'] !== true) continue;
    for (const child of Array.isArray(value) ? (value as unknown[]) : [value])
      // A field of a class is computed whenever one is made.
      if (isNode(child))
        visit(child, node, name, inside || (node.type === 'PropertyDefinition' && name === 'value'), search);
  }
}

function propose(node: Node, parent: Node | undefined, key: string, search: Search): void {
  const text = (one: unknown): string => search.source.slice((one as Node).start, (one as Node).end);
  const change = (...changed: string[]): void => {
    for (const one of changed) search.changes.push({ node, kind: 'expression', changed: one });
  };
  const isCondition =
    key === 'test' &&
    ['IfStatement', 'ConditionalExpression', 'WhileStatement', 'ForStatement'].includes(parent?.type ?? '');
  // A loop that never ends is noticed for certain.
  const isLoop = parent?.type === 'WhileStatement' || parent?.type === 'ForStatement';
  if (isCondition) change(...(isLoop ? ['false'] : ['true', 'false']));
  switch (node.type) {
    case 'BinaryExpression': {
      const operator = node['operator'] as string;
      const other = opposite[operator];
      if (other === undefined || (operator === '+' && isText(node))) return;
      // As a whole condition it is already both true and false.
      if (isCondition && operator.endsWith('==')) return;
      change(`${text(node['left'])} ${other} ${text(node['right'])}`);
      return;
    }
    case 'LogicalExpression':
      // A plain value instead of nothing is there for the types more often than for a rule.
      if (node['operator'] !== '??') change(text(node['left']), text(node['right']));
      else if (!isPlain(node['right'] as Node)) change(text(node['left']), text(node['right']));
      return;
    case 'UnaryExpression':
      if (node['operator'] === '!' && !isCondition) change(text(node['argument']));
      return;
    case 'CallExpression':
      change(...changedCalls(node, text));
      return;
    case 'Literal':
      // A bound that is compared with; what else a number is for, few rules are about.
      if (typeof node['value'] === 'number' && isCompared(parent)) change(String(node['value'] + 1));
      if (typeof node['value'] === 'boolean') change(String(!node['value']));
      return;
    case 'ExpressionStatement': {
      const { type } = node['expression'] as Node;
      const inner =
        type === 'AwaitExpression' ? (node['expression'] as Node)['argument'] : node['expression'];
      const isBare = [
        'CallExpression',
        'AssignmentExpression',
        'UpdateExpression',
        'ChainExpression',
      ].includes((inner as Node).type);
      // Without what a constructor is given nothing works: that proves nothing.
      const isField = /^(super\(|this\.#?\w+ = [\w.]+$)/.test(text(inner));
      if (isBare && !isField) search.changes.push({ node, kind: 'removal', changed: '' });
      return;
    }
    case 'ThrowStatement':
    case 'ContinueStatement':
    case 'BreakStatement':
      // An `if` whose only statement it is has this change as its condition.
      if (parent?.type !== 'IfStatement' && parent?.type !== 'SwitchCase')
        search.changes.push({ node, kind: 'removal', changed: '' });
      return;
    default:
  }
}

function changedCalls(node: Node, text: (one: unknown) => string): string[] {
  const callee = node['callee'] as Node;
  const given = node['arguments'] as Node[];
  if (callee.type !== 'MemberExpression') return [];
  const of = text(callee['object']);
  const name = text(callee['property']);
  if (of === 'Math' && ['max', 'min', 'abs', 'floor', 'ceil', 'round'].includes(name))
    return given.filter((one) => one.type !== 'SpreadElement').map(text);
  if (name === 'filter' && callee['optional'] !== true) return [of];
  const other = name === 'some' ? 'every' : name === 'every' ? 'some' : undefined;
  return other === undefined || callee['optional'] === true
    ? []
    : [`${of}.${other}(${given.map(text).join(', ')})`];
}

function rewrite(source: string, changes: readonly Change[], first: number): string {
  const byNode = new Map<Node, number[]>();
  for (const [index, { node }] of changes.entries()) byNode.set(node, [...(byNode.get(node) ?? []), index]);
  // The outer ones first where two begin at the same place.
  const nodes = [...byNode.keys()].toSorted((a, b) => a.start - b.start || b.end - a.end);
  let next = 0;
  const emit = (from: number, to: number): string => {
    let text = '';
    let at = from;
    for (let node = nodes[next]; node !== undefined && node.end <= to; node = nodes[next]) {
      next += 1;
      text += source.slice(at, node.start) + switched(node, emit(node.start, node.end));
      at = node.end;
    }
    return text + source.slice(at, to);
  };
  const switched = (node: Node, original: string): string => {
    let text = original;
    for (const index of byNode.get(node) ?? []) {
      const { kind, changed } = changes[index] ?? { kind: 'removal' as const, changed: '' };
      const isOn = `__mutant(${first + index})`;
      text = kind === 'removal' ? `{ if (!${isOn}) { ${text} } }` : `(${isOn} ? (${changed}) : (${text}))`;
    }
    return text;
  };
  return emit(0, source.length);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
}

function isFunction(node: Node): boolean {
  return ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'].includes(node.type);
}

/** Types around an expression. */
function isTransparent(node: Node): boolean {
  return [
    'TSAsExpression',
    'TSSatisfiesExpression',
    'TSNonNullExpression',
    'TSInstantiationExpression',
  ].includes(node.type);
}

/** Alarms are rules. */
function isLogLine(node: Node, source: string): boolean {
  const text = source.slice(node.start, node.end);
  return /^(this\.#?)?[\w.#]*\blog\??\.(trace|debug|info|warn|error)\(/.test(text) && !text.includes('alarm');
}

function isText(node: Node): boolean {
  return [node['left'], node['right']].some(
    (one) =>
      (one as Node).type === 'TemplateLiteral' ||
      ((one as Node).type === 'Literal' && typeof (one as Node)['value'] === 'string') ||
      ((one as Node).type === 'BinaryExpression' && isText(one as Node)),
  );
}

function isCompared(parent: Node | undefined): boolean {
  return parent?.type === 'BinaryExpression' && /[<>=]/.test(parent['operator'] as string);
}

function isPlain(node: Node): boolean {
  return (
    node.type === 'Literal' ||
    (node.type === 'Identifier' && ['undefined', 'Infinity'].includes(node['name'] as string)) ||
    (node.type === 'ArrayExpression' && (node['elements'] as unknown[]).length === 0)
  );
}

function flat(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}
