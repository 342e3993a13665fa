import type { Examination, Finding } from '#shared/health/check.ts';
import { showInvisible } from '#shared/visible-text.ts';

/**
 * What was found wrong, as the command line says it on either box: worst first, each with what to do about it.
 *
 * Trust: some of it is the word of the exposed node, and a terminal would obey it.
 */

const order = { bad: 0, warning: 1, good: 2 } as const;
const marks = { bad: 'BAD ', warning: 'warn', good: 'ok  ' } as const;

type Shown = Pick<Finding, 'check' | 'state' | 'detail' | 'hint'>;

export function formatExamination({
  findings,
  unlooked,
}: {
  readonly findings: readonly Shown[];
  readonly unlooked: Examination['unlooked'];
}): string {
  return `${formatFindings(findings)}${unlooked
    .map(({ check, why }) => `--    ${showInvisible(`${check}: not looked at: ${why}`)}\n`)
    .join('')}`;
}

/** What is not well. */
export function formatFaults({ findings }: Pick<Examination, 'findings'>): string {
  return formatFindings(findings.filter(({ state }) => state !== 'good'));
}

/** @param ofOneMax that many of one check, the others are counted */
export function formatFindings(found: readonly Shown[], ofOneMax = Number.POSITIVE_INFINITY): string {
  const counts = new Map<string, number>();
  const lines = found
    .toSorted((one, other) => order[one.state] - order[other.state])
    .map(({ check, state, detail, hint }) => {
      const count = (counts.get(check) ?? 0) + 1;
      counts.set(check, count);
      if (count > ofOneMax) return '';
      const line = `${marks[state]}  ${showInvisible(`${check}: ${detail}`)}\n`;
      return hint === undefined || state === 'good' ? line : `${line}      hint: ${showInvisible(hint)}\n`;
    });
  const more = [...counts].flatMap(([check, count]) =>
    count > ofOneMax
      ? [`      ${showInvisible(check)}: ${count - ofOneMax} more; \`sallyport doctor\` has them all\n`]
      : [],
  );
  return [...lines, ...more].join('');
}

/** Nothing is said to be well that nobody looked at. */
export function formatVerdict(looked: number, unlooked: Examination['unlooked']): string {
  const whys = new Map<string, string[]>();
  for (const { check, why } of unlooked) whys.set(why, [...(whys.get(why) ?? []), check]);
  const rest = [...whys].map(
    ([why, checks]) => `${showInvisible(`Not looked at: ${checks.join(', ')} (${why}).`)}\n`,
  );
  if (rest.length === 0) return 'All is well.\n';
  return `All is well, as far as was looked at (${looked} checks).\n${rest.join('')}`;
}
