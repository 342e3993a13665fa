import { z } from 'zod';
import { listChanges, type YamlChange } from '#main-agent/users/yaml-edit.ts';
import { SallyportError } from '#shared/error.ts';
import { reasonCharactersMax } from './limits.ts';

/** Values that many bodies and answers have. */

/** Why an admin does it; it stands in the audit. */
export const reason = z.string().trim().min(3, 'say why').max(reasonCharactersMax);

const dottedKey = z
  .string()
  .max(128)
  .regex(/^\+?[a-z_]+(\.\+?[a-z_]+)*$/, { error: 'keys joined by dots, such as two_factor.required_on' });

/** Keys of a user's or a group's file, whether it is there already or not. */
export const keysToSet = z.record(dottedKey, z.unknown()).default({});

/** A change of a user's or a group's file, key by key. */
export const keyChanges = z.strictObject({
  set: keysToSet,
  unset: z.array(dottedKey).max(64).default([]),
});

/** Rejects `bad-request` when nothing is to be changed. */
export function requireChanges({ set, unset }: z.output<typeof keyChanges>): YamlChange[] {
  const changes = [...listChanges(set), ...unset.map((key) => ({ path: key.split('.'), value: undefined }))];
  if (changes.length > 0) return changes;
  throw new SallyportError('bad-request', 'Nothing to change', {
    hint: 'name a key in `set` or `unset`',
  });
}

/** For the audit: the keys, never the values. */
export function describeChanges(changes: readonly YamlChange[]): string {
  return changes
    .map(({ path, value }) => `${value === undefined ? 'unset' : 'set'} ${path.join('.')}`)
    .join(', ');
}

/** RFC 3339 in UTC. */
export const time = z.string().meta({ format: 'date-time' });
export const names = z.array(z.string());
/** The `cursor` of the next page; missing on the last one. */
export const next = z.string().optional();
