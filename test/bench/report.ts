import { cpus, totalmem } from 'node:os';

/** One line of the plot and of the table in short: how much faster than a peer, at what cost, and what was to be reached. */
export interface Comparison {
  readonly label: string;
  /** Rate through both nodes divided by the peer's rate. */
  readonly ratio: number;
  readonly goal?: number;
  /** What both nodes use divided by what the peer uses. */
  readonly cpuRatio: number;
  readonly cpuGoal?: number;
}

/** What a run found, in the order it found it. */
export class Report {
  readonly #lines: string[] = [];
  readonly comparisons: Comparison[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  line(text: string): void {
    this.#lines.push(text);
    this.#say(text);
  }

  table(title: string, head: readonly string[], rows: readonly (readonly string[])[]): void {
    this.line('');
    this.line(`## ${title}`);
    this.line('');
    this.line(`| ${head.join(' | ')} |`);
    this.line(`| ${head.map(() => '---').join(' | ')} |`);
    for (const row of rows) this.line(`| ${row.join(' | ')} |`);
    this.line('');
  }

  /** Everything beside a peer in one table; README shows the same. */
  tellInShort(): void {
    const reached = (goal: number | undefined, sign: string, isReached: boolean): string =>
      goal === undefined ? '' : `${sign} ${two(goal)}${isReached ? ' ✓' : ''}`;
    this.table(
      'In short',
      ['work ÷ peer', 'rate', 'goal', 'CPU', 'goal'],
      this.comparisons.map(({ label, ratio, goal, cpuRatio, cpuGoal }) => [
        label,
        two(ratio),
        reached(goal, '≥', goal !== undefined && ratio >= goal),
        two(cpuRatio),
        reached(cpuGoal, '≤', cpuGoal !== undefined && cpuRatio <= cpuGoal),
      ]),
    );
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

export function describeMachine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim() ?? 'CPU'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux, Node ${process.versions.node}; clients, both nodes and peers on the same machine, files in memory`;
}

export const two = (value: number): string => value.toFixed(2);
export const megabytesPerSecond = (bytes: number, seconds: number): string =>
  (bytes / 1e6 / seconds).toFixed(0);

const width = 760;
const barTop = 40;
const barHeight = 26;
const labelWidth = 330;

/** Bars around the peer's 1.0, with a mark where the goal is. Readable on light and dark paper. */
export function drawPlot(title: string, bars: readonly Comparison[]): string {
  const most = Math.max(1.5, ...bars.flatMap(({ ratio, goal }) => [ratio, goal ?? 0]));
  const x = (ratio: number): number =>
    labelWidth + (Math.min(ratio, most) / most) * (width - labelWidth - 60);
  const height = barTop + bars.length * barHeight + 30;
  const rows = bars.map(({ label, ratio, goal }, index) => {
    const y = barTop + index * barHeight;
    const isReached = goal === undefined || ratio >= goal;
    const mark =
      goal === undefined
        ? ''
        : `<line x1="${x(goal)}" x2="${x(goal)}" y1="${y - 2}" y2="${y + 20}" stroke="#c2410c" stroke-width="2"/>`;
    return `<text x="${labelWidth - 8}" y="${y + 14}" text-anchor="end">${escape(label)}</text>
<rect x="${labelWidth}" y="${y}" width="${Math.max(1, x(ratio) - labelWidth)}" height="18" fill="${isReached ? '#15803d' : '#64748b'}"/>
<text x="${x(ratio) + 6}" y="${y + 14}">${two(ratio)}</text>${mark}`;
  });
  const foot = barTop + bars.length * barHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="22" font-size="15" font-weight="bold">${escape(title)}</text>
<line x1="${x(1)}" x2="${x(1)}" y1="${barTop - 8}" y2="${foot}" stroke="#111827" stroke-dasharray="4 3"/>
${rows.join('\n')}
<text x="${x(1)}" y="${foot + 18}" text-anchor="middle" fill="#374151">1.0 = the peer; orange: the goal</text>
</svg>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
