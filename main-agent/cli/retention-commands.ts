import { retentionAnswer, retentionPage } from '#main-agent/admin/answers.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport retention …`: what the rules of mounts delete, before and after they do. */

const rowsPerPage = 1000;

interface RunOptions {
  readonly dryRun?: boolean;
  readonly unlisted?: boolean;
  readonly reason?: string;
}

export function addRetentionCommands(program: Command, context: CommandContext): void {
  const retention = program
    .command('retention')
    .description('files that go by the retention rules of mounts');

  retention
    .command('preview')
    .description('what the next run deletes and the one after it, and when')
    .action(() => printPlan(context, { at: 'next' }));

  retention
    .command('run')
    .description('delete now what is due and a list named a day before; a run comes once a day by itself')
    .option('--dry-run', 'only say what would go')
    .option('--unlisted', 'also what no list named before, such as by a new rule')
    .option('--reason <text>', 'why; it is audited')
    .action(async ({ dryRun, unlisted = false, reason }: RunOptions) => {
      if (dryRun === true) return printPlan(context, { at: 'now', unlisted: String(unlisted) });
      if (reason === undefined) throw new SallyportError('usage', 'Say why: --reason TEXT');
      const json = await context.call('POST', '/v1/retention/run', { body: { reason, unlisted } });
      context.print(json, () => {
        const { deleted, bytes, left, failed, newly_listed, complete } = readAnswer(retentionAnswer, json);
        if (!complete) return 'It goes on by itself; the audit says how it ends (retention.ran).\n';
        return (
          `Deleted ${deleted} (${bytes} bytes), left ${left} that are in use, failed ${failed}.\n` +
          (newly_listed === 0
            ? ''
            : `${newly_listed} more are due and listed now; the next run deletes them.\n`)
        );
      });
    });
}

async function printPlan(
  context: CommandContext,
  query: { readonly at: string; readonly unlisted?: string },
): Promise<void> {
  const read = async (cursor: string | undefined) => {
    const page = { ...query, cursor, limit: rowsPerPage };
    return readAnswer(retentionPage, await context.call('GET', '/v1/retention/plan', { query: page }));
  };
  const first = await read(undefined);
  const entries = [...first.entries];
  for (let { next } = first; next !== undefined && entries.length < first.count;) {
    const page = await read(next);
    entries.push(...page.entries);
    next = page.next;
  }
  const { at, count, bytes, complete, unlooked, unserved } = first;
  context.print({ at, count, bytes, complete, unlooked, unserved, entries }, () => {
    const notes = [
      ...(complete ? [] : ['More falls due than one run lists; the others follow.']),
      ...(unlooked === 0 ? [] : [`${unlooked} folders could not be looked into.`]),
      ...(unserved === 0 ? [] : [`${unserved} entries that no listing shows stay.`]),
    ].map((note) => `${note}\n`);
    if (entries.length === 0) return ['Nothing is deleted.\n', ...notes].join('');
    const table = formatTable(
      ['deleted', 'storage', 'place', 'path', 'bytes', 'changed', 'due'],
      entries.map((one) => [
        one.deleted_at,
        one.storage,
        one.type === 'folder' ? `${one.place}/` : one.place,
        one.user === undefined ? one.path : `${one.user}:${one.path}`,
        one.bytes,
        one.changed_at,
        one.due_at,
      ]),
    );
    return [table, `\n${count} in all, ${bytes} bytes.\n`, ...notes].join('');
  });
}
