import { completionShells, renderCompletion } from '#shared/command-line/completion.ts';
import { exitCodeOf, exitCodes } from '#shared/command-line/exit-code.ts';
import { loadDmzConfig } from '#dmz/config.ts';
import { formatExamination } from '#shared/command-line/findings.ts';
import { hereAround } from '#shared/command-line/look-around.ts';
import { replaceFile } from '#shared/command-line/write-files.ts';
import { renderReport } from '#shared/health/report.ts';
import { renderManualPage } from '#shared/command-line/manual-page.ts';
import { printError, type Terminal } from '#shared/command-line/terminal.ts';
import { dialAddress, httpUrl, listen, plainName } from '#shared/config/value-types.ts';
import { configError } from '#shared/config/problem.ts';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { SallyportError } from '#shared/error.ts';
import { checkWordsOf } from '#shared/pairing/check-words.ts';
import { parseMainLine, tidyLine } from '#shared/pairing/pairing-line.ts';
import { version } from '#shared/version.ts';
import { showInvisible } from '#shared/visible-text.ts';
import { Argument, Command, CommanderError, Option } from 'commander';
import { existsSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { examineHere, examineNodeBox } from './doctor.ts';
import { initNode, nodeFiles, nodeLine } from './init.ts';
import { chooseLinkAddress } from './link-address.ts';
import { readLinkSocket } from './link-socket.ts';
import { finishRotation, prepareRotation } from './rotate.ts';
import { trustMain } from './trust.ts';

/** `sallyport node …`: what is done on the DMZ box itself. It talks to nobody; it makes and edits files. */

/** Where `init --systemd` puts a node, and where the units look for it. */
const installedFolder = '/etc/sallyport';

/** Exit code of one command line, after everything was printed. */
export async function runNodeCommand(
  args: readonly string[],
  surroundings: { readonly terminal: Terminal; readonly nowMs: number; readonly folder: string },
): Promise<number> {
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

function buildProgram({
  terminal,
  nowMs,
  folder,
}: {
  readonly terminal: Terminal;
  readonly nowMs: number;
  readonly folder: string;
}): Command {
  const program = new Command('sallyport node')
    .description('Set up a DMZ node, on the DMZ box')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })
    .showHelpAfterError();

  const printPairing = (line: string, asJson: boolean | undefined): void => {
    const words = checkWordsOf(line);
    if (asJson === true) {
      terminal.out(`${JSON.stringify({ line, words })}\n`);
      return;
    }
    terminal.out(`Pairing line of this node:\n\n${line}\n\nCheck words: ${words}\n`);
    terminal.err(`\nOn main:  sallyport nodes enrol '<the line>'   (it must show the same words)\n`);
  };

  program
    .command('init')
    .description('make keys, a self-signed certificate and dmz.yaml; print the pairing line')
    .requiredOption('--public-url <url>', 'address at which browsers reach it, https://…')
    .option('--dir <folder>', `where to write (default: here; with --systemd ${installedFolder})`)
    .option('--name <name>', 'name of this node', 'dmz1')
    .option('--link-listen <address:port>', 'where main dials in; an address of the inner network')
    .option('--https-listen <address:port>', 'where browsers connect', '0.0.0.0:443')
    .option('--sftp-listen <address:port>', 'where SFTP clients connect', '0.0.0.0:22')
    .option(
      '--systemd',
      'for the units of configs/systemd: they open the HTTPS and SFTP ports and hand over the keys',
    )
    .addOption(
      new Option('--host-key <where>', 'where the SSH host keys are: at main, which signs, or on this box')
        .choices(['main', 'local'])
        .default('main'),
    )
    .option('--json', 'print JSON')
    .action((options: InitOptions) => {
      requireFits('--public-url', httpUrl('https'), options.publicUrl);
      requireFits('--name', plainName, options.name);
      requireFits('--https-listen', listen, options.httpsListen);
      requireFits('--sftp-listen', listen, options.sftpListen);
      const linkListen = options.linkListen ?? chooseLinkAddress(networkInterfaces());
      requireFits('--link-listen', listen, linkListen);
      requireFits('--link-listen', dialAddress, linkListen);
      const values = {
        name: options.name,
        publicUrl: options.publicUrl,
        httpsListen: options.httpsListen,
        sftpListen: options.sftpListen,
        linkListen,
        hostKey: options.hostKey,
      };
      const target = resolve(folder, options.dir ?? (options.systemd === true ? installedFolder : '.'));
      const line = initNode(target, values, nowMs, options.systemd);
      const made = options.hostKey === 'local' ? 'keys, SSH host key' : 'keys';
      terminal.err(`Made ${nodeFiles(target).config}, ${made} and a self-signed certificate.\n\n`);
      printPairing(line, options.json);
    });

  program
    .command('show')
    .description('print the pairing line again')
    .option('--dir <folder>', `where dmz.yaml is (default: here, or ${installedFolder})`)
    .option('--json', 'print JSON')
    .action((options: { readonly dir?: string; readonly json?: boolean }) => {
      const target = findNode(folder, options.dir);
      printPairing(nodeLine(target, readNames(target)), options.json);
    });

  program
    .command('trust')
    .description("trust main: write the identity of its line (printed by 'nodes enrol') into dmz.yaml")
    .argument('<line>', "main's line, in quotes")
    .option('--dir <folder>', `where dmz.yaml is (default: here, or ${installedFolder})`)
    .option('--replace', 'even if another main is trusted')
    .option('--json', 'print JSON')
    .action(
      (
        line: string,
        options: { readonly dir?: string; readonly replace?: boolean; readonly json?: boolean },
      ) => {
        const main = parseMainLine(line);
        const words = checkWordsOf(tidyLine(line));
        const changed = trustMain(
          nodeFiles(findNode(folder, options.dir)).config,
          main,
          options.replace === true,
        );
        if (options.json === true) {
          terminal.out(`${JSON.stringify({ name: main.name, identity: main.identity, words, changed })}\n`);
          return;
        }
        terminal.out(`Check words: ${words}\n`);
        terminal.out(`${changed ? 'Trusts' : 'Already trusts'} ${main.name} (${main.identity}).\n`);
        if (changed)
          terminal.err('If the words differ from those on main, undo it. Restart the node if it runs.\n');
      },
    );

  program
    .command('rotate')
    .description('make new keys and print the line that main must approve; with --finish, use them')
    .option('--dir <folder>', `where dmz.yaml is (default: here, or ${installedFolder})`)
    .option('--finish', 'main has approved them: put them in the place of the old ones')
    .option('--json', 'print JSON')
    .action(
      async (options: { readonly dir?: string; readonly finish?: boolean; readonly json?: boolean }) => {
        const { link, node } = await loadDmzConfig(nodeFiles(findNode(folder, options.dir)).config);
        if (options.finish === true) {
          finishRotation(link);
          terminal.out(options.json === true ? '{"ok":true}\n' : 'The new keys are in place.\n');
          terminal.err('Restart the node now: it goes on with the old ones until then.\n');
          return;
        }
        const line = prepareRotation(node, link);
        const words = checkWordsOf(line);
        if (options.json === true) {
          terminal.out(`${JSON.stringify({ line, words })}\n`);
          return;
        }
        terminal.out(`New keys of this node:\n\n${line}\n\nCheck words: ${words}\n`);
        terminal.err(
          `\nOn main:  sallyport nodes rotate '<the line>'\nThen here:  sallyport node rotate --finish\n`,
        );
      },
    );

  program
    .command('doctor')
    .description('look for what is not as it should be on this box, and say how to mend it')
    .option('--dir <folder>', `where dmz.yaml is (default: here, or ${installedFolder})`)
    .option('--json', 'print JSON')
    .option('--report <file>', 'write what can be seen of the box into this file, for the node to read')
    .option('--watched <folder>', 'where dmz-watch.timer leaves what the node says', '/run/dmz-watch')
    .action(async (options: DoctorOptions) => {
      const file = nodeFiles(findNode(folder, options.dir)).config;
      if (options.report !== undefined) {
        const here = await examineHere(file, { nowMs, here: hereAround });
        replaceFile(options.report, renderReport(here, nowMs), 0o644);
        return;
      }
      const found = await examineNodeBox(file, { nowMs, here: hereAround, watched: options.watched });
      terminal.out(
        options.json === true ? `${showInvisible(JSON.stringify(found))}\n` : formatExamination(found),
      );
      if (found.findings.some(({ state }) => state === 'bad'))
        throw new SallyportError('internal', 'Something is not as it should be');
    });

  program
    .command('completion')
    .description('a script that completes these commands: source it, or put it where the shell looks')
    .addArgument(new Argument('<shell>').choices(completionShells))
    .action((shell: (typeof completionShells)[number]) => terminal.out(renderCompletion(program, shell)));
  program
    .command('manual')
    .description('this command’s manual page, for man(1)')
    .action(() => terminal.out(renderManualPage(program)));

  return program;
}

