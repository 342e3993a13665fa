/** The main node's process: `node main-agent/main.ts --config FILE [--check-config] [--watched FOLDER] [--accept-restored-state REASON]`. */
import { checkMainAgentConfig, loadMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { acceptRestoredOption } from '#main-agent/restored/limits.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { readInheritedSockets } from '#shared/process/inherited-sockets.ts';
import { isJournal } from '#shared/process/journal.ts';
import { runNodeProgram } from '#shared/process/node-process.ts';
import { resolve } from 'node:path';

const credentials = process.env['CREDENTIALS_DIRECTORY'];
const options = credentials === undefined ? {} : { credentials };

await runNodeProgram<MainAgentConfig>({
  name: 'main-agent',
  check: (file) => checkMainAgentConfig(file, options),
  options: { [acceptRestoredOption]: 'REASON', watched: 'FOLDER' },
  start: (config, file, { [acceptRestoredOption]: acceptRestored, watched }) =>
    startMainAgent(config, {
      ...options,
      ...(acceptRestored !== undefined && { acceptRestored }),
      ...(watched !== undefined && { watched }),
      configFile: resolve(file),
      clock: systemClock,
      log: buildLog(config.log.level, { main: config.name }, { toJournal: isJournal(process.env, 1) }),
      inherited: readInheritedSockets(process.env, process.pid),
      reread: () => loadMainAgentConfig(file, options),
      // A supervisor starts it again; until then nobody logs in.
      onStateFailure: () => process.exit(1),
    }),
});
