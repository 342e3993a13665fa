import { reportBytesMax, reportTimeoutMs } from '#main-agent/incident/limits.ts';
import { incidentReport, type IncidentReport } from '#main-agent/incident/report.ts';
import { SallyportError } from '#shared/error.ts';
import { showInvisible } from '#shared/visible-text.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { formatFacts, formatTable } from './table.ts';
import { readTime } from './time-option.ts';

/** `sallyport nodes incident`: a DMZ box was broken into. */

interface Options {
  readonly since: string;
  readonly until?: string;
  readonly undo?: boolean;
  readonly rehearse?: boolean;
  readonly reason?: string;
}

export function addIncidentCommand(nodes: Command, context: CommandContext): void {
  nodes
    .command('incident')
    .description('a node was broken into: revoke it, list what came through it, undo what can be undone')
    .argument('<node>')
    .requiredOption('--since <time>', '2026-11-24T08:00:00Z, 2026-11-24, or 12h for twelve hours ago')
    .option('--until <time>', 'as --since; default: now')
    .option('--undo', 'undo what can be undone; again after a crash, it goes on')
    .option('--rehearse', 'change nothing, revoke nothing: list the same, and what --undo would do')
    .option('--reason <text>', 'why; it is audited')
    .action(async (node: string, options: Options) => {
      const json = await ask(context, node, options);
      context.print(json, () => show(readAnswer(incidentReport, json)));
    });
}

function ask(context: CommandContext, node: string, options: Options): Promise<unknown> {
  const { undo, rehearse, reason } = options;
  if (rehearse === true && undo === true)
    throw new SallyportError('usage', '--rehearse tells already what --undo would do', {
      hint: 'one of them',
    });
  const since = readTime('--since', options.since, context.nowMs);
  const until = options.until === undefined ? undefined : readTime('--until', options.until, context.nowMs);
  const patience = { timeoutMs: reportTimeoutMs, answerBytesMax: reportBytesMax };
  if (rehearse === true)
    return context.call('GET', `/v1/nodes/${segment(node)}/incident`, {
      query: { since, until },
      ...patience,
    });
  return context.call('POST', `/v1/nodes/${segment(node)}/incident`, {
    body: { since, until, undo: undo ?? false, reason },
    ...patience,
  });
}

function show(report: IncidentReport): string {
  const { people, sessions, changes, files, other, counts } = report;
  return [
    showHead(report),
    section(
      'People',
      counts,
      'people',
      people,
      ['user', 'signed in', 'by', 'refused', 'password', 'addresses', 'agents', 'last'],
      (one) => [
        one.user,
        one.signed_in,
        one.factors,
        Object.entries(one.refused).map(([why, count]) => `${count} ${why}`),
        one.password_seen ? 'seen' : undefined,
        one.addresses.map(showSeen),
        one.agents.map(showSeen),
        one.last,
      ],
    ),
    section(
      'Sessions',
      counts,
      'sessions',
      sessions,
      ['session', 'user', 'protocol', 'address', 'opened', 'ended'],
      (one) => [one.session, one.user, one.protocol, one.client_ip, one.at ?? 'before', one.ended],
    ),
    section(
      'Changes of accounts',
      { changes: changes.length },
      'changes',
      changes,
      ['time', 'user', 'what', 'address', 'subject', 'state', 'note'],
      (one) => [one.at, one.user, one.kind, one.client_ip, one.subject, one.state, one.note],
    ),
    section(
      'Files',
      counts,
      'files',
      files,
      ['record', 'time', 'user', 'what', 'path', 'bytes', 'sha-256', 'undo', 'note'],
      (one) => [
        one.record,
        one.at,
        one.user,
        one.outcome === 'ok' ? one.what : `${one.what}: ${one.outcome}`,
        one.to_path === undefined ? one.path : `${one.path} → ${one.to_path}`,
        one.bytes,
        one.sha256,
        undoWords[one.undo.state],
        one.undo.note,
      ],
    ),
    section(
      'Other records',
      counts,
      'other',
      other,
      ['record', 'time', 'event', 'user', 'address', 'detail'],
      (one) => [one.record, one.at, one.event, one.user, one.client_ip, one.detail],
    ),
    showKnown(report),
    showSteps(report),
  ].join('\n');
}

const undoWords: Readonly<Record<IncidentReport['files'][number]['undo']['state'], string>> = {
  none: '-',
  'can be': 'can be',
  'would be': 'would be undone',
  undone: 'undone',
  before: 'undone before',
  nothing: 'nothing to undo',
  left: 'left',
};

function showHead({
  node,
  since,
  until,
  mode,
  node_state: { state, sessions_ended: ended },
  counts,
  changes,
}: IncidentReport): string {
  const countOf = (what: string): number => counts[what] ?? 0;
  const done = countOf('undone') + changes.filter((one) => one.state === 'revoked').length;
  const summary = {
    listed: undefined,
    rehearsed: `would undo ${countOf('would be') + changes.filter((one) => one.state === 'in force').length}, leave ${countOf('left')}`,
    undone: done === 0 ? `nothing to do, left ${countOf('left')}` : `undone ${done}, left ${countOf('left')}`,
  }[mode];
  return formatFacts({
    node: ended === undefined ? `${node}: ${state}` : `${node}: ${state}, ended ${ended} sessions`,
    window: `${since} to ${until}`,
    ...(mode === 'rehearsed' && { rehearsal: 'nothing was changed' }),
    undo: summary,
  });
}

/** Nothing where there is none of it. */
function section<Row>(
  title: string,
  counts: Readonly<Record<string, number>>,
  of: string,
  rows: readonly Row[],
  headings: readonly string[],
  view: (row: Row) => readonly unknown[],
): string {
  const all = counts[of] ?? rows.length;
  const heading = all > rows.length ? `${title}: ${all}, the newest ${rows.length}` : `${title}: ${all}`;
  return rows.length === 0 ? `${heading}\n` : `${heading}\n${formatTable(headings, rows.map(view))}`;
}

function showSeen({ value, new: isNew }: { readonly value: string; readonly new: boolean }): string {
  return isNew ? `${value} (new)` : value;
}

function showKnown({
  known: { records, gaps, never, compared_since: since },
  more,
  more_until: until,
  counts: { strangers = 0 },
}: IncidentReport): string {
  const lines = [
    `Looked at ${records} audit records of the window; what is new was compared since ${since}.`,
    ...gaps.map(({ from, to, why }) => `Not known: ${why} (${from ?? '…'} to ${to ?? '…'}).`),
    ...(strangers > 0 ? [`Not listed: ${strangers} tries under names that are no user’s.`] : []),
    ...(more
      ? [
          until === undefined
            ? 'There is more than is listed: ask for less, with --since and --until.'
            : `There is more: ask again with --until ${until}.`,
        ]
      : []),
    ...never.map((what) => `No record is made of: ${what}.`),
  ];
  return lines.map((line) => `${showInvisible(line)}\n`).join('');
}

function showSteps({ steps }: IncidentReport): string {
  const shown = steps.map(({ title, why, users = [], commands = [] }, index) =>
    [
      `${index + 1}. ${title}`,
      `   ${why}`,
      ...(users.length === 0 ? [] : [`   users: ${users.join(', ')}`]),
      ...commands.map((command) => `   $ ${command}`),
    ]
      .map(showInvisible)
      .join('\n'),
  );
  return `What people do now, in this order:\n${shown.join('\n')}\n`;
}
