import { SallyportError } from '#shared/error.ts';

/**
 * Texts with `{name}` in them. Filled in one pass, so that a value can't smuggle in another placeholder, and each
 * value is escaped for the place it stands in.
 */

const placeholder = /\{([a-z_]+)\}/g;

export type Escape = (value: string) => string;

export const asPlainText: Escape = (value) => value;

export const asHtml: Escape = (value) =>
  value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** For one line of a header: no control characters. */
export const asLine: Escape = (value) => value.replace(/\p{Cc}+/gu, ' ');

export const asUrlPart: Escape = (value) => encodeURIComponent(value);

/** Inside a quoted JSON string. */
export const asJsonString: Escape = (value) => JSON.stringify(value).slice(1, -1);

export function fillTemplate(
  template: string,
  values: Readonly<Record<string, string>>,
  escape: Escape,
): string {
  return template.replace(placeholder, (whole, name: string) => {
    const value = values[name];
    return value === undefined ? whole : escape(value);
  });
}

/** Rejects at start what would otherwise be seen by users: a misspelt placeholder, or one that must be there. */
export function checkTemplate(
  where: string,
  template: string,
  known: readonly string[],
  needed: readonly string[] = [],
): void {
  const used = new Set([...template.matchAll(placeholder)].map(([, name]) => name ?? ''));
  for (const name of used) {
    if (known.includes(name)) continue;
    throw new SallyportError('config', 'A message template is wrong', {
      detail: `${where}: unknown placeholder {${name}}`,
      hint: `known: ${known.map((one) => `{${one}}`).join(', ')}`,
    });
  }
  for (const name of needed) {
    if (used.has(name)) continue;
    throw new SallyportError('config', 'A message template is wrong', {
      detail: `${where}: {${name}} is missing`,
    });
  }
}

/** A duration for people: `5 minutes`, `90 seconds`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  const minutes = seconds / 60;
  const [count, unit] = Number.isInteger(minutes) ? [minutes, 'minute'] : [seconds, 'second'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

/** People and programs look for the code as the number with six digits; nothing else may look like one. */
export function hideCodeLike(value: string): string {
  return value.replace(/\d{6,}/g, (digits) => `${digits.slice(0, 3)}…`);
}
