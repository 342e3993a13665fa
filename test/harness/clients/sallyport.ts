import { fileURLToPath } from 'node:url';
import { type Outcome, runProgram } from './process.ts';

const program = fileURLToPath(new URL('../../../scripts/sallyport', import.meta.url));

/** The real `sallyport` command, on one main's admin socket. */
export function runSallyport(socket: string, args: readonly string[]): Promise<Outcome> {
  return runProgram(program, ['--socket', socket, ...args]);
}

/** As `runSallyport --json`; rejects when the command fails. */
export async function askSallyport(
  socket: string,
  args: readonly string[],
): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await runSallyport(socket, ['--json', ...args]);
  if (status !== 0) throw new Error(`sallyport ${args.join(' ')}: exit ${status}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}
