import { hostname } from 'node:os';
import { SallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import { createTransport } from 'nodemailer';
import { z } from 'zod';

/** Hands mails to the configured relay: one connection a mail, TLS unless the relay is this machine. */

/** Mails on their way; a relay that hangs must not gather memory. Waiting is the login's, with its own limits. */
const mailsInFlightMax = 64;
const connectMs = 5_000;
const silenceMs = 10_000;

export interface SmtpOptions {
  readonly host: string;
  readonly port: number;
  /** `none` is for a relay on this machine only. */
  readonly tls: 'starttls' | 'implicit' | 'none';
  /** What this host calls itself to the relay; undefined: its own full name, or the sender's domain. */
  readonly name?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: Secret | undefined;
  /** The sender, `Name <address>`. */
  readonly from: string;
  /** PEM; trusted besides the system's, for relays with a private CA. */
  readonly ca?: string | undefined;
}

export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface Mailer {
  /** Resolves when the relay has taken it; rejects `delivery-failed` or `busy`. */
  send(mail: Mail): Promise<void>;
  /** Why the relay can't be used: it does not answer, or does not take our name; undefined: it can. */
  check(): Promise<string | undefined>;
  close(): void;
}

export function buildMailer(options: SmtpOptions): Mailer {
  if (options.tls === 'none' && !isLoopback(options.host)) {
    throw new SallyportError('config', 'Mail would leave this machine unencrypted', {
      detail: `smtp.tls: none with ${options.host}`,
      hint: 'use `starttls` or `implicit`; `none` is for a relay on this machine',
    });
  }
  const transport = createTransport({
    host: options.host,
    port: options.port,
    name: greetingName(options),
    secure: options.tls === 'implicit',
    requireTLS: options.tls === 'starttls',
    ignoreTLS: options.tls === 'none',
    tls: { minVersion: 'TLSv1.2', ...(options.ca !== undefined && { ca: options.ca }) },
    ...(options.user !== undefined && {
      auth: { user: options.user, pass: options.password?.expose() ?? '' },
    }),
    connectionTimeout: connectMs,
    greetingTimeout: connectMs,
    socketTimeout: silenceMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  let inFlight = 0;
  return {
    send: async (mail) => {
      if (inFlight >= mailsInFlightMax) {
        throw new SallyportError('busy', 'Too many mails are on their way', {
          detail: `${mailsInFlightMax} mails wait for ${options.host}`,
        });
      }
      inFlight += 1;
      try {
        await transport.sendMail({
          from: options.from,
          // As an object it is one address, whatever commas or brackets it has.
          to: { name: '', address: mail.to },
          subject: mail.subject,
          text: mail.text,
          html: mail.html,
          headers: { 'Auto-Submitted': 'auto-generated' },
          xMailer: false,
        });
      } catch (cause) {
        throw new SallyportError('delivery-failed', 'The mail could not be sent', {
          detail: `${options.host}:${options.port}: ${cause instanceof Error ? cause.message : String(cause)}`,
          cause,
        });
      } finally {
        inFlight -= 1;
      }
    },
    check: async () => {
      try {
        await transport.verify();
        return undefined;
      } catch (cause) {
        return cause instanceof Error ? cause.message : String(cause);
      }
    },
    close: () => transport.close(),
  };
}

/**
 * What the relay said of this mail or its recipient, while others may pass: never, or not now. Undefined: nobody's mail
 * passes. That it does not let us in (RFC 4954 §6) is mended here, and the mail can wait for it.
 */
export function refusalOf(error: unknown): 'for-good' | 'for-now' | undefined {
  if (!(error instanceof SallyportError) || error.code !== 'delivery-failed') return undefined;
  const { code, command, responseCode } = smtpFailure.safeParse(error.cause).data ?? {};
  // 421: it closes, whomever the mail is for (RFC 5321 §3.8).
  if (responseCode === 421 || responseCode === 530 || responseCode === 535) return undefined;
  const isOfMail = code === 'EMESSAGE' || (code === 'EENVELOPE' && command !== 'MAIL FROM');
  if (!isOfMail) return undefined;
  return responseCode === undefined || responseCode >= 500 ? 'for-good' : 'for-now';
}

/** As nodemailer tells it. */
const smtpFailure = z.object({
  code: z.string().optional(),
  command: z.string().optional(),
  responseCode: z.number().optional(),
});

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * What we call ourselves to the relay (RFC 5321 §4.1.1.1: a full host name). Relays that look (Google's does) refuse the
 * address literal of the loopback, which is what a host without a full name of its own would send.
 */
export function greetingName({ name, from }: Pick<SmtpOptions, 'name' | 'from'>, host = hostname()): string {
  if (name !== undefined) return name;
  if (/^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/.test(host)) return host;
  return /@([^\s@<>]+)>?$/.exec(from)?.[1] ?? host;
}
