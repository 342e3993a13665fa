import { buildProcessTerminal } from '#shared/command-line/process-terminal.ts';
import { userInfo } from 'node:os';
import { runCommand } from './run.ts';

/** Entry of the `sallyport` command (scripts/sallyport). */
process.exitCode = await runCommand(process.argv.slice(2), {
  terminal: buildProcessTerminal(process),
  folder: process.cwd(),
  nowMs: Date.now(),
  actor: process.env['SUDO_USER'] ?? userInfo().username,
});
