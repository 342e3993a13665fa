import type { CodeDelivery } from '#main-agent/two-factor/code-delivery.ts';
import { SallyportError } from '#shared/error.ts';
import { checkEmailTemplate, composeCodeMail, type EmailTemplate } from './code-mail.ts';
import type { Mailer } from './mail.ts';
import type { SmsGateway } from './sms.ts';

/** One-time codes on their way to users. Which transport, in which order and how often is the login's to decide. */
export function buildCodeDelivery(options: {
  readonly mailer: Mailer | undefined;
  readonly sms: SmsGateway | undefined;
  readonly emailTemplate: EmailTemplate;
}): CodeDelivery {
  checkEmailTemplate(options.emailTemplate);
  return {
    deliver: async (message) => {
      switch (message.transport) {
        case 'email':
          if (options.mailer === undefined) throw notConfigured('smtp');
          return options.mailer.send(composeCodeMail(options.emailTemplate, message));
        case 'sms':
          if (options.sms === undefined) throw notConfigured('sms');
          return options.sms.send({ to: message.address, token: message.code });
      }
    },
  };
}

export function notConfigured(section: 'smtp' | 'sms'): SallyportError {
  return new SallyportError('delivery-failed', 'It could not be sent', {
    detail: `main-agent.yaml has no section ${section}`,
    hint: `add it, or take it out of two_factor.delivered.transport`,
  });
}
