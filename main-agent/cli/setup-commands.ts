import { checkMainAgentConfig } from '#main-agent/config.ts';
import { configError } from '#shared/config/problem.ts';
import { plainName } from '#shared/config/value-types.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import { SallyportError } from '#shared/error.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { Secret } from '#shared/secret.ts';
import { checkWordsOf } from '#shared/pairing/check-words.ts';
import { formatMainLine, parseNodeLine, tidyLine } from '#shared/pairing/pairing-line.ts';
import type { Command } from 'commander';
import { resolve } from 'node:path';
import type { CommandContext } from './command-context.ts';
import { enrolNode } from './enrol-node.ts';
import { initMain } from './main-files.ts';
import { requireConfigFile } from './system-commands.ts';

/** `sallyport main init` and `sallyport nodes enrol`: files on main's disk, done before main runs or beside it. */

interface InitOptions {
  readonly dir?: string;
  readonly name: string;
  readonly systemd?: boolean;
  readonly state: string;
}

/** Where the unit looks for its configuration. */
const installedFolder = '/etc/sallyport';

export function addSetupCommands(program: Command, context: CommandContext, nodes: Command): void {
  const { terminal } = context;

  program
    .command('main')
    .description('set up the main node')
    .command('init')
    .description('make keys, main-agent.yaml and users/_default.yaml')
    .option('--dir <folder>', 'where to write (default: here; with --systemd /etc/sallyport)')
    .option('--name <name>', 'name of this node', 'main1')
    .option('--systemd', 'for the unit of configs/systemd: it hands over the keys')
    .option('--state <folder>', 'with --systemd: users, sessions and audit', '/var/lib/sallyport')
    .action((options: InitOptions) => {
      if (!plainName.safeParse(options.name).success) {
        throw new SallyportError('usage', '--name does not fit', { detail: 'letters, digits, - and _' });
      }
      const isInstalled = options.systemd === true;
      const config = initMain(resolve(context.folder, options.dir ?? (isInstalled ? installedFolder : '.')), {
        name: options.name,
        ...(isInstalled && { systemdState: resolve(context.folder, options.state) }),
      });
      context.print({ config }, () => `Made ${config}, keys and users/_default.yaml.\n`);
      terminal.err("Next:  sallyport nodes enrol '<pairing line of the DMZ node>'\n");
    });

  nodes
    .command('enrol')
    .description('enrol a DMZ node by its pairing line; prints main’s own line for that node')
    .argument('<line>', 'the pairing line, in quotes')
    .option('--yes', 'don’t ask whether the check words are the same')
    .option('--replace', 'even if a node of that name has other keys')
    .action(async (line: string, options: { readonly yes?: boolean; readonly replace?: boolean }) => {
      const pairing = parseNodeLine(line);
      const words = checkWordsOf(tidyLine(line));
      const file = await requireConfigFile(context);
      terminal.err(`Node ${pairing.name} at ${pairing.address}\nCheck words: ${words}\n`);
      if (terminal.isInteractive && options.yes !== true) {
        const answer = await terminal.ask('Does the node show the same words? [y/N] ');
        if (!/^y(es)?$/i.test(answer.trim())) {
          throw new SallyportError('refused', 'Not enrolled', {
            detail: 'the line was changed on its way, or copied wrong',
          });
        }
      }
      const done = enrolNode(file, pairing, options.replace === true);
      const checked = await checkMainAgentConfig(file);
      if (!checked.ok) throw configError(checked.problems);
      const { name, identityKey } = checked.config;
      const key = await readSecretFile(identityKey);
      const { fingerprint } = parseIdentityKey(new Secret(key.expose().toString('utf8')));
      const mainLine = formatMainLine({ name, identity: fingerprint });
      const mainWords = checkWordsOf(mainLine);
      context.print(
        { node: pairing.name, done, words, main: { line: mainLine, words: mainWords } },
        () =>
          `${pairing.name}: ${done}.\n\nMain's line for ${pairing.name}:\n\n${mainLine}\n\nCheck words: ${mainWords}\n`,
      );
      terminal.err(
        `\nOn the DMZ box:  sallyport node trust '<main's line>'\n` +
          (done === 'same' ? '' : 'Restart main-agent if it runs.\n'),
      );
    });
}
