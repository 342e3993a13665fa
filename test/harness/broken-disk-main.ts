/**
 * main-agent/main.ts on a disk where no folder named `unreadable` can be listed, as when its sectors are gone, while
 * the file `disk-error` lies beside its configuration.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';

let trigger = '';
const { opendir } = fs;
Object.assign(fs, {
  opendir: (...args: Parameters<typeof opendir>) => {
    const [path, , done] = args;
    // The storage lists folders by their open descriptors.
    if (basename(fs.readlinkSync(path)) !== 'unreadable' || !fs.existsSync(trigger)) opendir(...args);
    else done(Object.assign(new Error('EIO: played disk error'), { code: 'EIO' }), {} as fs.Dir);
  },
});
syncBuiltinESMExports();

const { runMainAgent } = await import('./main-program.ts');
await runMainAgent((configFile) => {
  trigger = join(dirname(configFile), 'disk-error');
});
