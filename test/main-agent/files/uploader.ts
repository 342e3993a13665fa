/** A main of its own, to be killed: begins the uploads, says so, then waits for its end. Argument: the base folder. */
import { LocalMedium } from './media.ts';
import { newFile, Rig } from './rig.ts';

const rig = new Rig(new LocalMedium(process.argv[2] ?? ''));
await rig.start();
const client = rig.client('alice', 'sftp', 'one-session');
const replacing = await client.open(['old'], newFile);
await client.write(replacing, 'half of the new');
const { handle } = await client.askAs('fs.open', { path: ['new'], mode: newFile }, 7);
await client.write(handle, 'acknowledged');
await client.write(await client.open(['removed'], newFile), 'x');
await client.ask('fs.remove-file', { path: ['removed'] });
await client.write(await client.open(['first name'], newFile), 'renamed');
await client.ask('fs.rename', { from: ['first name'], to: ['last name'], overwrite: false });
process.stdout.write(`${handle}\n`);
setInterval(() => undefined, 60_000);
