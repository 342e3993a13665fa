import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** What the program, the configuration and the runner in its worker tell each other, in files of one folder. */

export interface Plan {
  /** File to the number of its first mutant. */
  readonly files: Readonly<Record<string, number>>;
  /** In this order: those of the room of a mutated file first. */
  readonly tests: readonly { readonly file: string; readonly isNear: boolean }[];
  /** Of those that are run. */
  readonly mutants: readonly number[];
  /** Tests that last longer are left out. */
  readonly slowestMs: number;
}

type Step =
  /** A test ran with no mutant on, and reached these. */
  | { readonly kind: 'reached'; readonly mutants: readonly number[] }
  | { readonly kind: 'try'; readonly mutant: number; readonly test: string }
  | {
      readonly kind: 'killed';
      readonly mutant: number;
      readonly test: string;
      readonly why: 'failed' | 'hung';
    }
  /** Failed, but so does the test afterwards without the mutant: to be tried again, first. */
  | { readonly kind: 'doubted'; readonly mutant: number }
  /** A test that fails by itself when it is run twice, or lasts too long, kills nothing. */
  | { readonly kind: 'unfit'; readonly test: string; readonly why: string }
  | { readonly kind: 'spoiled'; readonly file: string }
  | { readonly kind: 'done'; readonly file: string };

const folder = process.env['MUTANTS_FOLDER'] ?? '';

export function readPlan(): Plan {
  return JSON.parse(readFileSync(`${folder}/plan.json`, 'utf8')) as Plan;
}

export function noteStep(step: Step): void {
  appendFileSync(`${folder}/steps.jsonl`, `${JSON.stringify(step)}\n`);
}

export function readSteps(from = folder): Step[] {
  const path = `${from}/steps.jsonl`;
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as Step);
}
