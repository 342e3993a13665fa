import { rollOutPage, type rollOutRow } from '#main-agent/admin/user-answers.ts';
import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport two-factor status` without a user: how far the second factor has come. */

type RollOutUser = z.output<typeof rollOutRow>;

interface RollOut {
  readonly summary: ReturnType<typeof summarise>;
  readonly warnings: readonly string[];
  readonly users: readonly RollOutUser[];
}

/** In number of users. */
function summarise(users: readonly RollOutUser[]) {
  const count = (holds: (user: RollOutUser) => boolean): number => users.filter(holds).length;
  return {
    users: users.length,
    enrolled: count((user) => user.state === 'enrolled'),
    broken: count((user) => user.state === 'broken'),
    required: count((user) => user.required_on.length > 0),
    setup_due: count((user) => user.setup_due_on.length > 0),
    locked_out: count((user) => user.locked_out_on.length > 0),
    locked_out_later: count((user) => (user.locked_out_then_on ?? []).length > 0),
  };
}

/** What people read for each count, in this order; what counts none is left out. */
const words: readonly (readonly [keyof RollOut['summary'], string])[] = [
  ['users', 'users'],
  ['enrolled', 'have set up an authenticator'],
  ['broken', 'have an enrolment that can’t be read'],
  ['required', 'are asked for a factor today'],
  ['setup_due', 'must set one up before anything else'],
  ['locked_out', 'are locked out today'],
  ['locked_out_later', 'will be locked out once their requirement begins'],
];

export async function readRollOut(context: CommandContext): Promise<RollOut> {
  const users: RollOutUser[] = [];
  let warnings: readonly string[] = [];
  let cursor: string | undefined;
  do {
    const json = await context.call('GET', '/v1/two-factor/roll-out', { query: { cursor } });
    const read = readAnswer(rollOutPage, json);
    users.push(...read.users);
    ({ warnings, next: cursor } = read);
  } while (cursor !== undefined);
  return { summary: summarise(users), warnings, users };
}

export function formatRollOut({ summary, warnings, users }: RollOut): string {
  const table = formatTable(
    ['user', 'factor', 'required on', 'from', 'protection', 'locked until', 'locked out on'],
    users.map((user) => [
      user.username,
      user.state,
      user.required_on,
      user.required_from?.slice(0, 10),
      user.protection,
      user.locked_until,
      lockedOutText(user),
    ]),
  );
  const totals = words
    .filter(([key]) => summary[key] > 0)
    .map(([key, meaning]) => `${summary[key]} ${meaning}`);
  return `${table}\n${totals.join('\n')}\n${warnings.map((warning) => `! ${warning}\n`).join('')}`;
}

function lockedOutText(user: RollOutUser): string | undefined {
  if (user.locked_out_on.length > 0) return user.locked_out_on.join(', ');
  const later = user.locked_out_then_on ?? [];
  return later.length === 0
    ? undefined
    : `${later.join(', ')} from ${user.required_from?.slice(0, 10) ?? ''}`;
}
