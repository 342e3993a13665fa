import { connect as connectTcp, isIP } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { setTimeout as wait } from 'node:timers/promises';
import { SallyportError } from '#shared/error.ts';

/**
 * Hands bytes to a program that never answers, and finds out whether it read them all (D-140). The bytes go, then TLS's
 * close_notify; a program that closes in answer has read up to there, as RFC 5425 §4.4 has it. TCP tells what it did not
 * read: a connection closed over unread bytes, or before bytes that come later, is reset. So a proof is the other's end,
 * and no reset within the time one takes to come back.
 *
 * Trust: the other side is known by its certificate; nothing it says is read.
 */
interface ProvenTls {
  readonly host: string;
  readonly port: number;
  /** PEM; undefined: the system's authorities. */
  readonly ca?: Buffer;
  /** PEM; who we are. */
  readonly certificate?: Buffer;
  readonly key?: Buffer;
  /** How long a reset may take, milliseconds. */
  readonly resetMs: number;
  readonly signal: AbortSignal;
}

/** Resolves when the other has certainly read all; rejects `deadline` or `link-down`, and then it may have read some. */
export async function deliverProven(content: Buffer, to: ProvenTls): Promise<void> {
  const failed = Promise.withResolvers<never>();
  const ended = Promise.withResolvers<void>();
  const tcp = connectTcp({ host: to.host, port: to.port, allowHalfOpen: true });
  // TLS would end TCP with its own end, and a reset after both ends is not told any more: TCP's stays open here.
  let isAllSent = false;
  const between = new Duplex({
    read: () => void tcp.resume(),
    write: (chunk: Buffer, _encoding, done) => void tcp.write(chunk, done),
    final: (done) => {
      isAllSent = true;
      done();
    },
  });
  tcp.on('data', (chunk: Buffer) => {
    // What comes after TLS ended is for nobody, but has to be read to get to the end.
    if (!between.destroyed && !between.push(chunk)) tcp.pause();
  });
  tcp.on('error', failed.reject);
  tcp.on('end', () => {
    if (isAllSent) ended.resolve();
    else failed.reject(new Error('it closed the connection before it was told all'));
  });
  const tls = connectTls({
    socket: between,
    host: to.host,
    servername: isIP(to.host) === 0 ? to.host : '',
    minVersion: 'TLSv1.2',
    ...(to.ca === undefined ? {} : { ca: to.ca }),
    ...(to.certificate === undefined ? {} : { cert: to.certificate }),
    ...(to.key === undefined ? {} : { key: to.key }),
  });
  tls.on('error', failed.reject);
  tls.on('secureConnect', () => void tls.end(content));
  tls.resume();
  const giveUp = (): void => failed.reject(to.signal.reason);
  to.signal.addEventListener('abort', giveUp, { once: true });
  if (to.signal.aborted) giveUp();
  try {
    await Promise.race([ended.promise, failed.promise]);
    await Promise.race([wait(to.resetMs), failed.promise]);
    // After the other's end nothing is read, and only a write tells of a reset. What it writes is for nobody.
    const probe = new Promise<void>((resolve, reject) => {
      tcp.write('\0', (error) => (error ? reject(error) : resolve()));
    });
    await Promise.race([probe, failed.promise]);
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const code = to.signal.aborted ? 'deadline' : 'link-down';
    throw new SallyportError(code, detail, { detail: `${to.host}:${to.port}: ${detail}`, cause });
  } finally {
    to.signal.removeEventListener('abort', giveUp);
    tls.destroy();
    tcp.destroy();
  }
}
