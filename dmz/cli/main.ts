import { buildProcessTerminal } from '#shared/command-line/process-terminal.ts';
import { runNodeCommand } from './run.ts';

/** Entry of `sallyport node …` (scripts/sallyport). */
process.exitCode = await runNodeCommand(process.argv.slice(2), {
  terminal: buildProcessTerminal(process),
  nowMs: Date.now(),
  folder: process.cwd(),
});
