import { passwordLinkSecondsDefault, passwordLinkSecondsMax } from '#main-agent/admin/limits.ts';
import { passwordLinkAnswer } from '#main-agent/admin/user-answers.ts';
import { duration } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';

/** `sallyport users password-link`, and the same mail for whoever was just added. */

const days = (seconds: number): string => `${seconds / 86_400}d`;

export function addPasswordLinkCommand(users: Command, context: CommandContext): void {
  users
    .command('password-link')
    .description('mail the user a link by which they set a password, once; it ends an earlier link')
    .argument('<user>')
    .requiredOption('--reason <text>', 'why; it is audited')
    .option('--ttl <duration>', 'how long it works, such as 12h', days(passwordLinkSecondsDefault))
    .action(
      async (user: string, { reason, ttl: text }: { readonly reason: string; readonly ttl: string }) => {
        const longest = days(passwordLinkSecondsMax);
        const ttl = duration('1m', longest).safeParse(text);
        if (!ttl.success)
          throw new SallyportError('usage', '--ttl does not fit', {
            detail: `from 1m to ${longest}, such as 12h`,
          });
        const json = await context.call('POST', `/v1/users/${segment(user)}/password-link`, {
          body: { reason, ttl_seconds: Math.round(ttl.data / 1000) },
        });
        context.print(json, () => describe(json));
      },
    );
}

/** For as long as links live by default. `told`: what a person reads of it. */
export async function mailPasswordLink(
  context: CommandContext,
  user: string,
  reason: string,
): Promise<{ readonly json: unknown; readonly told: string }> {
  const json = await context.call('POST', `/v1/users/${segment(user)}/password-link`, { body: { reason } });
  return { json, told: describe(json) };
}

function describe(json: unknown): string {
  const { sent_to: address, expires_at: until } = readAnswer(passwordLinkAnswer, json);
  return `A link went to ${address}; it works once, until ${until}.\n`;
}
