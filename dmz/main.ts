/** The DMZ node's process: `node dmz/main.ts --config FILE [--check-config]`. */
import { checkDmzConfig, loadDmzConfig, type DmzConfig } from '#dmz/config.ts';
import { startDmz } from '#dmz/system.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { readInheritedSockets } from '#shared/process/inherited-sockets.ts';
import { runNodeProgram } from '#shared/process/node-process.ts';

const credentials = process.env['CREDENTIALS_DIRECTORY'];
const options = credentials === undefined ? {} : { credentials };

await runNodeProgram<DmzConfig>({
  name: 'dmz',
  check: (file) => checkDmzConfig(file, options),
  start: (config, file) =>
    startDmz(config, {
      ...options,
      clock: systemClock,
      log: buildLog(config.log.level, { node: config.node }),
      inherited: readInheritedSockets(process.env, process.pid),
      reread: () => loadDmzConfig(file, options),
    }),
});
