import { readSecretFile } from '#shared/config/file-path.ts';
import { Secret } from '#shared/secret.ts';
import type { AuditReader } from '#main-agent/audit/audit-reader.ts';
import { buildEventFilter, type EventFilter } from './event-filter.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { buildWebhook, type WebhookOptions } from './webhook.ts';
import { parseWebhookSecret } from './webhook-message.ts';

interface WebhookConfig extends EventFilter {
  readonly url: string;
  readonly secretFile: string;
}

/** All of the configuration. Rejects `config` when a secret can't be used. */
export async function startWebhooks(
  configured: readonly WebhookConfig[],
  around: Omit<WebhookOptions, 'url' | 'wants' | 'secret'> & {
    readonly credentials?: string;
    readonly users: Pick<UserSource, 'find'>;
  },
): Promise<readonly AuditReader[]> {
  const { credentials, users, ...rest } = around;
  // All of them before the first starts: a secret that can't be used leaves none running.
  const webhooks: AuditReader[] = [];
  for (const { url, secretFile, ...filter } of configured) {
    const content = await readSecretFile(secretFile, credentials);
    const secret = new Secret(parseWebhookSecret(content.expose()));
    const wants = buildEventFilter(filter, (username) => users.find(username));
    webhooks.push(buildWebhook({ ...rest, url: new URL(url), wants, secret }));
  }
  for (const webhook of webhooks) await webhook.start();
  return webhooks;
}
