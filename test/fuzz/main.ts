/** `npm run fuzz -- [--seconds N] [--target NAME]… [--seed S] [--case N]`: see CONTRIBUTING.md. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { judge, runTarget, type Result } from './target.ts';
import { targets } from './targets.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    target: { type: 'string', multiple: true, default: Object.keys(targets) },
    seed: { type: 'string', default: '1' },
    case: { type: 'string' },
    /** Also as JSON, one line a target. */
    json: { type: 'string' },
  },
});

let current = '';
for (const event of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(event, (error: unknown) => {
    process.stderr.write(
      `${current}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(1);
  });

const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
const problems: string[] = [];
const lines: string[] = [];
for (const name of values.target) {
  const build = targets[name];
  if (build === undefined)
    throw new Error(`no target ${name}; there are: ${Object.keys(targets).join(', ')}`);
  const target = await build();
  const result = await runTarget(target, {
    seconds,
    seed,
    ...(values.case !== undefined && { onlyCase: Number(values.case) }),
    onCase: (number, input) => {
      current = `${name}: case ${number} of seed ${seed}, ${input.length} bytes`;
    },
  });
  const found = values.case === undefined ? judge(result, target.kinds) : judge(result, []);
  process.stdout.write(`${describe(result)}${found.length === 0 ? '' : '  FAULT'}\n`);
  problems.push(...found);
  lines.push(JSON.stringify({ ...result, problems: found }));
}
if (values.json !== undefined) writeFileSync(values.json, `${lines.join('\n')}\n`);
for (const problem of problems) process.stdout.write(`\n${problem}\n`);
process.exit(problems.length === 0 ? 0 : 1);

function describe({ target, cases, mutated, taken, refused, slowestMs, grownMiB }: Result): string {
  const sum = (counts: Readonly<Record<string, number>>): number =>
    Object.values(counts).reduce((a, b) => a + b, 0);
  const share = Math.floor((mutated / Math.max(1, cases)) * 100);
  return `${target.padEnd(18)} ${String(cases).padStart(9)} cases, ${share} % changes of valid input; ${Object.keys(taken).length} types: taken ${sum(taken)}, refused ${sum(refused)}; slowest ${slowestMs.toFixed(1)} ms, grew ${grownMiB} MiB`;
}
