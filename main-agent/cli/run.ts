import { completionShells, renderCompletion } from '#shared/command-line/completion.ts';
import { exitCodeOf, exitCodes } from '#shared/command-line/exit-code.ts';
import { printError, type Terminal } from '#shared/command-line/terminal.ts';
import { version } from '#shared/version.ts';
import { Argument, Command, CommanderError } from 'commander';
import { buildCommandContext, type CommandContext, type GlobalOptions } from './command-context.ts';

/** The `sallyport` command of the main node. */

interface Surroundings {
  readonly terminal: Terminal;
  /** Where relative paths count from. */
  readonly folder: string;
  readonly nowMs: number;
  /** The name the caller goes by in the audit. */
  readonly actor: string;
}

type AddGroup = (program: Command, context: CommandContext, nodes: Command) => void;

/** The commands by their first word, in the order of the help. `nodes` has more than one room. */
const groups: readonly { readonly names: readonly string[]; readonly load: () => Promise<AddGroup> }[] = [
  {
    names: ['users'],
    load: async () => (await import('./user-commands.ts')).addUserCommands,
  },
  {
    names: ['groups'],
    load: async () => (await import('./group-commands.ts')).addGroupCommands,
  },
  {
    names: ['two-factor'],
    load: async () => (await import('./two-factor-commands.ts')).addTwoFactorCommands,
  },
  {
    names: ['sessions'],
    load: async () => (await import('./session-commands.ts')).addSessionCommands,
  },
  {
    names: ['leases'],
    load: async () => (await import('./lease-commands.ts')).addLeaseCommands,
  },
  {
    names: ['transfers'],
    load: async () => (await import('./transfer-commands.ts')).addTransferCommands,
  },
  {
    names: ['bin'],
    load: async () => (await import('./bin-commands.ts')).addBinCommands,
  },
  {
    names: ['retention'],
    load: async () => (await import('./retention-commands.ts')).addRetentionCommands,
  },
  {
    names: ['bans'],
    load: async () => (await import('./ban-commands.ts')).addBanCommands,
  },
  {
    names: ['certificate'],
    load: async () => (await import('./certificate-commands.ts')).addCertificateCommands,
  },
  {
    names: ['hostkeys'],
    load: async () => (await import('./host-key-commands.ts')).addHostKeyCommands,
  },
  {
    names: ['nodes'],
    load: async () => {
      const { addNodeCommands } = await import('./node-commands.ts');
      return (_program, context, nodes) => addNodeCommands(nodes, context);
    },
  },
  {
    names: ['tokens'],
    load: async () => (await import('./token-commands.ts')).addTokenCommands,
  },
  {
    names: ['doctor', 'whoami'],
    load: async () => (await import('./doctor-commands.ts')).addDoctorCommands,
  },
  {
    names: ['status', 'explain', 'config'],
    load: async () => (await import('./system-commands.ts')).addSystemCommands,
  },
  {
    names: ['audit'],
    load: async () => (await import('./audit-commands.ts')).addAuditCommands,
  },
  {
    names: ['nodes'],
    load: async () => {
      const { addNodeChangeCommands } = await import('./node-change-commands.ts');
      const { addIncidentCommand } = await import('./incident-command.ts');
      return (_program, context, nodes) => {
        addNodeChangeCommands(nodes, context);
        addIncidentCommand(nodes, context);
      };
    },
  },
  {
    names: ['backup', 'restore'],
    load: async () => (await import('./backup-commands.ts')).addBackupCommands,
  },
  {
    names: ['main', 'nodes'],
    load: async () => (await import('./setup-commands.ts')).addSetupCommands,
  },
];

/** Only what this line may need, because loading all costs more than most commands do; all of it for help. */
function loadGroups(args: readonly string[]): Promise<AddGroup[]> {
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) return Promise.resolve([]);
  const named = groups.filter(({ names }) => names.some((name) => args.includes(name)));
  return Promise.all((named.length > 0 ? named : groups).map(({ load }) => load()));
}

/** Exit code of one command line, after everything was printed. */
export async function runCommand(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { terminal } = surroundings;
  try {
    const program = await buildProgram(args, surroundings);
    await program.parseAsync([...args], { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    printError(terminal, error, args.includes('--json'));
    return exitCodeOf(error);
  }
}

async function buildProgram(args: readonly string[], surroundings: Surroundings): Promise<Command> {
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
  for (const add of await loadGroups(args)) add(program, context, nodes);
  program
    .command('completion')
    .description('a script that completes these commands: source it, or put it where the shell looks')
    .addArgument(new Argument('<shell>').choices(completionShells))
    .action((shell: (typeof completionShells)[number]) => {
      terminal.out(renderCompletion(program, shell));
    });
  program
    .command('manual')
    .description('this command’s manual page, for man(1)')
    .action(async () => {
      const { renderManualPage } = await import('#shared/command-line/manual-page.ts');
      terminal.out(renderManualPage(program));
    });
  return program;
}
