import { relative } from 'node:path';
import { TestRunner, type RunnerTestCase, type RunnerTestFile, type TestTryOptions } from 'vitest';
import { noteStep, readPlan, readSteps } from './progress.ts';

/**
 * Runs each test again and again in one process: twice as it is, then once with each mutant that it reaches and that
 * no test noticed yet. After each failure the test runs once more without a mutant: when that fails too, the mutant
 * has spoiled what the tests share, and the file is begun anew.
 */

/** So many tests of other rooms are asked about a mutant that they reach: nearly all of them pass by its rule. */
const farTriesMax = 15;

/** Taken before a test can replace them: a clock that a test turns must neither stop nor hasten these bounds. */
const { setTimeout, clearTimeout } = globalThis;
const now = performance.now.bind(performance);

let active = -1;
let reached: Set<number> | undefined;
Object.assign(globalThis, {
  __mutant: (id: number): boolean => {
    reached?.add(id);
    return id === active;
  },
});

type Run = 'first' | 'second' | 'mutant' | 'check' | 'over';

export default class MutantRunner extends TestRunner {
  readonly #plan = readPlan();
  readonly #planned = new Set(this.#plan.mutants);
  readonly #tries = new Map<number, number>();
  readonly #killed = new Set<number>();
  readonly #doubted = new Set<number>();
  #file = '';
  #isNear = false;
  #isSpoiled = false;
  /** Of the test that runs. */
  #run: Run = 'over';
  #left: number[] = [];
  #ownMs = 0;
  #startedMs = 0;
  #isHung = false;
  #wasClean = false;
  #suspect = -1;

  override onCollectStart(file: RunnerTestFile): void {
    super.onCollectStart(file);
    this.#file = relative(process.cwd(), file.filepath);
    const { tests } = this.#plan;
    this.#isNear = tests.find(({ file: name }) => name === this.#file)?.isNear ?? false;
    const far = new Set(tests.filter(({ isNear }) => !isNear).map(({ file: name }) => name));
    for (const step of readSteps()) {
      if (step.kind === 'try' && far.has(step.test.slice(0, step.test.indexOf(': '))))
        this.#count(step.mutant);
      if (step.kind === 'killed') this.#killed.add(step.mutant);
      if (step.kind === 'doubted') this.#doubted.add(step.mutant);
    }
  }

  override async onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    if (this.#isSpoiled) test.mode = 'skip';
    await super.onBeforeRunTask(test);
    test.repeats = Number.MAX_SAFE_INTEGER;
    this.#run = 'first';
  }

  override onBeforeTryTask(test: RunnerTestCase, options: TestTryOptions): void {
    super.onBeforeTryTask(test, options);
    if (this.#run === 'mutant') {
      active = this.#next() ?? -1;
      if (active === -1) this.#run = 'over';
    }
    if (this.#run === 'over') test.context.skip();
    if (this.#run === 'first') reached = new Set();
    if (this.#run === 'mutant') {
      noteStep({ kind: 'try', mutant: active, test: this.#name(test) });
      if (!this.#isNear) this.#count(active);
    }
    // A test ends when all it expected of promises is settled, and what hung the last time never is.
    test.promises = [];
    this.#isHung = false;
    this.#startedMs = now();
  }

  async runTask(test: RunnerTestCase): Promise<void> {
    const boundMs = this.#run === 'mutant' ? 1_000 + 10 * this.#ownMs : 60_000;
    let timer: NodeJS.Timeout | undefined;
    const hung = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#isHung = true;
        reject(new Error('hung'));
      }, boundMs);
    });
    try {
      await Promise.race([TestRunner.getTestFn(test)(), hung]);
    } finally {
      clearTimeout(timer);
    }
  }

  override async onAfterRetryTask(test: RunnerTestCase, options: TestTryOptions): Promise<void> {
    await super.onAfterRetryTask?.(test, options);
    const { result } = test;
    if (result === undefined || this.#run === 'over') return;
    const isGood = result.state === 'pass';
    delete result.errors;
    result.state = 'pass';
    const mutant = active;
    active = -1;
    switch (this.#run) {
      case 'first':
        this.#ownMs = now() - this.#startedMs;
        this.#left = [...(reached ?? [])].toSorted(
          (a, b) => Number(this.#doubted.has(b)) - Number(this.#doubted.has(a)),
        );
        reached = undefined;
        noteStep({ kind: 'reached', mutants: this.#left });
        this.#run = 'second';
        if (!isGood) this.#giveUp(test, 'fails');
        else if (this.#ownMs > this.#plan.slowestMs) this.#giveUp(test, 'slow');
        else if (this.#next(true) === undefined) this.#run = 'over';
        return;
      case 'second':
        this.#run = 'mutant';
        this.#wasClean = true;
        if (!isGood) this.#giveUp(test, 'fails the second time');
        return;
      case 'mutant':
        if (isGood) {
          this.#wasClean = false;
          return;
        }
        this.#suspect = mutant;
        if (this.#wasClean) this.#kill(test, mutant);
        this.#run = 'check';
        return;
      case 'check':
        if (isGood) {
          if (!this.#wasClean) this.#kill(test, this.#suspect);
          this.#wasClean = true;
          this.#run = 'mutant';
          return;
        }
        if (!this.#wasClean) noteStep({ kind: 'doubted', mutant: this.#suspect });
        this.#isSpoiled = true;
        this.#run = 'over';
    }
  }

  override onAfterRunFiles(files: RunnerTestFile[]): void {
    super.onAfterRunFiles(files);
    noteStep({ kind: this.#isSpoiled ? 'spoiled' : 'done', file: this.#file });
  }

  #next(peek = false): number | undefined {
    const isWanted = (one: number): boolean =>
      this.#planned.has(one) && !this.#killed.has(one) && (this.#tries.get(one) ?? 0) < farTriesMax;
    while (this.#left.length > 0 && !isWanted(this.#left[0] ?? -1)) this.#left.shift();
    return peek ? this.#left[0] : this.#left.shift();
  }

  #count(mutant: number): void {
    this.#tries.set(mutant, (this.#tries.get(mutant) ?? 0) + 1);
  }

  #kill(test: RunnerTestCase, mutant: number): void {
    this.#killed.add(mutant);
    noteStep({ kind: 'killed', mutant, test: this.#name(test), why: this.#isHung ? 'hung' : 'failed' });
  }

  #giveUp(test: RunnerTestCase, why: string): void {
    this.#run = 'over';
    noteStep({ kind: 'unfit', test: this.#name(test), why });
  }

  #name(test: RunnerTestCase): string {
    return `${this.#file}: ${test.name}`;
  }
}
