import { auditPage, auditRecords } from '#main-agent/admin/audit-answers.ts';
import { exportFormats } from '#main-agent/audit/export-formats.ts';
import { exportAudit } from '#main-agent/audit/export.ts';
import type { AuditFilter } from '#main-agent/audit/audit-query.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { type Command, Option } from 'commander';
import { resolve } from 'node:path';
import { readAnswer } from './answers.ts';
import { addAuditVerify } from './audit-verify.ts';
import { segment, type CommandContext } from './command-context.ts';
import { addNoticeCommand } from './notice-command.ts';
import { requireConfigFile } from './system-commands.ts';
import { formatFacts, formatTable, formatValue } from './table.ts';
import { readTime } from './time-option.ts';

/** `sallyport audit …`: who did what, and which rule decided. */

interface FilterOptions {
  readonly user?: string;
  readonly event?: string;
  readonly outcome?: string;
  readonly node?: string;
  readonly reference?: string;
  readonly since?: string;
  readonly until?: string;
}

interface ExportOptions extends FilterOptions {
  readonly file?: string;
  readonly format: keyof typeof exportFormats;
}

export function addAuditCommands(program: Command, context: CommandContext): void {
  const audit = program.command('audit').description('who did what, and which rule decided');

  audit
    .command('show')
    .description('the records of a reference that a user reads out')
    .argument('<reference>')
    .action(async (reference: string) => {
      const json = await context.call('GET', `/v1/audit/${segment(reference.toUpperCase())}`);
      context.print(json, () => readAnswer(auditRecords, json).records.map(formatFacts).join('\n'));
    });

  withFilter(audit.command('tail').description('the newest records, or those since a time'))
    .option('-n <count>', 'how many', '20')
    .option('-f, --follow', 'go on with new records as they come, until interrupted')
    .action(async (options: FilterOptions & { readonly n: string; readonly follow?: boolean }) => {
      const filter = readFilter(options, context.nowMs);
      let query: Readonly<Record<string, string | number | undefined>> = { ...filter, limit: options.n };
      for (;;) {
        const json = await context.call('GET', '/v1/audit', { query });
        const { records, next } = readAnswer(auditPage, json);
        if (options.follow !== true) {
          context.print(json, () => showRecords(records));
          return;
        }
        for (const one of records) context.print(one, () => showLine(one));
        query = { ...filter, after: next, wait: 'yes' };
      }
    });

  addAuditVerify(audit, context);
  addNoticeCommand(audit, context);

  audit
    .command('acknowledge')
    .description('state.db or the audit was put back, and you know why: status says it no more')
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async ({ reason }: { readonly reason: string }) => {
      const json = await context.call('POST', '/v1/audit/acknowledge', { body: { reason } });
      context.print(json, () => 'Acknowledged. `sallyport audit verify` goes on saying it.\n');
    });

  withFilter(
    audit
      .command('export')
      .description(
        'records with their numbers, as JSON lines with hashes, as a table or for a collector; from the files, works while main is down',
      ),
  )
    .option('--file <file>', 'a file other than the configured one')
    .addOption(
      new Option('--format <format>', 'how they are written')
        .choices(Object.keys(exportFormats))
        .default('jsonl'),
    )
    .action(async (options: ExportOptions) => {
      const file = await findAuditFile(context, options.file);
      const filter = readFilter(options, context.nowMs);
      for await (const line of exportAudit(file, filter, exportFormats[options.format]))
        context.terminal.out(line);
    });
}

/** The file named, or the one that the configuration names. */
async function findAuditFile(context: CommandContext, named: string | undefined): Promise<string> {
  if (named !== undefined) return resolve(context.folder, named);
  return (await loadMainAgentConfig(await requireConfigFile(context))).audit.file;
}

function withFilter(command: Command): Command {
  return command
    .option('--user <name>', 'acted on, or acting')
    .option('--event <name>', 'such as login.refused, or login.*')
    .option('--outcome <outcome>', 'ok, refused, failed, cut or partial')
    .option('--node <name>', 'through which DMZ node')
    .option('--reference <reference>', 'that a user was shown')
    .option('--since <time>', '2026-11-24T08:00:00Z, 2026-11-24, or 12h for twelve hours ago')
    .option('--until <time>', 'as --since');
}

function readFilter(options: FilterOptions, nowMs: number): AuditFilter {
  const { user, event, outcome, node, reference, since, until } = options;
  return {
    user,
    event,
    outcome,
    node,
    reference: reference?.toUpperCase(),
    since: since === undefined ? undefined : readTime('--since', since, nowMs),
    until: until === undefined ? undefined : readTime('--until', until, nowMs),
  };
}

type NumberedFacts = Readonly<{ sequence: number; record: Readonly<Record<string, unknown>> }>;

const columns = ['time', 'event', 'outcome', 'user', 'actor', 'node', 'clientIp', 'rule', 'reference'];

function showRecords(records: readonly NumberedFacts[]): string {
  return formatTable(
    ['number', 'time', 'event', 'outcome', 'user', 'actor', 'node', 'address', 'rule', 'reference'],
    records.map(({ sequence, record }) => [sequence, ...columns.map((key) => record[key])]),
  );
}

/** Lines that come one by one have no table to stand in. */
function showLine({ sequence, record }: NumberedFacts): string {
  const { time, event, outcome, ...facts } = record;
  const named = Object.entries(facts).map(([key, value]) => `${key}=${formatValue(value)}`);
  return `${[sequence, time, event, outcome].map(formatValue).join('  ')}  ${named.join(' ')}\n`;
}
