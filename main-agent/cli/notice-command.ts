import { auditPage } from '#main-agent/admin/audit-answers.ts';
import { userAnswer } from '#main-agent/admin/user-answers.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import {
  addressed,
  buildMailFilter,
  composeEventMail,
  type MailedRecord,
} from '#main-agent/notify/event-mail.ts';
import { eventMailRecordsMax } from '#main-agent/notify/limits.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { requireConfigFile } from './system-commands.ts';
import { readTime } from './time-option.ts';

/** `sallyport audit notice`: what a notice of `events.mails` makes of what happened, before anybody is mailed. */
export function addNoticeCommand(audit: Command, context: CommandContext): void {
  audit
    .command('notice')
    .description('the mails that a notice of events.mails makes of the records since a time; nothing is sent')
    .argument('<name>', 'as main-agent.yaml has it now')
    .option('--since <time>', '2026-11-24T08:00:00Z, 2026-11-24, or 12h for twelve hours ago', '24h')
    .action(async (name: string, { since }: { readonly since: string }) => {
      const { events, branding } = await loadMainAgentConfig(await requireConfigFile(context));
      const config = events.mails.find((mail) => mail.name === name);
      if (config === undefined)
        throw new SallyportError('not-found', `No notice is called ${name}`, {
          hint: `there are: ${events.mails.map((mail) => mail.name).join(', ') || 'none'}`,
        });
      const records = await readRecords(context, readTime('--since', since, context.nowMs));
      const isAboutUsers = config.groups !== undefined || config.to.includes('user');
      const users = isAboutUsers ? await readUsers(context, records) : new Map<string, User>();
      const wants = buildMailFilter(config, (username) => users.get(username));
      const wanted = records.filter(({ record }) => wants(record));
      const around = { name, service: branding.name, template: config.template };
      const mails = [...addressed(config.to, wanted, (username) => users.get(username))].map(([to, own]) => {
        const { subject, text } = composeEventMail(to, own, around);
        return { to, subject, text };
      });
      context.print({ mails }, () => {
        if (mails.length === 0) return `No mail: nothing since ${since} is what ${name} tells.\n`;
        const shown = mails.map(({ to, subject, text }) => `To: ${to}\nSubject: ${subject}\n\n${text}`);
        return shown.join('\n---\n');
      });
    });
}

type User = z.output<typeof userAnswer>;

async function readRecords(context: CommandContext, since: string): Promise<readonly MailedRecord[]> {
  const all: MailedRecord[] = [];
  let query: Readonly<Record<string, string | number>> = { since, limit: 1000 };
  while (all.length < eventMailRecordsMax) {
    const { records, next, more } = readAnswer(auditPage, await context.call('GET', '/v1/audit', { query }));
    all.push(...records);
    if (!more) break;
    query = { ...query, after: next };
  }
  return all;
}

/** Those whom the records are about; who is gone by now is nobody, as for main. */
async function readUsers(
  context: CommandContext,
  records: readonly MailedRecord[],
): Promise<ReadonlyMap<string, User>> {
  const users = new Map<string, User>();
  for (const username of new Set(records.flatMap(({ record }) => record.user ?? [])))
    try {
      users.set(
        username,
        readAnswer(userAnswer, await context.call('GET', `/v1/users/${segment(username)}`)),
      );
    } catch (error) {
      if (!isSallyportError(error, 'not-found')) throw error;
    }
  return users;
}
