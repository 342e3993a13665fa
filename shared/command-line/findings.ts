/** What `doctor` says on either box: worst first, each with what to do about it. */

export interface ShownFinding {
  readonly check: string;
  readonly state: 'good' | 'warning' | 'bad';
  readonly detail: string;
  readonly hint?: string;
}

const order = { bad: 0, warning: 1, good: 2 } as const;
const marks = { bad: 'BAD ', warning: 'warn', good: 'ok  ' } as const;

export function formatFindings(found: readonly ShownFinding[]): string {
  return found
    .toSorted((one, other) => order[one.state] - order[other.state])
    .map(({ check, state, detail, hint }) => {
      const line = `${marks[state]}  ${check}: ${detail}\n`;
      return hint === undefined || state === 'good' ? line : `${line}      hint: ${hint}\n`;
    })
    .join('');
}
