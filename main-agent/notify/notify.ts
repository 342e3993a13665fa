import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
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
import { buildCodeDelivery, notConfigured } from './delivery.ts';
import { buildMailer, type Mail, type Mailer, type SmtpOptions } from './mail.ts';
import { buildAccountNotifier, composePasswordLink } from './notices.ts';
import { buildSmsGateway, type SmsOptions } from './sms.ts';

/** Puts the parts that send together from main-agent.yaml, again at a reload; reads the password files. */

type FromFile<T> = Omit<T, 'password'> & { readonly passwordFile?: string | undefined };

interface NotifySettings {
  readonly smtp: FromFile<SmtpOptions> | undefined;
  readonly sms: FromFile<SmsOptions> | undefined;
  readonly twoFactor: { readonly delivered: { readonly emailTemplate: EmailTemplate } };
  /** How the service calls itself in mails. */
  readonly branding: { readonly name: string };
}

interface NotifySurroundings {
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string | undefined;
  readonly log: Log;
}

/** What sends by the settings of the moment: each is the same for as long as main runs. */
interface Notify {
  readonly delivery: CodeDelivery;
  readonly notifier: AccountNotifier;
  readonly mailer: Pick<Mailer, 'send'>;
  readonly sendPasswordLink: SendPasswordLink;
  /** Why the mail relay can't be used; undefined: it can, or there is none. */
  checkMail(): Promise<string | undefined>;
  /** Why the SMS gateway can't be reached; undefined: it can, or there is none. */
  checkTextGateway(): Promise<string | undefined>;
  /**
   * Rejects `config` as `openNotify`. What it resolves to puts them in force: what is on its way then ends as it began,
   * and nothing of it is sent again.
   */
  prepare(settings: NotifySettings): Promise<() => void>;
  close(): Promise<void>;
}

/** Rejects `config` when a template or a password file is wrong. */
export async function openNotify(settings: NotifySettings, around: NotifySurroundings): Promise<Notify> {
  const outbound = buildOutboundClient();
  let current = await buildSenders(settings, outbound, around);
  return {
    delivery: { deliver: (message) => current.delivery.deliver(message) },
    notifier: { notify: (notice) => current.notifier.notify(notice) },
    mailer: { send: (mail) => current.send(mail) },
    sendPasswordLink: (message) => current.send(composePasswordLink(message, current.serviceName)),
    checkMail: async () => current.mailer?.check(),
    checkTextGateway: async () => current.sms?.check(),
    prepare: async (next) => {
      const senders = await buildSenders(next, outbound, around);
      return () => {
        current.mailer?.close();
        current = senders;
      };
    },
    close: async () => {
      current.mailer?.close();
      await outbound.close();
    },
  };
}

async function buildSenders(
  { smtp, sms, twoFactor, branding }: NotifySettings,
  outbound: OutboundClient,
  { credentials, log }: NotifySurroundings,
) {
  const smtpPassword = await readPassword(smtp?.passwordFile, credentials);
  const smsPassword = await readPassword(sms?.passwordFile, credentials);
  const mailer = smtp === undefined ? undefined : buildMailer({ ...smtp, password: smtpPassword });
  const gateway =
    sms === undefined ? undefined : buildSmsGateway({ ...sms, password: smsPassword }, outbound);
  const { emailTemplate } = twoFactor.delivered;
  const { name: serviceName } = branding;
  if (sms !== undefined && isPlainElsewhere(sms.url))
    log.warn('codes and credentials go to the SMS gateway unencrypted: sms.allow_plain');
  return {
    mailer,
    sms: gateway,
    serviceName,
    delivery: buildCodeDelivery({ mailer, sms: gateway, emailTemplate }),
    notifier: buildAccountNotifier({ mailer, serviceName, log }),
    async send(mail: Mail): Promise<void> {
      if (mailer === undefined) throw notConfigured('smtp');
      return mailer.send(mail);
    },
  };
}

/** The file's text without its last line end: editors add one. */
async function readPassword(
  file: string | undefined,
  credentials: string | undefined,
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
