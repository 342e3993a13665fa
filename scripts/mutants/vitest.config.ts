import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { mutate } from './operators.ts';
import { readPlan } from './progress.ts';

/** The unit tests over the mutated sources; started by `npm run mutants`, never by hand. */

const plan = readPlan();
const root = resolve(import.meta.dirname, '../..');

class InOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const order = plan.tests.map(({ file }) => file);
    const placeOf = (one: TestSpecification): number => order.indexOf(relative(root, one.moduleId));
    return files.toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}

export default defineConfig({
  root,
  plugins: [
    {
      name: 'mutants',
      enforce: 'pre',
      load(id) {
        const file = relative(root, id);
        const first = plan.files[file];
        if (first === undefined) return undefined;
        return mutate(file, readFileSync(id, 'utf8')).build(first);
      },
    },
  ],
  test: {
    name: 'mutants',
    include: plan.tests.map(({ file }) => file),
    sequence: { sequencer: InOrder },
    runner: `${import.meta.dirname}/runner.ts`,
    reporters: ['dot'],
    maxWorkers: 1,
    maxConcurrency: 1,
    fileParallelism: false,
    dangerouslyIgnoreUnhandledErrors: true,
    // What is kept on the disk has the numbers of another run.
    fsModuleCache: false,
    // A mutant hangs for no longer; the runner bounds the tests themselves.
    testTimeout: 60_000,
    hookTimeout: 5_000,
    expect: { poll: { timeout: 1_500 } },
  },
});
