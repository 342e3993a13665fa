import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Log } from '#shared/log.ts';

/** A log whose lines a test can read. */
export function buildRecordedLog(): { readonly log: Log; readonly lines: readonly string[] } {
  const lines: string[] = [];
  const stream = new Writable({
    write(line: Buffer, _encoding, done) {
      lines.push(line.toString('utf8'));
      done();
    },
  });
  return { log: pino({ level: 'debug' }, stream), lines };
}
