import { keptAnswer, orphansAnswer } from '#main-agent/admin/user-answers.ts';
import { namesKeptAtOnceMax } from '#main-agent/admin/limits.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport two-factor orphans|keep`: whose is the factor that hangs at a name whose user had gone? */

interface KeepOptions {
  readonly all?: boolean;
  readonly reason: string;
}

export function addOrphanCommands(twoFactor: Command, context: CommandContext): void {
  twoFactor
    .command('orphans')
    .description('names whose users are gone and left a factor or token, and names that came back undecided')
    .action(async () => {
      const json = await context.call('GET', '/v1/two-factor/orphans');
      context.print(json, () => {
        const { orphans } = readAnswer(orphansAnswer, json);
        if (orphans.length === 0) return 'No name waits for a decision.\n';
        return formatTable(
          ['user', 'gone since', 'back since', 'decide with'],
          orphans.map((one) => [
            one.user,
            one.gone_at,
            one.returned_at,
            one.returned_at === undefined
              ? `two-factor reset ${one.user}`
              : `two-factor keep ${one.user} (same person), reset ${one.user} (new one)`,
          ]),
        );
      });
    });

  twoFactor
    .command('keep')
    .description('a name came back with the same person: the factor that was left counts again')
    .argument('[user]')
    .option('--all', 'every name that came back, as after a restored backup')
    .requiredOption('--reason <text>', 'how you know; it is audited')
    .action(async (user: string | undefined, options: KeepOptions) => {
      if ((user === undefined) !== (options.all === true))
        throw new SallyportError('usage', 'Name one user, or say --all');
      const { reason } = options;
      if (user !== undefined) {
        const json = await context.call('POST', `/v1/users/${segment(user)}/two-factor/keep`, {
          body: { reason },
        });
        context.print(json, () => `The second factor of ${user} counts again.\n`);
        return;
      }
      const kept = await keepAll(context, reason);
      context.print({ kept }, () =>
        kept.length === 0
          ? 'No name waits for a decision.\n'
          : `The second factors count again of: ${kept.join(', ')}.\n`,
      );
    });
}

/** Those that had come back when the list was read. */
async function keepAll(context: CommandContext, reason: string): Promise<readonly string[]> {
  const listed = readAnswer(orphansAnswer, await context.call('GET', '/v1/two-factor/orphans'));
  const users = listed.orphans.filter((one) => one.returned_at !== undefined).map((one) => one.user);
  const kept: string[] = [];
  for (let start = 0; start < users.length; start += namesKeptAtOnceMax) {
    const json = await context.call('POST', '/v1/two-factor/orphans/keep', {
      body: { users: users.slice(start, start + namesKeptAtOnceMax), reason },
    });
    kept.push(...readAnswer(keptAnswer, json).kept);
  }
  return kept;
}
