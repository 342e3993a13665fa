import { nodeChangesPage } from '#main-agent/admin/answers.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { readTime } from './time-option.ts';
import { segment, type CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport nodes changes`: what came through a node that was not ours for a while, and undoing it. */

interface Options {
  readonly since: string;
  readonly until?: string;
  readonly revoke?: boolean;
  readonly reason?: string;
}

export function addNodeChangeCommands(nodes: Command, context: CommandContext): void {
  nodes
    .command('changes')
    .description('what users enrolled, changed or were given through a node; --revoke undoes it')
    .argument('<node>')
    .requiredOption('--since <time>', '2026-11-24T08:00:00Z, 2026-11-24, or 12h for twelve hours ago')
    .option('--until <time>', 'as --since; default: now')
    .option('--revoke', 'undo all of it that is in force')
    .option('--reason <text>', 'why it is undone; it is audited')
    .action(async (node: string, options: Options) => {
      const json = await ask(context, node, options);
      context.print(json, () => show(json));
    });
}

function ask(context: CommandContext, node: string, options: Options): Promise<unknown> {
  const { revoke, reason } = options;
  const since = readTime('--since', options.since, context.nowMs);
  const until = options.until === undefined ? undefined : readTime('--until', options.until, context.nowMs);
  if (revoke !== true)
    return context.call('GET', `/v1/nodes/${segment(node)}/changes`, { query: { since, until } });
  if (reason === undefined)
    throw new SallyportError('usage', 'Say why', { hint: '--reason "dmz1 was broken into"' });
  return context.call('POST', `/v1/nodes/${segment(node)}/changes/revoke`, {
    body: { since, ...(until !== undefined && { until }), reason },
  });
}

function show(json: unknown): string {
  const { changes, more } = readAnswer(nodeChangesPage, json);
  const headings = ['time', 'user', 'what', 'address', 'subject', 'state', 'note'];
  const rows = changes.map(({ at, user, kind, client_ip: ip, subject, state, note }) => [
    at,
    user,
    kind,
    ip,
    subject,
    state,
    note,
  ]);
  const table = formatTable(headings, rows);
  return more ? `${table}\nThere are more: ask again from the last time on.\n` : table;
}
