import { AuditReader, type ReaderSurroundings } from '#main-agent/audit/audit-reader.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import { Secret } from '#shared/secret.ts';
import { buildEventFilter, type EventFilter } from './event-filter.ts';
import { eventBacklogMax } from './limits.ts';
import { buildWebhookMessage, parseWebhookSecret } from './webhook-message.ts';

interface WebhookConfig extends EventFilter {
  readonly url: string;
  readonly secretFile: string;
}

interface WebhookSettings {
  readonly url: URL;
  readonly wants: (record: AuditRecord) => boolean;
  readonly secret: Secret<Buffer>;
}

/** Those of the configuration. Rejects `config` when a secret can't be used. */
export async function readWebhooks(
  configured: readonly WebhookConfig[],
  users: Pick<UserSource, 'find'>,
  credentials: string | undefined,
): Promise<{ readonly address: string; readonly settings: WebhookSettings }[]> {
  const webhooks = [];
  for (const { url: text, secretFile, ...filter } of configured) {
    const content = await readSecretFile(secretFile, credentials);
    const secret = new Secret(parseWebhookSecret(content.expose()));
    const url = new URL(text);
    const wants = buildEventFilter(filter, (username) => users.find(username));
    webhooks.push({ address: url.href, settings: { url, wants, secret } });
  }
  return webhooks;
}

/** One webhook: a reader of the audit that gets one event a request. */
export function buildWebhook(
  address: string,
  settings: WebhookSettings,
  around: ReaderSurroundings & { readonly main: string; readonly outbound: OutboundClient },
): AuditReader<WebhookSettings> {
  const { main, outbound, ...rest } = around;
  return new AuditReader({
    ...rest,
    settings,
    address,
    kind: 'webhook',
    host: settings.url.host,
    section: 'events.webhooks',
    wants: (record, { wants }) => wants(record),
    backlogMax: eventBacklogMax,
    togetherMax: 1,
    take: async (records, signal, { url, secret }) => {
      for (const one of records) {
        const message = buildWebhookMessage(main, one, { secret, nowMs: around.clock.now() });
        const { status } = await outbound.send({ url, method: 'POST', ...message, signal });
        if (status < 200 || status > 299) throw new Error(`it answered with status ${status}`);
      }
    },
  });
}
