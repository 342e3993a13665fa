import { madeToken, tokensPage } from '#main-agent/admin/answers.ts';
import { parseDuration } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { readPages } from './pages.ts';
import { formatTable } from './table.ts';

/** `sallyport tokens …`: who may call the admin API. */

interface AddOptions {
  readonly user?: string;
  readonly service?: string;
  readonly role: string;
  readonly group: readonly string[];
  readonly life: string;
  readonly note: string;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

export function addTokenCommands(program: Command, context: CommandContext): void {
  const tokens = program.command('tokens').description('who may call the admin API');

  tokens
    .command('list')
    .description('tokens with owner, role, expiry and last use; never the tokens themselves')
    .action(async () => {
      const all = await readPages(context, '/v1/tokens', {}, { key: 'tokens', schema: tokensPage });
      context.print({ tokens: all }, () =>
        formatTable(
          ['token', 'owner', 'role', 'may now', 'groups', 'expires', 'last used', 'note'],
          all.map((one) => [
            one.id,
            one.kind === 'user' ? one.owner : `service ${one.owner}`,
            one.role,
            one.effective_role,
            one.groups,
            one.expires_at,
            one.used_at,
            one.note,
          ]),
        ),
      );
    });

  tokens
    .command('add')
    .description('make a token for a person (a user with an admin_role) or a service; it is printed once')
    .option('--user <name>')
    .option('--service <name>')
    .requiredOption('--role <role>', 'viewer, helpdesk, group-admin or admin')
    .option(
      '--group <name>',
      'a helpdesk token for users of this group only; may be given again',
      collect,
      [],
    )
    .option('--life <duration>', 'how long it works', '90d')
    .option('--note <text>', 'what it is for', '')
    .action(async (options: AddOptions) => {
      const lifeMs = parseDuration(options.life);
      if (lifeMs === undefined)
        throw new SallyportError('usage', '--life does not fit', { detail: 'such as 8h or 90d' });
      const json = await context.call('POST', '/v1/tokens', {
        body: {
          user: options.user,
          service: options.service,
          role: options.role,
          ...(options.group.length > 0 && { groups: options.group }),
          note: options.note,
          life_seconds: Math.round(lifeMs / 1000),
        },
      });
      const { token, expires_at: expiresAt } = readAnswer(madeToken, json);
      context.print(json, () => `${token}\n`);
      context.terminal.err(
        `Works until ${expiresAt}. It is not shown again: keep it in a file of mode 0600.\n`,
      );
    });

  tokens
    .command('revoke')
    .description('its next call is refused')
    .argument('<token>', 'id of `tokens list`')
    .action(async (id: string) => {
      const json = await context.call('DELETE', `/v1/tokens/${segment(id)}`);
      context.print(json, () => 'Revoked.\n');
    });
}
