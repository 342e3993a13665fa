/**
 * Runs every check of the project in order and counts them in one closing line. Each static check counts as one
 * test; vitest's tests count as themselves. Later stages run even when earlier ones failed, so that one run shows all.
 *
 * Arguments: names of stages to run (`types lint format unit integration conformance e2e`); none = all.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { installPrograms } from './programs.ts';

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const vitestReport = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  numFailedTestSuites: z.number(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      assertionResults: z.array(z.object({ status: z.string() })),
    }),
  ),
});

const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const skipped: string[] = [];

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(what: string): void {
  tally.failed += 1;
  failures.push(what);
}

/** One command, one test. */
function runCheck(name: string, command: string, args: readonly string[]): void {
  say(`— ${name}`);
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  if (status === 0) tally.passed += 1;
  else fail(name);
}

/** A vitest project, counted from its JSON report; a run that dies without one is a failure. */
function runVitest(project: string): void {
  say(`— ${project}`);
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tests-'));
  const file = join(folder, 'report.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const { status } = spawnSync('vitest', ['run', '--project', project, ...reporters], { stdio: 'inherit' });
    const report = vitestReport.parse(JSON.parse(readFileSync(file, 'utf8')));
    tally.passed += report.numPassedTests;
    tally.failed += report.numFailedTests;
    tally.skipped += report.numPendingTests + report.numTodoTests;
    if (report.numFailedTests > 0) failures.push(`${project}: ${report.numFailedTests} tests`);
    for (const suite of report.testResults)
      if (suite.assertionResults.some(({ status: one }) => one === 'skipped' || one === 'pending'))
        skipped.push(suite.name);
    // A file that could not even be loaded has no tests to count.
    for (const suite of report.testResults) {
      if (suite.status === 'failed' && suite.assertionResults.every((result) => result.status !== 'failed'))
        fail(suite.name);
    }
    if (report.numPassedTests + report.numFailedTests === 0) fail(`${project}: no test ran`);
    else if (status !== 0 && report.numFailedTests === 0) fail(`${project}: vitest ended with ${status}`);
  } catch (error) {
    fail(`${project}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const stages: Readonly<Record<string, () => void>> = {
  programs: () => {
    for (const { path, debianPackage } of installPrograms())
      fail(`${path} is missing. hint: apt-get install ${debianPackage}`);
  },
  types: () => {
    runCheck('types', 'tsc', ['-p', 'tsconfig.json']);
    runCheck('types of the web client', 'tsc', ['-p', 'dmz/web/tsconfig.json']);
    runCheck('types of the browser tests', 'tsc', ['-p', 'tsconfig.browser-tests.json']);
  },
  lint: () => runCheck('lint', 'oxlint', ['--type-aware', '--deny-warnings']),
  format: () => runCheck('format', 'prettier', ['--check', '--log-level', 'warn', '.']),
  unit: () => runVitest('unit'),
  integration: () => runVitest('integration'),
  conformance: () => runVitest('conformance'),
  e2e: () => runVitest('e2e'),
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => stages[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(
    `unknown stage ${unknown.join(', ')}. hint: one of ${Object.keys(stages).join(' ')}\n`,
  );
  process.exit(2);
}
for (const [name, run] of Object.entries(stages)) if (wanted.length === 0 || wanted.includes(name)) run();
for (const name of skipped) say(`skipped: ${name} needs root or /dev/fuse`);
for (const failure of failures) say(`failed: ${failure}`);
say(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
process.exit(tally.failed === 0 ? 0 : 1);
