import { exitCodeOf, exitCodes } from '#shared/command-line/exit-code.ts';
import { printError, type Terminal } from '#shared/command-line/terminal.ts';
import { version } from '#shared/version.ts';
import { Argument, Command, CommanderError } from 'commander';
import { addBinCommands } from './bin-commands.ts';
import { addBanCommands } from './ban-commands.ts';
import { addAuditCommands } from './audit-commands.ts';
import { buildCommandContext, type GlobalOptions } from './command-context.ts';
import { addGroupCommands } from './group-commands.ts';
import { addNodeChangeCommands } from './node-change-commands.ts';
import { renderCompletion } from './completion.ts';
import { addDoctorCommands } from './doctor-commands.ts';
import { addLeaseCommands } from './lease-commands.ts';
import { addNodeCommands } from './node-commands.ts';
import { addTokenCommands } from './token-commands.ts';
import { addTransferCommands } from './transfer-commands.ts';
import { addSessionCommands } from './session-commands.ts';
import { addSetupCommands } from './setup-commands.ts';
import { addSystemCommands } from './system-commands.ts';
import { addTwoFactorCommands } from './two-factor-commands.ts';
import { addUserCommands } from './user-commands.ts';

/** The `sallyport` command of the main node. */

interface Surroundings {
  readonly terminal: Terminal;
  /** Where relative paths count from. */
  readonly folder: string;
  readonly nowMs: number;
  /** The name the caller goes by in the audit. */
  readonly actor: string;
}

/** Exit code of one command line, after everything was printed. */
export async function runCommand(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { terminal } = surroundings;
  try {
    await buildProgram(surroundings).parseAsync([...args], { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    printError(terminal, error, args.includes('--json'));
    return exitCodeOf(error);
  }
}

function buildProgram(surroundings: Surroundings): Command {
  const { terminal } = surroundings;
  const program = new Command('sallyport')
    .description('Manage a Sallyport main node; `sallyport node …` sets up a DMZ node')
    .version(version)
    .option(
      '--socket <file>',
      'admin socket (default: as main-agent.yaml says, or /run/sallyport/admin.sock)',
    )
    .option('--url <url>', 'main’s TLS listener instead of its socket, https://…; needs a token')
    .option('--token-file <file>', 'file of mode 0600 with the token to call with')
    .option('--ca-file <file>', 'certificate authority of the TLS listener, where it is a private one')
    .option('--config <file>', 'main-agent.yaml (default: in this folder, or in /etc/sallyport)')
    .option('--json', 'print JSON')
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })
    .showHelpAfterError('(add --help for what it takes)')
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 conflict\n' +
        '\nOn a DMZ box:\n  node init|show|trust|rotate|doctor  keys, dmz.yaml, pairing, health (sallyport node --help)\n',
    );
  const context = buildCommandContext({ ...surroundings, global: () => program.opts<GlobalOptions>() });
  const nodes = program.command('nodes').description('the DMZ nodes');
  addUserCommands(program, context);
  addGroupCommands(program, context);
  addTwoFactorCommands(program, context);
  addSessionCommands(program, context);
  addLeaseCommands(program, context);
  addTransferCommands(program, context);
  addBinCommands(program, context);
  addBanCommands(program, context);
  addNodeCommands(nodes, context);
  addTokenCommands(program, context);
  addDoctorCommands(program, context);
  addSystemCommands(program, context);
  addAuditCommands(program, context);
  addNodeChangeCommands(nodes, context);
  addSetupCommands(program, context, nodes);
  program
    .command('completion')
    .description('a script that completes these commands: source it, or put it where bash looks')
    .addArgument(new Argument('<shell>').choices(['bash']))
    .action(() => terminal.out(renderCompletion(program)));
  return program;
}