interface DoctorOptions {
  readonly dir?: string;
  readonly json?: boolean;
  readonly report?: string;
  readonly watched: string;
}

interface InitOptions {
  readonly publicUrl: string;
  readonly dir?: string;
  readonly name: string;
  readonly linkListen?: string;
  readonly httpsListen: string;
  readonly sftpListen: string;
  readonly systemd?: boolean;
  readonly hostKey: 'main' | 'local';
  readonly json?: boolean;
}

function requireFits(option: string, schema: z.ZodType, value: string): void {
  const result = schema.safeParse(value);
  if (result.success) return;
  throw new SallyportError('usage', `${option} does not fit`, {
    detail: `${value}: expected ${result.error.issues.map(({ message }) => message).join(', ')}`,
  });
}

/** The folder named, or the one we are in if a node is here, or the installed one. */
function findNode(folder: string, named: string | undefined): string {
  if (named !== undefined) return resolve(folder, named);
  return [folder, installedFolder].find((one) => existsSync(nodeFiles(one).config)) ?? folder;
}

function readNames(node: string): Parameters<typeof nodeLine>[1] {
  const { config: configFile } = nodeFiles(node);
  if (!existsSync(configFile)) {
    throw new SallyportError('not-found', 'There is no node here', { detail: configFile });
  }
  const { document, problems } = parseYaml(readFileSync(configFile, 'utf8'), configFile);
  if (problems.length > 0) throw configError(problems);
  const listens = String(document.getIn(['link', 'listen']));
  const hostKey = document.getIn(['sftp', 'host_key']) === 'main' ? 'main' : 'local';
  return { name: String(document.getIn(['node'])), address: readLinkSocket(node) ?? listens, hostKey };
}
