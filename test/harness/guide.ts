import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Outcome, runProgram } from './clients/process.ts';

const program = fileURLToPath(new URL('../../scripts/sallyport', import.meta.url));

/**
 * A document whose commands are run as they stand in it, by a shell. `done` tells which of them nobody ran, so that
 * guide and test can't grow apart.
 */
export class Guide {
  readonly #commands: readonly string[];
  readonly #socket: string;
  readonly #done = new Set<string>();

  constructor(file: string, socket: string) {
    const text = readFileSync(file, 'utf8');
    const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
    this.#commands = blocks.flatMap((block) => block.split('\n')).filter((line) => line !== '');
    this.#socket = socket;
  }

  /** The one command that begins so, with what stands for something replaced; rejects when it fails. */
  async run(
    beginning: string,
    replace: Readonly<Record<string, string>> = {},
    options: { readonly cwd?: string; readonly input?: string } = {},
  ): Promise<string> {
    const { status, stdout, stderr } = await this.try(beginning, replace, options);
    if (status !== 0) throw new Error(`${beginning}: exit ${status}: ${stderr}`);
    return stdout;
  }

  try(
    beginning: string,
    replace: Readonly<Record<string, string>> = {},
    options: { readonly cwd?: string; readonly input?: string } = {},
  ): Promise<Outcome> {
    const exact = this.#commands.filter((one) => one === beginning);
    const found = exact.length > 0 ? exact : this.#commands.filter((one) => one.startsWith(beginning));
    const [command] = found;
    if (command === undefined || found.length > 1)
      throw new Error(`the guide has ${found.length} commands that begin with: ${beginning}`);
    this.#done.add(command);
    const words = Object.entries(replace).reduce((line, [from, to]) => line.replaceAll(from, to), command);
    return runProgram('/bin/sh', ['-c', `sallyport() { "$PROGRAM" --socket "$SOCKET" "$@"; }\n${words}`], {
      env: { PROGRAM: program, SOCKET: this.#socket },
      ...options,
    });
  }

  /** Commands of the guide that were not run. */
  left(): readonly string[] {
    return this.#commands.filter((one) => !this.#done.has(one));
  }
}
