import { AuditReader, type NumberedRecord, type ReaderSurroundings } from '#main-agent/audit/audit-reader.ts';
import type { EventMailConfig } from '#main-agent/config-events.ts';
import type { Audit } from '#main-agent/state/audit-record.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { toSallyportError } from '#shared/error.ts';
import { addressed, buildMailFilter, composeEventMail } from './event-mail.ts';
import { eventBacklogMax, eventMailPatienceMs, eventMailRecordsMax } from './limits.ts';
import { type Mailer, refusalOf } from './mail.ts';

/**
 * Mails that tell what happened: readers of the audit, each with its place. What happens within a short time is one mail.
 * Each mail is a record of its own, also one that the relay will never take: the others must not wait for it.
 * An address that is refused for now is tried again together with what happened since, for `eventMailPatienceMs`; the
 * others are told of that at each try.
 */
interface EventMailSurroundings extends ReaderSurroundings {
  readonly mailer: Pick<Mailer, 'send'>;
  readonly users: Pick<UserSource, 'find'>;
  readonly audit: Audit;
  /** How it calls itself now. */
  readonly service: () => string;
}

interface EventMailSettings {
  readonly config: EventMailConfig;
  readonly wants: ReturnType<typeof buildMailFilter>;
}

/** Those of the configuration. */
export function readEventMails(
  configured: readonly EventMailConfig[],
  users: Pick<UserSource, 'find'>,
): { readonly address: string; readonly settings: EventMailSettings }[] {
  return configured.map((config) => ({
    address: `mail:${config.name}`,
    settings: { config, wants: buildMailFilter(config, (username) => users.find(username)) },
  }));
}

export function buildEventMail(
  address: string,
  settings: EventMailSettings,
  around: EventMailSurroundings,
): AuditReader<EventMailSettings> {
  const { mailer, users, audit, service, ...rest } = around;
  const { name } = settings.config;
  /** Up to which record each address has been told of a load that could not be told to all. */
  let told = new Map<string, number>();
  /** Since when each address has been refused for now. */
  const refusedSinceMs = new Map<string, number>();

  async function tell(
    to: string,
    records: readonly NumberedRecord[],
    { template }: EventMailConfig,
    signal: AbortSignal,
  ): Promise<void> {
    const news = records.filter(({ sequence }) => sequence > (told.get(to) ?? 0));
    const last = news.at(-1);
    if (last === undefined) return;
    const problem = await send(composeEventMail(to, news, { name, service: service(), template }), signal);
    const outcome = problem === undefined ? 'ok' : 'failed';
    const numbers =
      news.length === 1 ? `record ${last.sequence}` : `${news.length} records to ${last.sequence}`;
    const detail = `${numbers}, to ${to}${problem === undefined ? '' : `: ${problem}`}`;
    await audit.append(buildRecord(around, 'notice.sent', outcome, { actor: 'system', rule: name, detail }));
    told.set(to, last.sequence);
  }

  /** Why the relay never takes it, or did not for too long; rejects when it may take it later. */
  async function send(mail: Parameters<Mailer['send']>[0], signal: AbortSignal): Promise<string | undefined> {
    const aborted = Promise.withResolvers<never>();
    const giveUp = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    const { to } = mail;
    try {
      await Promise.race([mailer.send(mail), aborted.promise]);
      refusedSinceMs.delete(to);
      return undefined;
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined || (refusal === 'for-now' && !isPatienceOver(to))) throw error;
      refusedSinceMs.delete(to);
      const { detail, publicMessage } = toSallyportError(error);
      const patience = refusal === 'for-now' ? `given up after ${eventMailPatienceMs / 3_600_000} h: ` : '';
      return `${patience}${detail ?? publicMessage}`;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  function isPatienceOver(to: string): boolean {
    const now = around.clock.monotonic();
    const sinceMs = refusedSinceMs.get(to) ?? now;
    refusedSinceMs.set(to, sinceMs);
    return now - sinceMs >= eventMailPatienceMs;
  }

  /** Rejects with why the first of those who have to wait does, after all others were told. */
  async function tellAll(
    records: readonly NumberedRecord[],
    signal: AbortSignal,
    { config }: EventMailSettings,
  ): Promise<void> {
    const refusals: unknown[] = [];
    for (const [to, own] of addressed(config.to, records, (username) => users.find(username))) {
      try {
        await tell(to, own, config, signal);
      } catch (error) {
        if (refusalOf(error) === undefined) throw error;
        refusals.push(error);
      }
    }
    if (refusals.length > 0) throw refusals[0];
    told = new Map();
  }

  return new AuditReader({
    ...rest,
    settings,
    address,
    kind: 'mail',
    host: name,
    section: 'events.mails',
    wants: (record, { wants }) => wants(record),
    backlogMax: eventBacklogMax,
    togetherMax: eventMailRecordsMax,
    gatherMs: ({ config }) => config.withinMs,
    take: tellAll,
  });
}
