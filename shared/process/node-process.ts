import { parseArgs } from 'node:util';
import { printProblems, type ConfigProblem } from '#shared/config/problem.ts';
import { isSallyportError } from '#shared/error.ts';

/**
 * The life of a node's process, the same for both: arguments, the Node version, `--check-config`, start, signals,
 * exit code. Only the two `main.ts` use it.
 */

export interface System {
  /** Re-reads what can change without dropping a connection (SIGHUP). */
  reload(): Promise<void>;
  /** Lets running work finish for a bounded time, then ends. */
  close(): Promise<void>;
}

export interface NodeProgram<Config> {
  readonly name: string;
  check(
    file: string,
  ): Promise<{ ok: true; config: Config } | { ok: false; problems: readonly ConfigProblem[] }>;
  start(config: Config, file: string): Promise<System>;
}

/** node:sqlite without a flag, argon2 and ML-KEM in node:crypto, and type stripping that is stable. */
const oldestNode = [24, 15] as const;
/** Exit codes: 1 it failed while running, 2 it was told something it can't do. */
const exitFailed = 1;
const exitUsage = 2;

export async function runNodeProgram<Config>(program: NodeProgram<Config>): Promise<void> {
  requireNode();
  const { config: file, 'check-config': checkOnly } = readArguments(program.name);
  const checked = await program.check(file);
  if (!checked.ok) {
    process.stderr.write(`${printProblems(checked.problems)}\n`);
    process.exit(exitUsage);
  }
  if (checkOnly) {
    process.stdout.write(`${file}: ok\n`);
    return;
  }
  let system: System;
  try {
    system = await program.start(checked.config, file);
  } catch (error) {
    process.stderr.write(`${program.name}: ${describeFailure(error)}\n`);
    process.exit(isSallyportError(error, 'config') ? exitUsage : exitFailed);
  }
  let closing = false;
  const close = (): void => {
    if (closing) return;
    closing = true;
    system.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${program.name}: ${describeFailure(error)}\n`);
        process.exit(exitFailed);
      },
    );
  };
  process.on('SIGTERM', close);
  process.on('SIGINT', close);
  process.on('SIGHUP', () => {
    system.reload().catch((error: unknown) => {
      process.stderr.write(`${program.name}: not reloaded: ${describeFailure(error)}\n`);
    });
  });
}

function requireNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  process.stderr.write(
    `Node ${process.versions.node} is too old: ${oldestNode.join('.')} or newer is needed.\n` +
      'hint: PATH="$PWD/node_modules/.bin:$PATH" puts the project\'s own Node first\n',
  );
  process.exit(exitUsage);
}

function readArguments(name: string): { config: string; 'check-config': boolean } {
  try {
    const { values } = parseArgs({
      options: { config: { type: 'string' }, 'check-config': { type: 'boolean', default: false } },
    });
    if (values.config !== undefined) return { config: values.config, 'check-config': values['check-config'] };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  }
  process.stderr.write(`usage: node ${name}/main.ts --config FILE [--check-config]\n`);
  process.exit(exitUsage);
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = isSallyportError(error) && error.hint !== undefined ? `\nhint: ${error.hint}` : '';
  return `${isSallyportError(error) ? error.message : (error.stack ?? error.message)}${hint}`;
}
