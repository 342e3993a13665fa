import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Canary } from './canaries.ts';
import { runProgram } from './clients/process.ts';
import type { Product } from './product.ts';

/** All that a running product writes down or shows to who asks, by the name of the place. No mails, no user files. */
export async function readWrittenPlaces(product: Product): Promise<ReadonlyMap<string, Buffer>> {
  const { files, mainHealth, nodes } = product.site;
  const places = new Map<string, Buffer>([["main's log", readFileSync(files.main.log)]]);
  const folder = dirname(files.main.config);
  // The database with what is not merged into it yet; the audit with its older files, checkpoints among them.
  for (const name of readdirSync(folder).filter((one) => /^(state|audit)\./.test(one)))
    places.set(name, readFileSync(join(folder, name)));
  places.set('assertions in the audit', Buffer.concat(product.audit().map(decodeAssertion)));
  places.set("main's metrics", await get(`${mainHealth}/metrics`));
  for (const { name, files: own, health } of nodes) {
    places.set(`${name}'s log`, readFileSync(own.log));
    places.set(`${name}'s metrics`, await get(`${health}/metrics`));
    places.set(`${name}'s doctor`, await run('node', 'doctor', '--dir', dirname(own.config)));
  }
  const commands = [['doctor'], ['status'], ['config', 'show'], ['nodes', 'list'], ['sessions', 'list']];
  for (const command of [...commands, ['two-factor', 'status'], ['audit', 'tail', '-n', '1000']]) {
    const socket = ['--socket', files.main.socket, '--json'];
    places.set(`sallyport ${command.join(' ')}`, await run(...socket, ...command));
  }
  return places;
}

/** `<canary> in <place>` of each that is there; digits count only where no other letter or digit stands beside them. */
export function findWritten(places: ReadonlyMap<string, Buffer>, canaries: readonly Canary[]): string[] {
  return [...places].flatMap(([place, content]) => {
    const text = content.toString('latin1');
    return canaries
      .filter(([, secret]) =>
        /^\d+$/.test(secret)
          ? new RegExp(`(?<![0-9A-Za-z])${secret}(?![0-9A-Za-z])`).test(text)
          : text.includes(secret),
      )
      .map(([name]) => `${name} in ${place}`);
  });
}

/** The claims of the JWS, which stand in the record in base64url. */
function decodeAssertion({ assertion }: Record<string, unknown>): Buffer {
  return typeof assertion === 'string'
    ? Buffer.from(assertion.split('.')[1] ?? '', 'base64url')
    : Buffer.alloc(0);
}

async function get(url: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(url)).arrayBuffer());
}

/** Whatever it finds: its words are what counts here. */
async function run(...args: readonly string[]): Promise<Buffer> {
  const program = join(import.meta.dirname, '..', '..', 'scripts', 'sallyport');
  const { stdout, stderr } = await runProgram(program, args);
  return Buffer.from(stdout + stderr);
}
