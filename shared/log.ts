import { pino, type Logger } from 'pino';
import { LineBudget } from './log-lines.ts';
import { withPriority } from './process/journal.ts';
import { showInvisibleInLine } from './visible-text.ts';

/** Structured JSON logs, one line a record; what a terminal would obey is escaped, so a name can't forge a line or paint one. */
export type Log = Logger;
type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export function buildLog(
  level: LogLevel,
  base: Readonly<Record<string, string>>,
  {
    toJournal = false,
  }: { /** Whether standard output is systemd's journal. */ readonly toJournal?: boolean } = {},
): Log {
  const budget = new LineBudget();
  return pino({
    level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    hooks: {
      streamWrite: toJournal ? (line) => withPriority(showInvisibleInLine(line)) : showInvisibleInLine,
      logMethod(line, method) {
        const admitted = budget.admit(line, performance.now());
        if (admitted !== undefined) method.apply(this, admitted);
      },
    },
  });
}
