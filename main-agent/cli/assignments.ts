import { parseYaml } from '#shared/config/yaml-text.ts';
import { SallyportError } from '#shared/error.ts';
import { formatValue } from './table.ts';

/** Values on the command line: `dotted.key=<yaml>` in, maps as dotted keys out. */

export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** `dotted.key=<yaml>`: the value is YAML, so `[https, sftp]`, `true` and `2027-01-15` mean what they mean in a file. */
export function parseAssignments(assignments: readonly string[]): [string, unknown][] {
  return assignments.map((assignment) => {
    const [, key, text] = /^([^=]+)=(.*)$/s.exec(assignment) ?? [];
    if (key === undefined || text === undefined) {
      throw new SallyportError('usage', 'That is not an assignment', {
        detail: assignment,
        hint: 'write dotted.key=<yaml>, in quotes where it has spaces',
      });
    }
    const { value, problems } = parseYaml(text, key);
    if (problems.length > 0) {
      throw new SallyportError('usage', 'That value is not YAML', {
        detail: `${key}: ${problems.map(({ message }) => message).join('; ')}`,
      });
    }
    return [key, value];
  });
}

/** Maps as dotted keys, for people. */
export function flatten(value: Readonly<Record<string, unknown>>, prefix = ''): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, child]) => {
      if (isMap(child)) return Object.entries(flatten(child, `${prefix}${key}.`));
      const shown = Array.isArray(child) && child.some(isMap) ? child.map(showMap) : child;
      return [[`${prefix}${key}`, shown]];
    }),
  );
}

function showMap(value: unknown): string {
  if (!isMap(value)) return formatValue(value);
  return `{ ${Object.entries(value)
    .map(([key, child]) => `${key}: ${formatValue(child)}`)
    .join(', ')} }`;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
