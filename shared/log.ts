import { pino, type Logger } from 'pino';

/** Structured JSON logs, one line a record; control characters are escaped by JSON, so a name can't forge a line. */
export type Log = Logger;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export function buildLog(level: LogLevel, base: Readonly<Record<string, string>>): Log {
  return pino({ level, base, timestamp: pino.stdTimeFunctions.isoTime });
}
