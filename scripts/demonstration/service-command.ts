import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * How systemd starts a node, for those who start it without systemd: arguments and environment stand in its unit file
 * and nowhere else, so what is shown and tested is what is deployed.
 */
interface ServiceCommand {
  /** Of Node, the program and its own arguments included. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** `places`: what stands for an absolute path or a specifier of the unit file, such as `/opt/sallyport` or `%d`. */
export function readServiceCommand(
  unit: 'dmz' | 'main-agent',
  places: Readonly<Record<string, string>>,
): ServiceCommand {
  const file = fileURLToPath(new URL(`../../configs/systemd/${unit}.service`, import.meta.url));
  const lines = readFileSync(file, 'utf8')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  const valuesOf = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  const [command = ''] = valuesOf('ExecStart');
  const [program = '', ...args] = command.split(/\s+/);
  if (!program.endsWith('/node')) throw new Error(`${file}: ExecStart does not start Node`);
  return {
    args: args.map((argument) =>
      Object.entries(places).reduce((text, [from, to]) => text.replaceAll(from, to), argument),
    ),
    env: Object.fromEntries(
      valuesOf('Environment')
        .flatMap((value) => value.split(/\s+/))
        .map((pair): [string, string] => {
          const [name = '', ...value] = pair.split('=');
          return [name, value.join('=')];
        }),
    ),
  };
}
