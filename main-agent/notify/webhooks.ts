import { readSecretFile } from '#shared/config/file-path.ts';
import { Secret } from '#shared/secret.ts';
import type { AuditReader } from '#main-agent/audit/audit-reader.ts';
import { buildWebhook, type WebhookOptions } from './webhook.ts';
import { parseWebhookSecret } from './webhook-message.ts';

interface WebhookConfig {
  readonly url: string;
  readonly events: readonly string[];
  readonly secretFile: string;
}

/** All of the configuration. Rejects `config` when a secret can't be used. */
export async function startWebhooks(
  configured: readonly WebhookConfig[],
  around: Omit<WebhookOptions, 'url' | 'events' | 'secret'> & { readonly credentials?: string },
): Promise<readonly AuditReader[]> {
  const { credentials, ...rest } = around;
  // All of them before the first starts: a secret that can't be used leaves none running.
  const webhooks: AuditReader[] = [];
  for (const { url, events, secretFile } of configured) {
    const content = await readSecretFile(secretFile, credentials);
    const secret = new Secret(parseWebhookSecret(content.expose()));
    webhooks.push(buildWebhook({ ...rest, url: new URL(url), events, secret }));
  }
  for (const webhook of webhooks) await webhook.start();
  return webhooks;
}
