import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { segment } from './admin-client.ts';
import { leasesAnswer, readAnswer, sessionsAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport sessions …` and `sallyport leases`. */

export function addSessionCommands(program: Command, context: CommandContext): void {
  const sessions = program.command('sessions').description('who is in now');

  sessions
    .command('list')
    .description('live sessions')
    .option('--user <name>')
    .action(async (options: { readonly user?: string }) => {
      const json = await context.call('GET', '/v1/sessions', { query: { user: options.user } });
      context.print(json, () =>
        formatTable(
          ['session', 'user', 'node', 'protocol', 'state', 'factor', 'address', 'since'],
          readAnswer(sessionsAnswer, json).sessions.map((one) => [
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

  program
    .command('leases')
    .description('further connections without a new code; with --end, end those of a user')
    .option('--user <name>')
    .option('--end', 'end all leases of --user')
    .action(async (options: { readonly user?: string; readonly end?: boolean }) => {
      if (options.end === true) {
        if (options.user === undefined) throw new SallyportError('usage', '--end needs --user');
        const json = await context.call('DELETE', '/v1/leases', { query: { user: options.user } });
        context.print(json, () => 'Ended.\n');
        return;
      }
      const json = await context.call('GET', '/v1/leases', { query: { user: options.user } });
      context.print(json, () =>
        formatTable(
          ['user', 'node', 'protocol', 'address', 'client', 'until', 'opens left'],
          readAnswer(leasesAnswer, json).leases.map((one) => [
            one.user,
            one.node,
            one.protocol,
            one.client_ip,
            one.agent,
            one.expires_at,
            one.opens_left,
          ]),
        ),
      );
    });
}
