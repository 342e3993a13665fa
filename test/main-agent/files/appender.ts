/**
 * A main of its own, to be killed: two sessions append lines to one file, each as fast as it is answered, and say what
 * was answered. Arguments: the base folder, and which of several runs it is.
 */
import { LocalMedium } from './media.ts';
import { resume, Rig } from './rig.ts';

const rig = new Rig(new LocalMedium(process.argv[2] ?? ''));
await rig.start();

async function append(who: string): Promise<void> {
  const client = rig.client('alice', 'sftp', `session ${who} ${process.argv[3]}`);
  const mode = { ...resume, append: true };
  const { handle } = await client.askAs('fs.open', { path: ['log'], mode }, 1);
  process.stdout.write(`${who} open ${handle}\n`);
  for (let line = 0; ; line += 1) {
    await client.write(handle, lineOf(who, line));
    process.stdout.write(`${who} ${line + 1}\n`);
  }
}

/** Of some length, so that a kill may meet it half written. */
export function lineOf(who: string, line: number): string {
  return `${`${who} ${line} `.padEnd(40_000, '.')}\n`;
}

await Promise.all([append('a'), append('b')]);
