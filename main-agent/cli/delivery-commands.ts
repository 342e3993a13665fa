import { deliveryResults } from '#main-agent/admin/user-answers.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport two-factor test-delivery`: beside the help desk's other commands. */

export function addDeliveryCommands(twoFactor: Command, context: CommandContext): void {
  twoFactor
    .command('test-delivery')
    .description('send a test message by every way this user’s codes would go; the code in it opens nothing')
    .argument('<user>')
    .action(async (user: string) => {
      const json = await context.call('POST', '/v1/test-delivery', { body: { user } });
      const { results } = readAnswer(deliveryResults, json);
      context.print(json, () =>
        formatTable(
          ['by', 'to', 'result', 'took'],
          results.map((one) => [
            one.transport,
            one.address,
            one.accepted ? 'accepted' : `failed: ${one.problem ?? 'no reason given'}`,
            `${one.took_ms} ms`,
          ]),
        ),
      );
      const failed = results.filter((one) => !one.accepted);
      if (failed.length === 0) return;
      throw new SallyportError('delivery-failed', 'Not every message was accepted', {
        detail: failed.map((one) => `${one.transport}: ${one.problem ?? ''}`).join('; '),
      });
    });
}
