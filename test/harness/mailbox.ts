import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitUntil } from './product.ts';

/** The mails one address got, as the mail sink keeps them: one `.eml` file each. */

export interface ReceivedMail {
  readonly subject: string;
  /** The plain text part. */
  readonly text: string;
}

/** SMTP over loopback takes milliseconds; a busy machine may take longer. */
const arrivalMs = 20_000;

export class Mailbox {
  readonly #folder: string;
  readonly #address: string;

  constructor(folder: string, address: string) {
    this.#folder = folder;
    this.#address = address;
  }

  /** Oldest first. */
  all(): readonly ReceivedMail[] {
    if (!existsSync(this.#folder)) return [];
    return readdirSync(this.#folder)
      .filter((name) => name.endsWith('.eml'))
      .toSorted()
      .map((name) => readFileSync(join(this.#folder, name), 'latin1'))
      .filter((mail) => headerOf(mail, 'To') === this.#address)
      .map((mail) => ({ subject: headerOf(mail, 'Subject'), text: plainTextOf(mail) }));
  }

  about(subject: RegExp): readonly ReceivedMail[] {
    return this.all().filter((mail) => subject.test(mail.subject));
  }

  /** Each code that was mailed, oldest first: the only number of six digits in its mail. */
  codes(): readonly string[] {
    return this.all().flatMap(({ text }) => /\b\d{6}\b/.exec(text)?.[0] ?? []);
  }

  /** The `count`-th code, when it has arrived. */
  async code(count: number): Promise<string> {
    await waitUntil(() => this.codes().length >= count, arrivalMs);
    return this.codes()[count - 1] ?? '';
  }
}

function headerOf(mail: string, name: string): string {
  const [head = ''] = mail.split('\r\n\r\n');
  return new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1] ?? '';
}

/** nodemailer writes multipart/alternative, text first; each part as 7bit or quoted-printable. */
function plainTextOf(mail: string): string {
  const part = mail.split(/^--.*\r\n/m).find((one) => /^Content-Type: text\/plain/im.test(one)) ?? mail;
  const body = part.slice(part.indexOf('\r\n\r\n') + 4);
  if (!/^Content-Transfer-Encoding: quoted-printable/im.test(part)) return body;
  const octets = body
    .replaceAll('=\r\n', '')
    .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(octets, 'latin1').toString('utf8');
}
