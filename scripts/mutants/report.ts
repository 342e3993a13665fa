import { readFileSync } from 'node:fs';
import type { Mutant } from './operators.ts';

/** What a run found, as the tables of the README beside this file. */

export interface Result extends Mutant {
  readonly key: string;
  readonly isReached: boolean;
  /** The test that noticed it. */
  readonly killedBy: string | undefined;
  readonly why: 'failed' | 'hung' | undefined;
}

/** A survivor that somebody looked at: `equivalent` behaves the same; the others are accepted, with the reason. */
interface Reviewed {
  readonly file: string;
  readonly original: string;
  readonly changed: string;
  readonly verdict: 'equivalent' | 'accepted';
  readonly why: string;
}

export function readReviewed(): Reviewed[] {
  return JSON.parse(readFileSync(`${import.meta.dirname}/survivors.json`, 'utf8')) as Reviewed[];
}

export function describeResults(
  results: readonly Result[],
  rooms: readonly string[],
  reviewed: readonly Reviewed[],
): string {
  const verdictOf = (one: Result): Reviewed['verdict'] | undefined =>
    reviewed.find(
      ({ file, original, changed }) =>
        file === one.file && original === one.original && changed === one.changed,
    )?.verdict;
  const lines = [
    '| where | mutants | killed | equivalent | accepted | survived | score |',
    '|---|---|---|---|---|---|---|',
  ];
  for (const room of [...rooms, '']) {
    const here = results.filter((one) => one.file.startsWith(room));
    if (here.length === 0) continue;
    const killed = here.filter((one) => one.killedBy !== undefined).length;
    const alive = here.filter((one) => one.killedBy === undefined);
    const equivalent = alive.filter((one) => verdictOf(one) === 'equivalent').length;
    const accepted = alive.filter((one) => verdictOf(one) === 'accepted').length;
    const score = ((100 * killed) / Math.max(1, here.length - equivalent)).toFixed(1);
    lines.push(
      `| ${room === '' ? 'all' : `\`${room}\``} | ${here.length} | ${killed} | ${equivalent} | ${accepted} | ${alive.length - equivalent - accepted} | ${score} % |`,
    );
  }
  lines.push('');
  for (const one of results)
    if (one.killedBy === undefined && verdictOf(one) === undefined)
      lines.push(
        `${one.file}:${one.line}${one.isReached ? '' : ' (no test comes here)'}: ${one.original} → ${one.changed === '' ? '(removed)' : one.changed}`,
      );
  return `${lines.join('\n')}\n`;
}
