import { auditPage } from '#main-agent/admin/audit-answers.ts';
import { transfersPage } from '#main-agent/admin/answers.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { readPages } from './pages.ts';
import { readTime } from './time-option.ts';
import { formatTable } from './table.ts';

/** `sallyport transfers`: what flows now and, with --since, what is finished, from the audit. */

interface ListOptions {
  readonly user?: string;
  readonly node?: string;
  readonly since?: string;
}

/** Records of the audit one list may read. */
const recordsMax = 10_000;
const recordsPerPage = 1000;

export function addTransferCommands(program: Command, context: CommandContext): void {
  const transfers = program.command('transfers').description('files on their way, and those that arrived');

  transfers
    .command('list', { isDefault: true })
    .description('what flows now; with --since also what is finished')
    .option('--user <name>')
    .option('--node <name>')
    .option('--since <time>', 'today, 2026-11-24T08:00:00Z, or 12h for twelve hours ago')
    .action(async ({ user, node, since }: ListOptions) => {
      const live = await readPages(
        context,
        '/v1/transfers',
        { user, node },
        { key: 'transfers', schema: transfersPage },
      );
      const finished = since === undefined ? [] : await readFinished(context, { user, node, since });
      context.print({ transfers: live, ...(since !== undefined && { finished }) }, () =>
        formatTable(
          ['transfer', 'user', 'what', 'path', 'bytes', 'rate', 'time', 'node', 'outcome'],
          [
            ...finished.map((one) => [
              undefined,
              one.user,
              one.direction,
              one.path,
              describeBytes(one),
              undefined,
              one.time,
              one.node,
              one.outcome,
            ]),
            ...live.map((one) => [
              one.id,
              one.user,
              one.direction,
              one.path,
              one.bytes,
              `${Math.round(one.bytes_per_second / 1024)} KiB/s`,
              one.since,
              one.node,
              'running',
            ]),
          ],
        ),
      );
    });

  transfers
    .command('kick')
    .description('end one transfer now; an upload may be resumed')
    .argument('<transfer>', 'id of `transfers list`')
    .action(async (id: string) => {
      const json = await context.call('DELETE', `/v1/transfers/${segment(id)}`);
      context.print(json, () => 'Ended.\n');
    });
}

interface Finished {
  readonly user: unknown;
  readonly direction: string;
  readonly path: unknown;
  readonly bytes: number | undefined;
  readonly size: number | undefined;
  /** Of a download that was not whole: what its client has of it. */
  readonly acknowledged: number | undefined;
  readonly time: unknown;
  readonly node: unknown;
  readonly outcome: unknown;
}

/** Of what did not arrive whole, how much did. */
function describeBytes({ bytes, size, acknowledged }: Finished): unknown {
  return size === undefined ? bytes : `${acknowledged ?? bytes ?? 0} of ${size}`;
}

async function readFinished(
  context: CommandContext,
  {
    user,
    node,
    since,
  }: { readonly user: string | undefined; readonly node: string | undefined; readonly since: string },
): Promise<readonly Finished[]> {
  const found: Finished[] = [];
  const filter = {
    user,
    node,
    since: readTime('--since', since, context.nowMs),
    event: 'file.*',
    limit: recordsPerPage,
  };
  let after: number | undefined;
  for (;;) {
    const answer = readAnswer(
      auditPage,
      await context.call('GET', '/v1/audit', { query: { ...filter, after } }),
    );
    for (const { record } of answer.records) {
      const { event, path, bytes, size, acknowledged, time, outcome } = record;
      if (event !== 'file.upload' && event !== 'file.download') continue;
      const direction = event === 'file.upload' ? 'upload' : 'download';
      const facts = { user: record.user, direction, path, bytes, size, acknowledged };
      found.push({ ...facts, time, node: record.node, outcome });
    }
    if (!answer.more || answer.next === after || found.length >= recordsMax) return found;
    after = answer.next;
  }
}
