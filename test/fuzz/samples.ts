import { z } from 'zod';
import type { Random } from './mutate.ts';

/** Valid values of a schema, made by looking at it: what is added to it is tried without anybody thinking of it. */

const id = 'A'.repeat(42) + 'I';
const texts = [
  'x', 'alice', 'login.begin', id, 'B'.repeat(22), 'C'.repeat(86), '0123456789abcdef'.repeat(4), '127.0.0.1', '2001:db8::7',
  'AB23CDEF', '#0a0b0c', 'node-identity', `${'D'.repeat(22)}.${'E'.repeat(43)}`, 'https://files.example.com/help', 'AAAA', '/',
  'mailto:help@example.com', 'SHA256:' + 'F'.repeat(43), '2026-11-30T12:00:00.000Z', 'curve25519-sha256', '',
  'certificate',
  '01'.repeat(13),
]; // prettier-ignore
const numbers = [1, 0, 7, 443, 1000, 65_535, 1_700_000_000_000];
/** Of `z.custom`: codes of errors. */
const customs = ['refused', 'busy', 'not-found', 'internal'];

/** One value, by chance; throws when it finds none. */
export function sampleOf(schema: z.core.$ZodType, random: Random): unknown {
  for (let tries = 0; tries < 64; tries += 1) {
    const value = draw(schema, random);
    if (z.safeParse(schema, value).success) return value;
  }
  throw new Error(`no sample of ${JSON.stringify(schema)}`);
}

function pick<T>(list: readonly T[], random: Random): T {
  const one = list[random(list.length)];
  if (one === undefined) throw new Error('nothing to pick from');
  return one;
}

function fitting(schema: z.core.$ZodType, candidates: readonly unknown[], random: Random): unknown {
  return pick(
    candidates.filter((value) => z.safeParse(schema, value).success),
    random,
  );
}

/* oxlint-disable typescript/no-unsafe-type-assertion, no-underscore-dangle, typescript/switch-exhaustiveness-check -- zod's own names; `def.type` says which schema it is, and one that is new here has no samples yet */
function draw(schema: z.core.$ZodType, random: Random): unknown {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(def.shape).flatMap(([key, inner]) => {
          const value = draw(inner, random);
          return value === undefined ? [] : [[key, value]];
        }),
      );
    case 'string':
      return fitting(schema, texts, random);
    case 'number':
      return fitting(schema, numbers, random);
    case 'boolean':
      return random(2) === 0;
    case 'array':
      return Array.from({ length: random(3) }, () => draw(def.element, random));
    case 'tuple':
      return def.items.map((item) => draw(item, random));
    case 'enum':
      return pick(Object.values(def.entries), random);
    case 'literal':
      return pick(def.values, random);
    case 'union':
      return draw(pick(def.options, random), random);
    case 'optional':
      return random(2) === 0 ? undefined : draw(def.innerType, random);
    case 'nullable':
      return random(2) === 0 ? null : draw(def.innerType, random);
    case 'custom':
      return fitting(schema, customs, random);
    case 'record':
      return { name: draw(def.valueType, random) };
    case 'unknown':
      return {};
    default:
      throw new Error(`no samples of ${def.type}`);
  }
}
/* oxlint-enable typescript/no-unsafe-type-assertion, no-underscore-dangle, typescript/switch-exhaustiveness-check */
