import { binPage, droppedAnswer, restoredAnswer } from '#main-agent/admin/answers.ts';
import type { Command } from 'commander';
import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { readPages } from './pages.ts';
import { formatTable } from './table.ts';

/** `sallyport bin …`: what users deleted or replaced and can have back. */

interface RestoreOptions {
  readonly reason: string;
  readonly keepBoth?: boolean;
  readonly earlierHolder?: boolean;
}

export function addBinCommands(program: Command, context: CommandContext): void {
  const bin = program.command('bin').description('what users deleted or replaced and can have back');

  bin
    .command('list')
    .description('what a user’s bin keeps, newest first; also of a user who is gone')
    .argument('<user>')
    .action(async (user: string) => {
      const entries = await readPages(
        context,
        `/v1/users/${segment(user)}/bin`,
        {},
        {
          key: 'entries',
          schema: binPage,
        },
      );
      context.print({ entries }, () => {
        if (entries.length === 0) return `The bin of ${user} is empty.\n`;
        return formatTable(
          ['entry', 'what', 'path', 'bytes', 'when', 'until', 'storage'],
          entries.map((one) => [
            one.id,
            `${one.type} ${one.reason}${one.earlier_holder ? ' by an earlier holder' : ''}`,
            one.path,
            one.bytes,
            one.deleted_at,
            one.expires_at,
            one.storage,
          ]),
        );
      });
    });

  bin
    .command('restore')
    .description('put entries back to where they were')
    .argument('<user>')
    .argument('<entry...>')
    .option('--keep-both', 'under another name where something has theirs')
    .option(
      '--earlier-holder',
      'also what an earlier holder of the name deleted; it is the present one’s then',
    )
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async (user: string, ids: readonly string[], options: RestoreOptions) => {
      const restored: z.output<typeof restoredAnswer>[] = [];
      for (const id of ids) {
        const json = await context.call('POST', `/v1/users/${segment(user)}/bin/${segment(id)}/restore`, {
          body: {
            reason: options.reason,
            keep_both: options.keepBoth ?? false,
            earlier_holder: options.earlierHolder ?? false,
          },
        });
        restored.push(readAnswer(restoredAnswer, json));
      }
      context.print({ restored }, () => restored.map(({ path }) => `Restored ${path}.\n`).join(''));
    });

  bin
    .command('empty')
    .description('remove entries for good; without entries all')
    .argument('<user>')
    .argument('[entry...]')
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async (user: string, ids: readonly string[], { reason }: { readonly reason: string }) => {
      const json = await context.call('POST', `/v1/users/${segment(user)}/bin/empty`, {
        body: { reason, ...(ids.length > 0 && { ids }) },
      });
      context.print(json, () => {
        const { dropped } = readAnswer(droppedAnswer, json);
        return `Removed ${dropped} ${dropped === 1 ? 'entry' : 'entries'} for good.\n`;
      });
    });
}
