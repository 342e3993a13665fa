import { fstatSync } from 'node:fs';
import { showInvisible } from '#shared/visible-text.ts';

/**
 * What goes to systemd's journal: each line is a record of its own there, with the priority that stands before it
 * (sd-daemon(3)) or else "info". So a line says how bad it is, and what belongs together stays on one.
 */

/** Priorities of syslog(3) for the levels of our log. */
const priorities: ReadonlyMap<string, number> = new Map([
  ['60', 2],
  ['50', 3],
  ['40', 4],
  ['30', 6],
  ['20', 7],
  ['10', 7],
]);
const errorPriority = 3;
const criticalPriority = 2;

/** Whether this descriptor is the one that systemd connected to the journal: it may have been sent elsewhere since. */
export function isJournal(env: NodeJS.ProcessEnv, descriptor: number): boolean {
  const named = env['JOURNAL_STREAM'];
  if (named === undefined) return false;
  try {
    const { dev, ino } = fstatSync(descriptor, { bigint: true });
    return named === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** A line of our log, which is JSON and begins with its level. */
export function withPriority(line: string): string {
  const priority = priorities.get(/^\{"level":(\d+)/.exec(line)?.[1] ?? '');
  return priority === undefined ? line : `<${priority}>${line}`;
}

/** Any text as one line with a priority: a stack's lines follow each other after `|`. */
function foldLines(text: string, priority: number): string {
  return `<${priority}>${showInvisible(text.trim().replaceAll(/\s*\n\s*/g, ' | '))}`;
}

/** To standard error, for who started this process; `text` without its last line end. */
export function complain(text: string): void {
  const line = isJournal(process.env, process.stderr.fd) ? foldLines(text, errorPriority) : text;
  process.stderr.write(`${line}\n`);
}

/** An error that nobody caught ends the process, as always; in the journal it is one record with its stack. */
export function foldUncaught(name: string): void {
  if (!isJournal(process.env, process.stderr.fd)) return;
  process.on('uncaughtException', (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${foldLines(`${name}: ${text}`, criticalPriority)}\n`);
    process.exit(1);
  });
}
