import { fileURLToPath } from 'node:url';
import { readText } from '#test/repo/source-tree.ts';
import { type Outcome, runProgram } from './clients/process.ts';

const program = fileURLToPath(new URL('../../scripts/sallyport', import.meta.url));

/** A command of a document, without its prompt and without the comment behind it. */
interface GuideCommand {
  /** The box of its prompt: `D# …` is typed on D. Empty: wherever `sallyport` is. */
  readonly on: string;
  readonly line: string;
  /** The heading above it. */
  readonly section: string;
}

/** What is beside a command: the folder it is typed in, and what it reads. */
interface Around {
  readonly cwd?: string;
  readonly input?: string;
}

/** Types one command on the box that it is for. */
export type Shell = (command: Pick<GuideCommand, 'on' | 'line'>, around: Around) => Promise<Outcome>;

/**
 * A document whose commands are run as they stand in it. They are in its blocks without a language, each behind the
 * prompt of its box, and in those of `sh`, a line each. `left` tells which of them nobody ran, so that guide and test
 * can't grow apart.
 */
export class Guide {
  readonly #commands: readonly GuideCommand[];
  readonly #shell: Shell;
  readonly #done = new Set<GuideCommand>();

  /** `file`: as a path in the repository. */
  constructor(file: string, shell: Shell) {
    this.#shell = shell;
    this.#commands = parseCommands(readText(file));
  }

  /** The one command that begins so, with its prompt or without, with what stands for something replaced; rejects when it fails. */
  async run(
    beginning: string,
    replace: Readonly<Record<string, string>> = {},
    around: Around = {},
  ): Promise<string> {
    const { status, stdout, stderr } = await this.try(beginning, replace, around);
    if (status !== 0) throw new Error(`${beginning}: exit ${status}: ${stderr}`);
    return stdout;
  }

  try(
    beginning: string,
    replace: Readonly<Record<string, string>> = {},
    around: Around = {},
  ): Promise<Outcome> {
    const asTyped = ({ on, line }: GuideCommand): string =>
      /^[A-Z]# /.test(beginning) ? `${on}# ${line}` : line;
    const exact = this.#commands.filter((one) => asTyped(one) === beginning);
    const found =
      exact.length > 0 ? exact : this.#commands.filter((one) => asTyped(one).startsWith(beginning));
    const [command] = found;
    if (command === undefined || found.length > 1)
      throw new Error(`the guide has ${found.length} commands that begin with: ${beginning}`);
    return this.#type(command, replace, around);
  }

  /** All commands of a section, one after the other; what they print. Rejects when one fails. */
  async runSection(
    title: string,
    replace: Readonly<Record<string, string>> = {},
  ): Promise<readonly string[]> {
    const commands = this.#commands.filter(({ section }) => section === title);
    if (commands.length === 0) throw new Error(`the guide has no command below ${title}`);
    const printed: string[] = [];
    for (const command of commands) {
      const { status, stdout, stderr } = await this.#type(command, replace, {});
      if (status !== 0) throw new Error(`${command.line}: exit ${status}: ${stderr}`);
      printed.push(stdout);
    }
    return printed;
  }

  /** Commands of the guide that were not run. */
  left(): readonly string[] {
    return this.#commands.filter((one) => !this.#done.has(one)).map(({ line }) => line);
  }

  #type(command: GuideCommand, replace: Readonly<Record<string, string>>, around: Around): Promise<Outcome> {
    this.#done.add(command);
    const line = Object.entries(replace).reduce(
      (text, [from, to]) => text.replaceAll(from, to),
      command.line,
    );
    return this.#shell({ on: command.on, line }, around);
  }
}

function parseCommands(text: string): GuideCommand[] {
  const commands: GuideCommand[] = [];
  let section = '';
  let language: string | undefined;
  for (const line of text.split('\n')) {
    const prompted = /^(?<on>[A-Z])# (?<line>.*?)(?: {2,}# .*)?$/.exec(line)?.groups;
    if (line.startsWith('```')) language = language === undefined ? line.slice(3) : undefined;
    else if (language === undefined) section = /^#+ (.*)$/.exec(line)?.[1] ?? section;
    else if (language === 'sh' && line !== '') commands.push({ on: '', line, section });
    else if (language === '' && prompted !== undefined)
      commands.push({ on: prompted['on'] ?? '', line: prompted['line'] ?? '', section });
  }
  return commands;
}

/** The shell of a person beside main. */
export function shellBeside(socket: string): Shell {
  return ({ line }, around) =>
    runProgram('/bin/sh', ['-c', `sallyport() { "$PROGRAM" --socket "$SOCKET" "$@"; }\n${line}`], {
      env: { PROGRAM: program, SOCKET: socket },
      ...around,
    });
}
