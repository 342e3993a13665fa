import type { CodeMessage } from '#main-agent/two-factor/code-delivery.ts';
import type { Mail } from './mail.ts';
import {
  asHtml,
  asLine,
  asPlainText,
  checkTemplate,
  fillTemplate,
  formatDuration,
  hideCodeLike,
} from './template.ts';

/** The mail that carries a one-time code, from the admin's template. */

export interface EmailTemplate {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

const known = ['auth_token', 'username', 'client_ip', 'expires_in'];

/** Throws `config` when a placeholder is unknown, or the code is missing from text or HTML. */
export function checkEmailTemplate(template: EmailTemplate): void {
  const where = 'two_factor.delivered.email_template';
  checkTemplate(`${where}.subject`, template.subject, known);
  checkTemplate(`${where}.text`, template.text, known, ['auth_token']);
  checkTemplate(`${where}.html`, template.html, known, ['auth_token']);
}

export function composeCodeMail(template: EmailTemplate, message: CodeMessage): Mail {
  const values = {
    auth_token: message.code.expose(),
    username: hideCodeLike(message.username),
    client_ip: hideCodeLike(message.clientIp),
    expires_in: formatDuration(message.expiresInMs),
  };
  return {
    to: message.address,
    subject: fillTemplate(template.subject, values, asLine),
    text: fillTemplate(template.text, values, asPlainText),
    html: fillTemplate(template.html, values, asHtml),
  };
}
