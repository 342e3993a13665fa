import type {
  AccountNotice,
  AccountNotifier,
  PasswordLinkMessage,
} from '#main-agent/two-factor/code-delivery.ts';
import type { Log } from '#shared/log.ts';
import type { Mail, Mailer } from './mail.ts';
import { asHtml, hideCodeLike } from './template.ts';

/** Mails that tell users what happened to their account. No number in them looks like a code. */

const texts: Readonly<
  Record<
    AccountNotice['kind'],
    { readonly subject: string; readonly happened: string; readonly advice?: string }
  >
> = {
  'two-factor-enrolled': {
    subject: 'Two-factor authentication was set up',
    happened: 'Two-factor authentication was set up for your account.',
  },
  'two-factor-reset': {
    subject: 'Two-factor authentication was reset',
    happened: 'An administrator has reset two-factor authentication for your account.',
  },
  'recovery-code-used': {
    subject: 'A recovery code was used',
    happened: 'One of your recovery codes was used to sign in.',
  },
  'many-wrong-codes': {
    subject: 'Many wrong verification codes',
    happened: 'Somebody who knows your password has typed many wrong verification codes.',
  },
  'factor-disabled': {
    subject: 'Two-factor sign-in is blocked',
    happened:
      'Too many wrong verification codes were typed. Sign-in with a code is blocked until an administrator acts.',
  },
  'device-copied': {
    subject: 'A remembered browser was copied',
    happened: 'A browser that you let us remember seems to have been copied. It is forgotten now.',
  },
  'two-factor-due': {
    subject: 'Set up two-factor authentication',
    happened: 'Signing in will soon need a code from your phone besides your password.',
    advice: 'Set it up before: sign in on the web, choose User options, and have your phone at hand.',
  },
  'password-changed': {
    subject: 'Your password was changed',
    happened: 'The password of your account was changed. All other sessions were ended.',
  },
  'ssh-key-added': {
    subject: 'An SSH key was added',
    happened: 'An SSH key was added to your account.',
  },
  'ssh-key-removed': {
    subject: 'An SSH key was removed',
    happened: 'An SSH key was removed from your account.',
  },
  'recovery-codes-renewed': {
    subject: 'New recovery codes were made',
    happened: 'New recovery codes were made for your account. The ones before do not work any more.',
  },
  'recovery-codes-void': {
    subject: 'Your recovery codes do not work any more',
    happened:
      'Our records were restored from a backup that does not know which recovery codes were used since. To be safe, none of yours works any more.',
    advice: 'Sign in on the web with your phone, choose User options, and make new recovery codes.',
  },
  'two-factor-void': {
    subject: 'Your second factor does not work any more',
    happened:
      'Our records were restored from a backup from before you changed or lost your second factor. To be safe, the one that the backup knows does not work any more.',
    advice: 'Ask your administrator to let you set up two-factor authentication anew.',
  },
  'changes-revoked': {
    subject: 'Changes of your account were undone',
    happened:
      'An administrator has undone changes of your account that were made while a server could not be trusted.',
  },
};

export function composeNotice(notice: AccountNotice, serviceName: string): Mail {
  const { subject, happened, advice = 'If that was not you, tell your administrator.' } = texts[notice.kind];
  const when = `${new Date(notice.atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const facts = [
    `User: ${hideCodeLike(notice.username)}`,
    ...(notice.requiredFromMs === undefined
      ? [`Time: ${when}`]
      : [`Required from: ${new Date(notice.requiredFromMs).toISOString().slice(0, 10)}`]),
    ...(notice.clientIp === undefined ? [] : [`Address: ${hideCodeLike(notice.clientIp)}`]),
  ];
  return {
    to: notice.address,
    subject: `${serviceName}: ${subject}`,
    text: [happened, '', ...facts, '', advice, ''].join('\n'),
    html: `<p>${asHtml(happened)}</p>\n<p>${facts.map(asHtml).join('<br>\n')}</p>\n<p>${asHtml(advice)}</p>\n`,
  };
}

/** The one mail with a link: whoever has it may set the password. It says nothing about whether there is one. */
export function composePasswordLink(
  { username, address, url, expiresAtMs }: PasswordLinkMessage,
  serviceName: string,
): Mail {
  const until = `${new Date(expiresAtMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const lead = `You can exchange files over ${serviceName}. Set your password here:`;
  const rest = [
    `User name: ${hideCodeLike(username)}`,
    `The link works once, until ${until}. Do not pass it on: whoever has it can set your password.`,
    'If you did not expect this mail, tell the administrator.',
  ];
  const link = asHtml(url.expose());
  return {
    to: address,
    subject: `${serviceName}: Set your password`,
    text: [lead, '', url.expose(), '', ...rest, ''].join('\n'),
    html: `<p>${asHtml(lead)}</p>\n<p><a href="${link}">${link}</a></p>\n<p>${rest.map(asHtml).join('<br>\n')}</p>\n`,
  };
}

export function buildAccountNotifier(options: {
  /** Undefined: no relay is configured, nothing is told. */
  readonly mailer: Mailer | undefined;
  readonly serviceName: string;
  readonly log: Log;
}): AccountNotifier {
  return {
    notify: (notice) => {
      options.mailer?.send(composeNotice(notice, options.serviceName)).catch((error: unknown) => {
        options.log.warn({ err: error, user: notice.username, kind: notice.kind }, 'notice not sent');
      });
    },
  };
}
