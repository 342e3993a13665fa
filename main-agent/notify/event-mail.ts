import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { showInvisible } from '#shared/visible-text.ts';
import { buildEventFilter } from './event-filter.ts';
import { eventMailLinesMax, eventMailTextCharactersMax } from './limits.ts';
import type { Mail } from './mail.ts';
import { asHtml, asLine, asPlainText, fillTemplate } from './template.ts';

/**
 * A mail that tells what happened, from the admin's template.
 *
 * Trust: names of files, and of users who were refused, are strangers': one line each, in the text alone and never in a
 * header but as part of the one line that the subject is.
 */
interface EventMailTemplate {
  readonly subject: string;
  /** Of one event. */
  readonly line: string;
  /** With `{events}`, the lines. */
  readonly text: string;
}

/** What of a record is told. */
export interface MailedRecord {
  readonly sequence: number;
  readonly record: Pick<AuditRecord, 'time' | 'outcome'> & {
    /** Where a command asks another version of main there may be others. */
    readonly event: string;
  } & {
    readonly [K in 'user' | 'path' | 'toPath' | 'bytes' | 'protocol' | 'clientIp']?:
      AuditRecord[K] | undefined;
  };
}

/** What may stand in each. */
export const eventMailParts = {
  subject: ['service', 'name', 'summary', 'count'],
  line: ['time', 'user', 'event', 'outcome', 'path', 'to_path', 'bytes', 'protocol', 'client_ip', 'sequence'],
  text: ['service', 'name', 'summary', 'count', 'events'],
} as const;

export const eventMailTexts: EventMailTemplate = {
  subject: '{service}: {summary}',
  line: '{time}  {user}  {event}  {path}  {bytes}',
  text: '{events}\n\nThis is the notice "{name}" of {service}.\n',
};

/** Told of no mails: a notice of notices would go on for ever. */
const ownEvents = 'notice.';

export function buildMailFilter(
  ...of: Parameters<typeof buildEventFilter>
): ReturnType<typeof buildEventFilter> {
  const fits = buildEventFilter(...of);
  return (record) => !record.event.startsWith(ownEvents) && fits(record);
}

/** Who is told what: by address. A user without one is told nothing. */
export function addressed<T extends MailedRecord>(
  to: readonly string[],
  records: readonly T[],
  findUser: (username: string) => { readonly email?: string | undefined } | undefined,
): ReadonlyMap<string, readonly T[]> {
  const all = new Map<string, T[]>();
  for (const one of records) {
    const addresses = to.map((address) =>
      address === 'user' ? findUser(one.record.user ?? '')?.email : address,
    );
    for (const address of new Set(addresses)) {
      if (address === undefined) continue;
      const own = all.get(address) ?? [];
      own.push(one);
      all.set(address, own);
    }
  }
  return all;
}

export function composeEventMail(
  to: string,
  records: readonly MailedRecord[],
  around: { readonly name: string; readonly service: string; readonly template: EventMailTemplate },
): Mail {
  const { name, service, template } = around;
  const lines = records.slice(0, eventMailLinesMax).map((one) => describeEvent(one, template.line));
  const more = records.length - lines.length;
  if (more > 0) lines.push(`and ${more} more: sallyport audit tail`);
  const values = { service, name, summary: summarize(records), count: String(records.length) };
  const text = fillTemplate(template.text, { ...values, events: lines.join('\n') }, asPlainText);
  return {
    to,
    subject: fillTemplate(template.subject, values, asLine),
    text,
    html: `<pre>${asHtml(text)}</pre>\n`,
  };
}

/** What a reader of the subject needs first: which file it was, or how many. */
function summarize(records: readonly MailedRecord[]): string {
  const [first] = records;
  if (first === undefined) return 'nothing';
  const { event, path, user } = first.record;
  const kinds = new Set(records.map(({ record }) => record.event));
  const what = kinds.size === 1 ? event : 'events';
  if (records.length > 1) return `${records.length} ${what}`;
  return [what, shorten(path?.split('/').at(-1) ?? user ?? '')].filter((part) => part !== '').join(' ');
}

function describeEvent({ sequence, record }: MailedRecord, line: string): string {
  const { time, event, outcome, user, path, toPath, bytes, protocol, clientIp } = record;
  const values = {
    time: `${time.slice(0, 19).replace('T', ' ')} UTC`,
    user,
    event,
    outcome,
    path,
    to_path: toPath,
    bytes: bytes === undefined ? undefined : `${bytes} bytes`,
    protocol,
    client_ip: clientIp,
    sequence: String(sequence),
  };
  const texts = Object.entries(values).map(([key, value]) => [key, shorten(value ?? '')] as const);
  return fillTemplate(line, Object.fromEntries(texts), asPlainText).trimEnd();
}

/** One line, and what turns text around or hides is seen. */
function shorten(text: string): string {
  const shown = showInvisible(text);
  return shown.length > eventMailTextCharactersMax ? `${shown.slice(0, eventMailTextCharactersMax)}…` : shown;
}
