import { groupAnswer, groupsPage } from '#main-agent/admin/user-answers.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { collect, flatten, parseAssignments } from './assignments.ts';
import { segment, type CommandContext } from './command-context.ts';
import { readPages } from './pages.ts';
import { formatFacts, formatTable } from './table.ts';

/** `sallyport groups …`: the templates that users inherit from; `_default` is the one that everybody is in. */

export function addGroupCommands(program: Command, context: CommandContext): void {
  const groups = program.command('groups').description('templates that users inherit from');

  groups
    .command('list')
    .description('all groups, with how many users are in each')
    .action(async () => {
      const all = await readPages(context, '/v1/groups', {}, { key: 'groups', schema: groupsPage });
      context.print({ groups: all }, () =>
        formatTable(
          ['group', 'groups', 'users', 'file'],
          all.map((group) => [group.name, group.groups, group.users, group.broken ? 'BROKEN' : 'good']),
        ),
      );
    });

  groups
    .command('show')
    .description('the keys of a group’s file, and who is in it')
    .argument('<group>', 'a name, or _default')
    .action(async (group: string) => {
      const json = await context.call('GET', `/v1/groups/${segment(group)}`);
      context.print(json, () => {
        const { fields, users } = readAnswer(groupAnswer, json);
        return formatFacts({ ...flatten(fields), users });
      });
    });

  groups
    .command('add')
    .description('add a group')
    .argument('<group>')
    .argument('[assignments...]', 'dotted.key=<yaml>, as in `users set`')
    .action(async (group: string, assignments: readonly string[]) => {
      const json = await context.call('POST', '/v1/groups', {
        body: { name: group, set: Object.fromEntries(parseAssignments(assignments)) },
      });
      context.print(json, () => `Added group ${group}.\n`);
    });

  groups
    .command('set')
    .description('change keys of a group’s file; all who are in it change at once')
    .argument('<group>', 'a name, or _default')
    .argument('[assignments...]', 'dotted.key=<yaml>, such as quota=20GiB')
    .option('--unset <key>', 'take the key away; may be given again', collect, [])
    .action(
      async (
        group: string,
        assignments: readonly string[],
        options: { readonly unset: readonly string[] },
      ) => {
        const json = await context.call('PATCH', `/v1/groups/${segment(group)}`, {
          body: { set: Object.fromEntries(parseAssignments(assignments)), unset: options.unset },
          ifMatch: '*',
        });
        context.print(json, () => `Changed group ${group}.\n`);
      },
    );

  groups
    .command('delete')
    .description('remove a group that nobody is in')
    .argument('<group>')
    .action(async (group: string) => {
      const json = await context.call('DELETE', `/v1/groups/${segment(group)}`, { ifMatch: '*' });
      context.print(json, () => `Deleted group ${group}.\n`);
    });
}
