import { randomUUID } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';

/** A loopback SMTP server that keeps every mail as one `.eml` file, renamed into place when it is whole. */
export interface MailSink {
  readonly port: number;
  close(): Promise<void>;
}

/** Our mails are a few KiB; more is a mistake worth seeing as an SMTP error. */
const mailBytesMax = 1024 * 1024;

export async function startMailSink(folder: string, port: number): Promise<MailSink> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    size: mailBytesMax,
    logger: false,
    onData(stream, _session, callback) {
      const pieces: Buffer[] = [];
      stream.on('data', (piece: Buffer) => pieces.push(piece));
      stream.on('error', callback);
      stream.on('end', () => {
        keepMail(folder, Buffer.concat(pieces)).then(() => callback(), callback);
      });
    },
  });
  server.on('error', () => {
    // A client that breaks off mid-dialogue is its own problem; the sink stays.
  });
  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve());
  });
  const address = server.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

async function keepMail(folder: string, mail: Buffer): Promise<void> {
  const name = `${Date.now()}-${randomUUID()}`;
  const partial = join(folder, `.${name}`);
  await writeFile(partial, mail, { mode: 0o600 });
  await rename(partial, join(folder, `${name}.eml`));
}
