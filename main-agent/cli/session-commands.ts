import { sessionsPage } from '#main-agent/admin/answers.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { segment, type CommandContext } from './command-context.ts';
import { readPages } from './pages.ts';
import { formatTable } from './table.ts';

/** `sallyport sessions …`: who is in now. */

interface Filter {
  readonly user?: string;
  readonly node?: string;
  readonly protocol?: string;
}

export function addSessionCommands(program: Command, context: CommandContext): void {
  const sessions = program.command('sessions').description('who is in now');

  sessions
    .command('list')
    .description('live sessions')
    .option('--user <name>')
    .option('--node <name>')
    .option('--protocol <protocol>', 'https or sftp')
    .action(async (filter: Filter) => {
      const all = await readPages(
        context,
        '/v1/sessions',
        { ...filter },
        { key: 'sessions', schema: sessionsPage },
      );
      context.print({ sessions: all }, () =>
        formatTable(
          ['session', 'user', 'node', 'protocol', 'state', 'factor', 'address', 'since'],
          all.map((one) => [
            one.key,
            one.user,
            one.node,
            one.protocol,
            one.state,
            one.method,
            one.client_ip,
            one.opened_at,
          ]),
        ),
      );
    });

  sessions
    .command('kick')
    .description('end one session, or all of a user, now')
    .argument('[session]')
    .option('--user <name>')
    .option('--reason <text>', 'why; it is audited', 'kicked by an admin')
    .action(async (key: string | undefined, options: { readonly user?: string; readonly reason: string }) => {
      if ((key === undefined) === (options.user === undefined)) {
        throw new SallyportError('usage', 'Name a session or a user', {
          hint: 'sallyport sessions kick <session>, or --user <name>',
        });
      }
      const json =
        key === undefined
          ? await context.call('DELETE', '/v1/sessions', {
              query: { user: options.user, reason: options.reason },
            })
          : await context.call('DELETE', `/v1/sessions/${segment(key)}`, {
              query: { reason: options.reason },
            });
      context.print(json, () => 'Ended.\n');
    });
}
