import { parseArgs } from 'node:util';
import { printProblems, type ConfigProblem } from '#shared/config/problem.ts';
import { isSallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { complain, foldUncaught } from './journal.ts';

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

/**
 * All starts of a node, each of which puts its closing on the stack. When one fails, what was started before it is
 * closed from the last to the first, and the failure stays the one that is told.
 */
export async function startOrClose<T>(
  log: Log,
  start: (closing: AsyncDisposableStack) => Promise<T>,
): Promise<T> {
  const closing = new AsyncDisposableStack();
  try {
    return await start(closing);
  } catch (error) {
    await closing
      .disposeAsync()
      .catch((cause: unknown) => log.error({ err: cause }, 'not all closed after a start that failed'));
    throw error;
  }
}

interface NodeProgram<Config> {
  readonly name: string;
  check(
    file: string,
  ): Promise<{ ok: true; config: Config } | { ok: false; problems: readonly ConfigProblem[] }>;
  /** What else is looked at when the configuration is checked; told, and no reason to refuse it. */
  readonly examine?: (config: Config) => Promise<string>;
  /** Options of this program alone that take a text: name, and what stands for the text in the usage line. */
  readonly options?: Readonly<Record<string, string>>;
  start(config: Config, file: string, options: Readonly<Record<string, string | undefined>>): Promise<System>;
}

/** node:sqlite without a flag, argon2 and ML-KEM in node:crypto, and type stripping that is stable. */
const oldestNode = [24, 15] as const;
/** Exit codes: 1 it failed while running, 2 it was told something it can't do. */
const exitFailed = 1;
const exitUsage = 2;

export async function runNodeProgram<Config>(program: NodeProgram<Config>): Promise<void> {
  requireNode();
  foldUncaught(program.name);
  const { file, checkOnly, options } = readArguments(program.name, program.options ?? {});
  const checked = await program.check(file);
  if (!checked.ok) {
    complain(printProblems(checked.problems));
    process.exit(exitUsage);
  }
  if (checkOnly) {
    process.stdout.write(`${file}: ok\n`);
    process.stdout.write((await program.examine?.(checked.config)) ?? '');
    return;
  }
  let system: System;
  try {
    system = await program.start(checked.config, file, options);
  } catch (error) {
    complain(`${program.name}: ${describeFailure(error)}`);
    process.exit(isSallyportError(error, 'config') ? exitUsage : exitFailed);
  }
  let closing = false;
  const close = (): void => {
    if (closing) return;
    closing = true;
    system.close().then(
      () => process.exit(0),
      (error: unknown) => {
        complain(`${program.name}: ${describeFailure(error)}`);
        process.exit(exitFailed);
      },
    );
  };
  process.on('SIGTERM', close);
  process.on('SIGINT', close);
  process.on('SIGHUP', () => {
    system.reload().catch((error: unknown) => {
      complain(`${program.name}: not reloaded: ${describeFailure(error)}`);
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

interface Arguments {
  readonly file: string;
  readonly checkOnly: boolean;
  readonly options: Readonly<Record<string, string | undefined>>;
}

function readArguments(name: string, own: Readonly<Record<string, string>>): Arguments {
  const texts = Object.keys(own).map((option) => [option, { type: 'string' }] as const);
  try {
    const { values } = parseArgs({
      options: {
        ...Object.fromEntries(texts),
        config: { type: 'string' },
        'check-config': { type: 'boolean' },
      },
    });
    const { config, 'check-config': checkOnly, ...others } = values;
    const options = Object.fromEntries(
      Object.entries(others).flatMap(([option, value]) =>
        typeof value === 'string' ? [[option, value]] : [],
      ),
    );
    if (typeof config === 'string') return { file: config, checkOnly: checkOnly === true, options };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  }
  const more = Object.entries(own).map(([option, text]) => ` [--${option} ${text}]`);
  process.stderr.write(`usage: node ${name}/main.ts --config FILE [--check-config]${more.join('')}\n`);
  process.exit(exitUsage);
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = isSallyportError(error) && error.hint !== undefined ? `\nhint: ${error.hint}` : '';
  return `${isSallyportError(error) ? error.message : (error.stack ?? error.message)}${hint}`;
}
