import { releaseCommands, wordsOf, type CommandOption, type CommandTree } from './command-tree.ts';
import { version } from '#shared/version.ts';

/** sallyport(1), in man(7), written from the very commands there are. */

export function renderManualPage(program: CommandTree): string {
  const [name = ''] = wordsOf(program);
  return `${[
    `.TH ${name.toUpperCase()} 1 "" "Sallyport ${version}" "Sallyport"`,
    '.SH NAME',
    `${name} \\- ${escapeRoff(program.description())}`,
    '.SH SYNOPSIS',
    `.B ${escapeRoff(program.name())}`,
    '[options] command',
    ...releaseCommands.map((one) => `.br\n.B ${name} ${one.name}`),
    ...(program.options.length > 0 ? ['.SH OPTIONS', ...program.options.map(renderOption)] : []),
    '.SH COMMANDS',
    ...program.commands.flatMap((one) => renderCommand(one, [program.name()])),
    ...releaseCommands.flatMap((one) => [
      `.SS ${name} ${one.name}`,
      escapeRoff(`${one.description} (installed from a package).`),
    ]),
    '.SH EXIT STATUS',
    '0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 conflict.',
    '.SH FILES',
    '.TP',
    '.I /etc/sallyport',
    'Configuration and keys.',
    '.TP',
    '.I /opt/sallyport/releases',
    'The versions that are on this box.',
  ].join('\n')}\n`;
}

/** A group is the heads of its commands; it does nothing itself. */
function renderCommand(command: CommandTree, path: readonly string[]): string[] {
  const words = [...path, command.name()];
  const below = command.commands.flatMap((one) => renderCommand(one, words));
  if (below.length > 0 && command.registeredArguments.length === 0) return below;
  const values = command.registeredArguments.map((one) => {
    const shown = `${one.name()}${one.variadic ? '…' : ''}`;
    return one.required ? `<${shown}>` : `[${shown}]`;
  });
  const told = command.registeredArguments.filter(({ description }) => description !== '');
  return [
    `.SS ${escapeRoff([...words, ...values].join(' '))}`,
    escapeRoff(command.description()),
    ...told.flatMap((one) => ['.TP', `.I ${escapeRoff(one.name())}`, escapeRoff(one.description)]),
    ...command.options.map(renderOption),
    ...below,
  ];
}

function renderOption({ flags, description }: CommandOption): string {
  return `.TP\n.B ${escapeRoff(flags)}\n${escapeRoff(description)}`;
}

/** `\` begins a request inside a line, `.` and `'` one at its beginning; `-` alone is a hyphen, not the option's dash. */
function escapeRoff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');
}
