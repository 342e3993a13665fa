import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import { isPlainElsewhere } from '#main-agent/outbound/plain-http.ts';
import type {
  AccountNotifier,
  CodeDelivery,
  SendPasswordLink,
} from '#main-agent/two-factor/code-delivery.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import type { EmailTemplate } from './code-mail.ts';
import { buildCodeDelivery } from './delivery.ts';
import { buildMailer, type Mailer, type SmtpOptions } from './mail.ts';
import { buildAccountNotifier, composePasswordLink } from './notices.ts';
import { buildSmsGateway, type SmsOptions } from './sms.ts';

/** Puts the parts that send together from main-agent.yaml; reads the password files. */

type FromFile<T> = Omit<T, 'password'> & { readonly passwordFile?: string | undefined };

interface NotifyOptions {
  readonly smtp: FromFile<SmtpOptions> | undefined;
  readonly sms: FromFile<SmsOptions> | undefined;
  readonly emailTemplate: EmailTemplate;
  /** How the service calls itself in mails. */
  readonly serviceName: string;
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string | undefined;
  readonly log: Log;
}

interface Notify {
  readonly delivery: CodeDelivery;
  readonly notifier: AccountNotifier;
  /** Undefined: there is no relay. */
  readonly mailer: Mailer | undefined;
  /** Undefined: there is no relay. */
  readonly sendPasswordLink: SendPasswordLink | undefined;
  /** Why the mail relay can't be used; undefined: it can, or there is none. */
  checkMail(): Promise<string | undefined>;
  /** Why the SMS gateway can't be reached; undefined: it can, or there is none. */
  checkTextGateway(): Promise<string | undefined>;
  close(): Promise<void>;
}

/** Rejects `config` when a template or a password file is wrong. */
export async function openNotify(options: NotifyOptions): Promise<Notify> {
  if (options.sms !== undefined && isPlainElsewhere(options.sms.url))
    options.log.warn('codes and credentials go to the SMS gateway unencrypted: sms.allow_plain');
  // Before anything is built that would have to be closed again.
  const smtpPassword = await readPassword(options.smtp?.passwordFile, options);
  const smsPassword = await readPassword(options.sms?.passwordFile, options);
  const outbound = buildOutboundClient();
  const mailer =
    options.smtp === undefined ? undefined : buildMailer({ ...options.smtp, password: smtpPassword });
  const sms =
    options.sms === undefined
      ? undefined
      : buildSmsGateway({ ...options.sms, password: smsPassword }, outbound);
  return {
    delivery: buildCodeDelivery({ mailer, sms, emailTemplate: options.emailTemplate }),
    notifier: buildAccountNotifier({ mailer, serviceName: options.serviceName, log: options.log }),
    mailer,
    sendPasswordLink:
      mailer === undefined
        ? undefined
        : (message) => mailer.send(composePasswordLink(message, options.serviceName)),
    checkMail: async () => mailer?.check(),
    checkTextGateway: async () => sms?.check(),
    close: async () => {
      mailer?.close();
      await outbound.close();
    },
  };
}

/** The file's text without its last line end: editors add one. */
async function readPassword(
  file: string | undefined,
  { credentials }: NotifyOptions,
): Promise<Secret | undefined> {
  if (file === undefined) return undefined;
  const content = await readSecretFile(file, credentials);
  return new Secret(
    content
      .expose()
      .toString('utf8')
      .replace(/\r?\n$/, ''),
  );
}
