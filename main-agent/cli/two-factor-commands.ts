import { bypassAnswer, twoFactorAnswer } from '#main-agent/admin/user-answers.ts';
import { duration } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { addDeliveryCommands } from './delivery-commands.ts';
import { addImportCommand } from './import-commands.ts';
import { addOrphanCommands } from './orphan-commands.ts';
import { formatRollOut, readRollOut } from './roll-out.ts';
import { formatFacts } from './table.ts';

/** `sallyport two-factor …`: the help desk's commands. */

interface BypassOptions {
  readonly ttl: string;
  readonly reason: string;
  readonly reEnrol?: boolean;
}

export function addTwoFactorCommands(program: Command, context: CommandContext): void {
  const twoFactor = program.command('two-factor').description('second factors');
  addDeliveryCommands(twoFactor, context);

  twoFactor
    .command('status')
    .description('one user, or the roll-out: who is enrolled, required, would be locked out')
    .argument('[user]')
    .action(async (user: string | undefined) => {
      if (user !== undefined) {
        const json = await context.call('GET', `/v1/users/${segment(user)}/two-factor`);
        context.print(json, () => formatFacts(readAnswer(twoFactorAnswer, json)));
        return;
      }
      const rollOut = await readRollOut(context);
      context.print(rollOut, () => formatRollOut(rollOut));
    });

  twoFactor
    .command('reset')
    .description('take the factor away; the user may set up a new one')
    .argument('<user>')
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async (user: string, options: { readonly reason: string }) => {
      const json = await context.call('DELETE', `/v1/users/${segment(user)}/two-factor`, {
        body: { reason: options.reason },
      });
      context.print(json, () => `Reset the second factor of ${user}.\n`);
    });

  addOrphanCommands(twoFactor, context);
  addImportCommand(twoFactor, context);

  twoFactor
    .command('unlock')
    .description('lift the lock that wrong codes led to')
    .argument('<user>')
    .option('--reason <text>', 'why; it is audited', 'unlocked by an admin')
    .action(async (user: string, options: { readonly reason: string }) => {
      const json = await context.call('POST', `/v1/users/${segment(user)}/two-factor/unlock`, {
        body: { reason: options.reason },
      });
      context.print(json, () => `Unlocked ${user}.\n`);
    });

  twoFactor
    .command('confirm-clock')
    .description('after main’s clock jumped: it is right now, accept authenticator codes again')
    .requiredOption('--reason <text>', 'what you looked at; it is audited')
    .action(async (options: { readonly reason: string }) => {
      const json = await context.call('POST', '/v1/clock/confirm', { body: { reason: options.reason } });
      context.print(json, () => 'Codes of authenticator apps are accepted again.\n');
    });

  twoFactor
    .command('bypass-code')
    .description('make a one-time code for a lost phone')
    .argument('<user>')
    .requiredOption('--reason <text>', 'why; it is audited')
    .option('--ttl <duration>', 'how long it works, such as 15m', '15m')
    .option('--re-enrol', 'the session it opens may replace the factor')
    .action(async (user: string, options: BypassOptions) => {
      const ttl = duration('1m', '24h').safeParse(options.ttl);
      if (!ttl.success) {
        throw new SallyportError('usage', '--ttl does not fit', { detail: 'from 1m to 24h, such as 15m' });
      }
      const json = await context.call('POST', `/v1/users/${segment(user)}/two-factor/bypass-code`, {
        body: {
          reason: options.reason,
          ttl_seconds: Math.round(ttl.data / 1000),
          re_enrol: options.reEnrol === true,
        },
      });
      context.print(json, () => {
        const { code, expires_at: expiresAt } = readAnswer(bypassAnswer, json);
        return `${code}\n\nWorks once, until ${expiresAt}. Tell it to ${user} and nobody else.\n`;
      });
    });
}
