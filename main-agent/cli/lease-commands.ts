import { leasesPage } from '#main-agent/admin/answers.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { segment, type CommandContext } from './command-context.ts';
import { readPages } from './pages.ts';
import { formatTable } from './table.ts';

/** `sallyport leases …`: what lets a client in again without a new code. */

export function addLeaseCommands(program: Command, context: CommandContext): void {
  const leases = program.command('leases').description('further connections without a new code');

  leases
    .command('list', { isDefault: true })
    .description('leases that live')
    .option('--user <name>')
    .action(async ({ user }: { readonly user?: string }) => {
      const all = await readPages(context, '/v1/leases', { user }, { key: 'leases', schema: leasesPage });
      context.print({ leases: all }, () =>
        formatTable(
          ['lease', 'user', 'node', 'protocol', 'address', 'client', 'until', 'opens left'],
          all.map((one) => [
            one.id,
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

  leases
    .command('end')
    .description('end one lease, or all of a user')
    .argument('[lease]')
    .option('--user <name>')
    .option('--reason <text>', 'why; it is audited', 'by an admin')
    .action(async (id: string | undefined, options: { readonly user?: string; readonly reason: string }) => {
      if ((id === undefined) === (options.user === undefined))
        throw new SallyportError('usage', 'Name a lease or a user', {
          hint: 'sallyport leases end --user <name>',
        });
      const json =
        id === undefined
          ? await context.call('DELETE', '/v1/leases', {
              query: { user: options.user, reason: options.reason },
            })
          : await context.call('DELETE', `/v1/leases/${segment(id)}`);
      context.print(json, () => 'Ended.\n');
    });
}
