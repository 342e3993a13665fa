import { AuditReader, type ReaderSurroundings } from '#main-agent/audit/audit-reader.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { Secret } from '#shared/secret.ts';
import { eventBacklogMax } from './limits.ts';
import { buildWebhookMessage } from './webhook-message.ts';

/** One webhook: a reader of the audit that gets one event a request. */
export interface WebhookOptions extends ReaderSurroundings {
  readonly url: URL;
  readonly wants: (record: AuditRecord) => boolean;
  readonly secret: Secret<Buffer>;
  readonly main: string;
  readonly outbound: OutboundClient;
}

export function buildWebhook({ url, wants, secret, main, outbound, ...around }: WebhookOptions): AuditReader {
  return new AuditReader({
    ...around,
    address: url.href,
    kind: 'webhook',
    host: url.host,
    section: 'events.webhooks',
    wants,
    backlogMax: eventBacklogMax,
    togetherMax: 1,
    take: async (records, signal) => {
      for (const one of records) {
        const message = buildWebhookMessage(main, one, { secret, nowMs: around.clock.now() });
        const { status } = await outbound.send({ url, method: 'POST', ...message, signal });
        if (status < 200 || status > 299) throw new Error(`it answered with status ${status}`);
      }
    },
  });
}
