import { SallyportError } from '#shared/error.ts';

/** One thing wrong with one place in a file that people write, told so that they can mend it without reading code. */
export interface ConfigProblem {
  readonly file: string;
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;
  /** Where, the value found, and what was expected. */
  readonly message: string;
  /** What to do. */
  readonly hint?: string;
}

/** `file:line:column: message`, the hint on a line of its own: editors and terminals make the first part clickable. */
export function printProblems(problems: readonly ConfigProblem[]): string {
  return problems
    .map(({ file, line, column, message, hint }) => {
      const first = `${file}:${line}:${column}: ${message}`;
      return hint === undefined ? first : `${first}\n    hint: ${hint}`;
    })
    .join('\n');
}

/** All problems at once as the one error a start ends with (exit code 2); its `detail` is the printed list. */
export function configError(problems: readonly ConfigProblem[]): SallyportError {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  return new SallyportError('config', `The configuration has ${count}`, { detail: printProblems(problems) });
}
