import { AuditReader, type NumberedRecord, type ReaderSurroundings } from '#main-agent/audit/audit-reader.ts';
import { buildEventFilter } from './event-filter.ts';
import type { EventMailConfig } from '#main-agent/config-events.ts';
import type { Audit } from '#main-agent/state/audit-record.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { toSallyportError } from '#shared/error.ts';
import { composeEventMail } from './event-mail.ts';
import { eventBacklogMax, eventMailRecordsMax } from './limits.ts';
import { isRefusedForGood, type Mailer } from './mail.ts';

/**
 * Mails that tell what happened: readers of the audit, each with its place. What happens within a short time is one mail.
 * Each mail is a record of its own, also one that the relay will never take: the others must not wait for it.
 */
interface EventMailSurroundings extends ReaderSurroundings {
  readonly mailer: Mailer;
  readonly users: Pick<UserSource, 'find'>;
  readonly audit: Audit;
  readonly service: string;
}

/** All of the configuration, which has a relay where it has mails. */
export async function startEventMails(
  configured: readonly EventMailConfig[],
  mailer: Mailer | undefined,
  around: Omit<EventMailSurroundings, 'mailer'>,
): Promise<readonly AuditReader[]> {
  if (mailer === undefined) return [];
  const readers = configured.map((one) => buildEventMail(one, { ...around, mailer }));
  for (const reader of readers) await reader.start();
  return readers;
}

/** Told of no mails: a notice of notices would go on for ever. */
const ownEvent = 'notice.';

export function buildEventMail(config: EventMailConfig, around: EventMailSurroundings): AuditReader {
  const { mailer, users, audit, service, ...rest } = around;
  const { name, template } = config;
  const fits = buildEventFilter(config, (username) => users.find(username));
  /** Up to which record each address has been told of a load that could not be told to all. */
  let told = new Map<string, number>();

  async function tell(to: string, records: readonly NumberedRecord[], signal: AbortSignal): Promise<void> {
    const news = records.filter(({ sequence }) => sequence > (told.get(to) ?? 0));
    const last = news.at(-1);
    if (last === undefined) return;
    const problem = await send(composeEventMail(to, news, { name, service, template }), signal);
    const outcome = problem === undefined ? 'ok' : 'failed';
    const numbers =
      news.length === 1 ? `record ${last.sequence}` : `${news.length} records to ${last.sequence}`;
    const detail = `${numbers}, to ${to}${problem === undefined ? '' : `: ${problem}`}`;
    await audit.append(buildRecord(around, 'notice.sent', outcome, { actor: 'system', rule: name, detail }));
    told.set(to, last.sequence);
  }

  /** Why the relay will never take it; rejects when it may take it later. */
  async function send(mail: Parameters<Mailer['send']>[0], signal: AbortSignal): Promise<string | undefined> {
    const aborted = Promise.withResolvers<never>();
    const giveUp = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await Promise.race([mailer.send(mail), aborted.promise]);
      return undefined;
    } catch (error) {
      if (!isRefusedForGood(error)) throw error;
      const { detail, publicMessage } = toSallyportError(error);
      return detail ?? publicMessage;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  return new AuditReader({
    ...rest,
    address: `mail:${name}`,
    kind: 'mail',
    host: name,
    section: 'events.mails',
    wants: (record) => !record.event.startsWith(ownEvent) && fits(record),
    backlogMax: eventBacklogMax,
    togetherMax: eventMailRecordsMax,
    gatherMs: config.withinMs,
    take: async (records, signal) => {
      for (const [to, own] of addressed(config.to, records, users)) await tell(to, own, signal);
      told = new Map();
    },
  });
}

/** Who is told what. A user without an address is told nothing. */
function addressed(
  to: EventMailConfig['to'],
  records: readonly NumberedRecord[],
  users: Pick<UserSource, 'find'>,
): ReadonlyMap<string, readonly NumberedRecord[]> {
  const all = new Map<string, NumberedRecord[]>();
  for (const one of records) {
    const addresses = to.map((address) =>
      address === 'user' ? users.find(one.record.user ?? '')?.email : address,
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
