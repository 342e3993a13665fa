import { createHmac } from 'node:crypto';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { SallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import { version } from '#shared/version.ts';
import { showInvisible } from '#shared/visible-text.ts';

/**
 * One event as a webhook gets it, signed as Standard Webhooks has it (standardwebhooks.com): HMAC-SHA256 over id, time
 * of sending and body, so that a receiver can refuse what is forged or old. The id stays the same when it is sent again.
 */
interface WebhookMessage {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function buildWebhookMessage(
  main: string,
  { sequence, record }: { readonly sequence: number; readonly record: AuditRecord },
  signing: { readonly secret: Secret<Buffer>; readonly nowMs: number },
): WebhookMessage {
  // The assertion proves a login to main; outside it would only be long.
  const { event, time, ...facts } = { ...record, assertion: undefined };
  const data = { main, sequence, ...facts };
  const body = showInvisible(JSON.stringify({ type: event, timestamp: time, data }));
  const id = `${main}-${sequence}`;
  const seconds = String(Math.floor(signing.nowMs / 1000));
  const mac = createHmac('sha256', signing.secret.expose())
    .update(`${id}.${seconds}.${body}`)
    .digest('base64');
  return {
    headers: {
      'content-type': 'application/json',
      'user-agent': `sallyport/${version}`,
      'webhook-id': id,
      'webhook-timestamp': seconds,
      'webhook-signature': `v1,${mac}`,
    },
    body,
  };
}

/** Shorter ones can be guessed from one message. */
const secretBytesMin = 16;

/** The secret's octets: text as it stands, or `whsec_` and base64 as other products hand it out. */
export function parseWebhookSecret(content: Buffer): Buffer {
  const text = content.toString('utf8').trim();
  const secret = text.startsWith('whsec_') ? Buffer.from(text.slice(6), 'base64') : Buffer.from(text, 'utf8');
  if (secret.length >= secretBytesMin) return secret;
  throw new SallyportError('config', 'A webhook secret is too short', {
    detail: `it has ${secret.length} octets; at least ${secretBytesMin}`,
    hint: 'openssl rand -base64 32 > keys/webhook.secret',
  });
}
