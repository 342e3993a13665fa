import { bansPage, banRow } from '#main-agent/admin/answers.ts';
import { parseDuration } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { isIP } from 'node:net';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { readPages } from './pages.ts';
import { formatTable } from './table.ts';

/** `sallyport bans …`: who is shut out, by an admin or by a node. */

interface AddOptions {
  readonly address?: string;
  readonly user?: string;
  readonly for: string;
  readonly reason: string;
}

export function addBanCommands(program: Command, context: CommandContext): void {
  const bans = program.command('bans').description('addresses and users that are shut out');

  bans
    .command('list')
    .description('bans in force, by admins and by the nodes themselves')
    .option('--user <name>')
    .option('--address <address>')
    .option('--node <name>', 'only those this node made by itself')
    .action(
      async (options: { readonly user?: string; readonly address?: string; readonly node?: string }) => {
        const all = await readPages(context, '/v1/bans', { ...options }, { key: 'bans', schema: bansPage });
        context.print({ bans: all }, () =>
          formatTable(
            ['ban', 'address', 'user', 'by', 'until', 'reason'],
            all.map((ban) => [ban.id, ban.address, ban.user, ban.created_by, ban.until, ban.reason]),
          ),
        );
      },
    );

  bans
    .command('add')
    .description('shut out an address or network, a user, or a user from there; ends what they have open')
    .option('--address <address>', 'such as 203.0.113.9 or 203.0.113.0/24')
    .option('--user <name>')
    .option('--for <duration>', 'how long, such as 1h', '1h')
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async (options: AddOptions) => {
      const forMs = parseDuration(options.for);
      if (forMs === undefined)
        throw new SallyportError('usage', '--for does not fit', { detail: 'such as 15m, 1h or 30d' });
      if (options.address === undefined && options.user === undefined)
        throw new SallyportError('usage', 'Name an --address, a --user, or both');
      const json = await context.call('POST', '/v1/bans', {
        body: {
          address: options.address,
          user: options.user,
          reason: options.reason,
          for_seconds: Math.round(forMs / 1000),
        },
      });
      context.print(json, () => {
        const ban = readAnswer(banRow, json);
        return `Banned until ${ban.until} (${ban.id}).\n`;
      });
    });

  bans
    .command('remove')
    .description('take a ban back by its id, or every ban of an address, here and on all nodes')
    .argument('<ban>', 'an id of `bans list`, or an address')
    .option('--reason <text>', 'why; it is audited', 'by an admin')
    .action(async (ban: string, { reason }: { readonly reason: string }) => {
      const isAddress = isIP(ban.split('/')[0] ?? '') !== 0;
      const json = isAddress
        ? await context.call('DELETE', '/v1/bans', { query: { address: ban, reason } })
        : await context.call('DELETE', `/v1/bans/${segment(ban)}`, { query: { reason } });
      context.print(json, () => 'Lifted.\n');
    });
}
